"""Compiled kernels without a home: kept below the temporary folder, and nobody else's loaded."""

import os
import stat
import subprocess
import sys

import pytest

from fuse.ops.kernel_cache import announce, make_private_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users of POSIX")


def test_the_folder_is_the_users_own_and_the_same_each_time(tmp_path):
    folder = make_private_folder(tmp_path)
    assert folder == make_private_folder(tmp_path) == tmp_path / f"fuse-kernels-{os.geteuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_where_kernels_are_kept_is_said_while_there_are_none(tmp_path, capsys):
    announce.__wrapped__(tmp_path)
    assert f"kernels are kept in {tmp_path}" in capsys.readouterr().err
    (tmp_path / "kernel.nbi").touch()
    announce.__wrapped__(tmp_path)
    announce.__wrapped__(None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("trap", ["link", "file", "open to others"])
def test_a_folder_that_others_could_fill_is_not_taken(tmp_path, trap):
    """numba unpickles what lies in it."""
    place = tmp_path / f"fuse-kernels-{os.geteuid()}"
    (tmp_path / "elsewhere").mkdir()
    if trap == "link":
        place.symlink_to(tmp_path / "elsewhere")
    elif trap == "file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(0o777)
    folder = make_private_folder(tmp_path)
    assert folder != place
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_of_another_user_is_not_taken(tmp_path, monkeypatch):
    folder = make_private_folder(tmp_path)
    other = os.geteuid() + 1
    folder.rename(tmp_path / f"fuse-kernels-{other}")  # laid there for the other to find
    monkeypatch.setattr("os.geteuid", lambda: other)
    assert make_private_folder(tmp_path) != tmp_path / f"fuse-kernels-{other}"


KERNEL = """
from fuse.ops._jit import jit

@jit
def add(a, b):
    return a + b
print(add(1, 2))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root becomes nobody")
def test_a_user_without_a_home_compiles_once_and_is_told_where(tmp_path):
    package = tmp_path / "read-only"
    package.mkdir()
    (package / "kernel.py").write_text(KERNEL)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    temporary.chmod(0o777)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    tmp_path.chmod(0o755)
    environment = {"TMPDIR": str(temporary), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    told = []
    for _ in range(2):
        try:
            done = subprocess.run(
                [sys.executable, str(package / "kernel.py")],
                user=65534,
                group=65534,
                extra_groups=[],
                env=environment,
                cwd="/",
                capture_output=True,
                text=True,
            )
        except PermissionError:
            pytest.skip("nobody may not run this Python")
        assert (done.returncode, done.stdout) == (0, "3\n")
        told.append(done.stderr.count(f"kernels are kept in {temporary / 'fuse-kernels-65534'}"))
    assert told == [1, 0]
