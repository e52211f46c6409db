"""Where compiled kernels are kept when neither the package nor the home folder is writable."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

import numba


@cache
def use_temporary_cache() -> Path | None:
    """Have numba keep kernels in a folder below the temporary one; None where there is none.

    numba loads kernels by unpickling, which runs what it loads. So the folder is this user's alone,
    or else a new one that lasts no longer than anybody cares.
    """
    try:
        folder = make_private_folder(Path(tempfile.gettempdir()))
    except OSError:  # there is not even such a folder
        return None
    # Both: for this process, and for those that it starts.
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined] # set when numba is loaded
    return folder


@cache
def announce(folder: Path | None) -> None:
    """Say where kernels are kept, unless some are there already."""
    if folder is not None and not any(folder.rglob("*.nbi")):  # numba's indices
        print(
            f"fuse: kernels are kept in {folder}, as neither the package nor the home folder can "
            "be written to; NUMBA_CACHE_DIR names another place",
            file=sys.stderr,
        )


def make_private_folder(parent: Path) -> Path:
    """A folder that only this user can write to: the same each time, unless somebody else has it.

    Raises:
        OSError: nothing can be written there.
    """
    if not hasattr(os, "geteuid"):  # a temporary folder of Windows is the user's own
        folder = parent / "fuse-kernels"
        folder.mkdir(exist_ok=True)
        return folder
    folder = parent / f"fuse-kernels-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        about = folder.lstat()
        is_own = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
        if not is_own or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return Path(tempfile.mkdtemp(prefix="fuse-kernels-", dir=parent))
    return folder
