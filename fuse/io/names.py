"""Names that come out of files: none may lead out of the folder that it is relative to."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fuse.errors import DataError

# Absolute, on a drive, or with a part that means the folder above, on any system: a run may be
# read on another one than it was made on. Windows drops spaces and dots at the end of a part.
_LEADS_OUT = re.compile(r"^[/\\]|^[^/\\]:|(^|[/\\])[ .]*\.\.[ .]*([/\\]|$)|\0", re.DOTALL)
MAX_PART = 255  # bytes of a name between two slashes, on all usual file systems


def leads_out(name: str) -> bool:
    r"""Whether a relative path is none, or leads out of its folder, on any system.

    >>> [leads_out(name) for name in ("a/b.png", "a/../../b.png", "/etc/b.png", "C:\\b.png")]
    [False, True, True, True]
    """
    return not name.strip("./\\ ") or _LEADS_OUT.search(name) is not None


def find_name_fault(name: str) -> str | None:
    """Why an image's relative path cannot be written into a JSON and given to a map, or None.

    Linux allows names that are no text, and such that lead elsewhere on Windows.
    """
    if leads_out(name):
        return "its name leads out of its folder, here or on Windows"
    try:
        parts = name.encode().split(b"/")
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    if any(len(part) > MAX_PART for part in parts):
        return f"its map's name is longer than {MAX_PART} bytes"
    return None


def make_parent(root: Path, name: str) -> Path:
    """The path of a file below a folder that is written to, its own folder made.

    Raises:
        DataError: a link on the way leads out of the root.
        OSError: the folder cannot be made.
    """
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    check_links(root, path.parent)
    return path


def check_links(root: Path, *paths: Path) -> None:
    """Raise DataError where a path below a folder is a link that leads out of it."""
    real_root = os.path.realpath(root)
    for path in paths:
        real = os.path.realpath(path)
        if real != real_root and not real.startswith(real_root.rstrip(os.sep) + os.sep):
            raise DataError(f"{path} is a link that leads out of {root}; remove it")
