"""Kernels compiled ahead: all that a first run needs, once, and never in its way."""

import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from fuse.ops import _jit
from fuse.runs import first_use

REPOSITORY = Path(__file__).parents[2]
NOTICE = "compiling kernels"


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The groups that processes were started for; kernels are kept below tmp_path."""
    groups = []

    def start(command, **_options):
        groups.append(command[4:])
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            return process

    monkeypatch.setattr(first_use.atexit, "register", lambda _call: None)
    stand_in = types.SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(first_use, "subprocess", stand_in)
    monkeypatch.setattr(first_use.os, "cpu_count", lambda: 2)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(_jit, "_compilers", [])
    _jit.announce_compiling.cache_clear()
    return groups


@pytest.mark.slow
def test_what_is_compiled_ahead_is_all_that_the_demo_needs(tmp_path):
    kernels = tmp_path / "kernels"
    env = {**os.environ, "NUMBA_CACHE_DIR": str(kernels), "PYTHONPATH": str(REPOSITORY)}

    def call(*arguments):
        command = [sys.executable, "-m", *arguments]
        answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return answer.stderr, sorted(path.name for path in kernels.rglob("*.nb[ic]"))

    _told, compiled = call("fuse.runs.first_use", *first_use.GROUPS)
    assert len(compiled) > 20
    told, then = call("fuse", "demo", "-o", str(tmp_path / "out"))
    assert NOTICE not in told
    assert then == compiled


def test_a_group_is_compiled_once(started, capfd):
    first_use.compile_ahead(("label", "paint"), ("read",))
    assert started == [["label", "paint"], ["read"]]
    assert capfd.readouterr().err.count(NOTICE) == 1
    first_use._find_folder().mkdir(parents=True, exist_ok=True)
    for group in ("label", "read"):
        (first_use._find_folder() / group).touch()
    first_use.compile_ahead(("label", "paint"), ("read",))
    assert started[2:] == [["paint"]]


def test_changed_kernels_are_compiled_anew(started, tmp_path, monkeypatch):
    package = tmp_path / "fuse"
    (package / "ops").mkdir(parents=True)
    source = package / "ops" / "argmax.py"
    source.write_text("# one\n")
    monkeypatch.setattr(first_use, "PACKAGE", package)
    first_use.compile_ahead(["label"])
    (first_use._find_folder() / "label").touch()
    source.write_text("# another\n")
    first_use.compile_ahead(["label"])
    assert started == [["label"], ["label"]]


def test_one_core_compiles_when_it_is_needed(started, monkeypatch, capfd):
    monkeypatch.setattr(first_use.os, "cpu_count", lambda: 1)
    first_use.compile_ahead(["match"])
    assert (started, capfd.readouterr().err) == ([], "")


def test_no_place_for_kernels_starts_nothing(started, tmp_path, monkeypatch, capfd):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    first_use.compile_ahead(["match"])
    assert (started, capfd.readouterr().err) == ([], "")


def test_no_home_and_a_folder_of_somebody_else_start_nothing(started, monkeypatch, capfd):
    def find_no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(first_use, "_find_cache", find_no_home)
    first_use.compile_ahead(["match"])
    assert (started, capfd.readouterr().err) == ([], "")


def test_modules_of_the_working_directory_are_not_run(tmp_path, monkeypatch):
    """And the process that compiles is a real one, which notes what it did."""
    kernels = tmp_path / "kernels"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(kernels))
    monkeypatch.setattr(_jit, "_compilers", [])
    monkeypatch.chdir(tmp_path)
    for name in ("tempfile", "json", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('was_run', 'w').close()\n")
    with first_use._start(["label"]) as compiler:
        while compiler.poll() is None and not list(kernels.glob("compiled-*")):
            time.sleep(0.1)
        compiler.kill()
    assert list(kernels.glob("compiled-*"))
    assert not (tmp_path / "was_run").exists()


def test_a_process_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(_jit, "PATIENCE", 0.2)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        monkeypatch.setattr(_jit, "_compilers", [])
        _jit.expect(process, [__name__])
        monkeypatch.setattr("fuse.ops._numba.build_kernel", lambda function, nogil: function)

        def answer():
            return 1

        assert _jit.jit(answer)() == 1
    assert process.returncode


def test_a_kernel_waits_for_the_process_that_compiles_its_module(monkeypatch, tmp_path):
    monkeypatch.setattr(_jit, "_compilers", [])
    done = tmp_path / "done"
    code = f"import time; time.sleep(0.5); open({str(done)!r}, 'w').close()"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        _jit.expect(process, [__name__])

        def was_done():
            return 1

        monkeypatch.setattr("fuse.ops._numba.build_kernel", lambda function, nogil: function)
        assert not done.exists()
        assert _jit.jit(was_done)() == 1
        assert done.exists()


def test_every_group_names_modules_with_kernels():
    for name, group in first_use.GROUPS.items():
        for module in group.modules:
            path = REPOSITORY / (module.replace(".", "/") + ".py")
            assert "\n@jit" in path.read_text(encoding="utf-8"), (name, module)
