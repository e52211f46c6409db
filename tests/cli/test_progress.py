"""What a long job says of how far it is."""

import gc
import re
import subprocess
import sys

import pytest

from fuse.cli import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand: clock[0], in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_each_half_minute(clock, capsys):
    with progress.image_progress() as on_progress:
        for _image in range(45):
            clock[0] += 2.0
            on_progress(60, 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["16 of 60 images, 0.5/s, 1 failed", "32 of 60 images, 0.5/s, 1 failed"]


def test_a_log_tells_the_rate_of_the_last_half_minute(clock, capsys):
    with progress.image_progress() as on_progress:
        for _image in range(900):  # done before
            on_progress(999, 0)
        for _image in range(99):
            clock[0] += 2.0
            on_progress(999, 0)
    rates = [line.split(", ")[1] for line in capsys.readouterr().err.splitlines()]
    assert set(rates[1:]) == {"0.5/s"}


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress.count_progress() as on_progress:
        for done in range(3):
            on_progress(done + 1, 3)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "3/3 images" in shown


def test_python_looks_for_cycles_again_with_the_first_image():
    gc.disable()
    try:
        with progress.image_progress() as on_progress:
            assert not gc.isenabled()
            on_progress(2, 0)
            assert gc.isenabled()
            assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
        gc.enable()


def test_neither_loading_nor_the_exit_looks_for_cycles():
    code = (
        "import gc, sys; sys.argv[1:] = ['--version']; from fuse.__main__ import main\n"
        "try: main()\n"
        "finally: print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "False True"
