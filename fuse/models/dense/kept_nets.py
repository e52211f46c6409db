"""Converted nets on disk: in the user's cache, whole or not at all, safe to delete.

What another user wrote, or what changed since it was written, is not read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from torch import nn

from fuse.errors import FuseWarning
from fuse.io.files import find_user_cache, hash_file

SUMS_FILE = "sha256.json"
_PLAIN = (bool, int, float, str, tuple, type(None))


def find_folder() -> Path:
    """Where converted nets lie."""
    return find_user_cache() / "converted"


def keep(key: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
    """The folder of a converted net, made where it is missing or damaged.

    Args:
        key: says what it is, see `make_key`.
        make: writes it into the empty folder that it is given.

    Returns:
        The folder, and whether it is kept; a folder that is not is the caller's to delete.
    """
    root = find_folder()
    folder = root / key
    if _is_whole(folder):
        return folder, True
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = Path(tempfile.mkdtemp(prefix=f"{key[:16]}.", dir=root))
    except OSError as err:
        warnings.warn(
            FuseWarning(f"converted nets cannot be kept in {root} ({err.strerror})"), stacklevel=2
        )
        part = Path(tempfile.mkdtemp(prefix="fuse-"))
        make(part)
        return part, False
    try:
        make(part)
        sums = {file.name: hash_file(file) for file in sorted(part.iterdir())}
        (part / SUMS_FILE).write_text(json.dumps(sums))
        if folder.exists():
            told = f"the converted net {folder} is damaged; it is made again"
            warnings.warn(FuseWarning(told), stacklevel=2)
            shutil.rmtree(folder)
        with suppress(OSError):  # another process was first
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder, True


def _is_whole(folder: Path) -> bool:
    """Whether a folder is this user's and holds what was written into it."""
    try:
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return False
        sums = json.loads((folder / SUMS_FILE).read_text())
        return bool(sums) and all(hash_file(folder / name) == sums[name] for name in sums)
    except (OSError, ValueError, TypeError):
        return False


def make_key(module: nn.Module, *more: str) -> str:
    """A name for what a module computes: its layers, their settings and weights, and more."""
    digest = hashlib.sha256(json.dumps(more).encode())
    for name, layer in module.named_modules():
        settings = sorted((k, repr(v)) for k, v in vars(layer).items() if isinstance(v, _PLAIN))
        digest.update(f"{name} {type(layer).__qualname__} {settings} {layer.extra_repr()}".encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
