"""Files that appear whole or not at all, and paths that come as text."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EINVAL
from functools import wraps
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from fuse.errors import DataError

P = ParamSpec("P")
R = TypeVar("R")

PART_ENDING = ".part"
# What ends so is a file; a text without such an ending may as well be a name.
FILE_ENDINGS = (
    *(".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pt2", ".onnx"),
    *(".csv", ".json", ".toml", ".npz", ".png", ".py"),
)


def take_text(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, which makes paths of text where it wants paths."""
    signature = inspect.signature(function)
    wanted = {name: str(p.annotation) for name, p in signature.parameters.items()}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs)
        for name, value in given.arguments.items():
            if isinstance(value, str) and wanted[name] in ("Path", "Path | None"):
                given.arguments[name] = _make_path(value)
            elif wanted[name] == "Sequence[Path]":
                given.arguments[name] = [_make_path(str(each)) for each in value]
        return function(*given.args, **given.kwargs)

    return call


def _make_path(text: str) -> Path:
    """The path; DataError for a URL, of which a path would be another thing."""
    if "://" in text:
        raise DataError(f"{text} is a URL; only images are read from URLs, give a local path")
    return Path(text)


def resolve_path(text: str, folder: Path) -> str:
    """A path that is relative to a folder, from the working directory; names stay as they are.

    Args:
        text: a name (``COCO_V1``, ``owner/net``), a path, or ``file.py:Class``. It is a path
            where it ends as a file does, or where there is such a file or folder.
        folder: what the path is relative to.

    >>> resolve_path("nets/mine.pth", Path("presets")), resolve_path("COCO_V1", Path("presets"))
    ('presets/nets/mine.pth', 'COCO_V1')
    """
    name, colon, attribute = text.rpartition(":")
    if not name.endswith(".py"):
        name, colon, attribute = text, "", ""
    path = folder / Path(name).expanduser()
    if not name or not (name.endswith(FILE_ENDINGS) or path.exists()):
        return text
    return f"{path}{colon}{attribute}"


def write_whole(path: Path, content: bytes) -> str:
    """Write a file at once by way of `open_whole`.

    Returns:
        SHA-256 of the content in hex, for whoever keeps a record of the file.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; nothing is left.
    """
    with open_whole(path) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def find_parts(folder: Path, *, below: bool = False) -> list[Path]:
    """The unfinished files that killed processes left in a folder, and in those below it."""
    pattern = f".{'[0-9a-f]' * 32}{PART_ENDING}"
    found = folder.rglob(pattern) if below else folder.glob(pattern)
    return [part for part in found if part.is_file()]


def _name_part(path: Path) -> Path:
    """A new name for the unfinished part of a file or folder, beside it."""
    return path.with_name(f".{uuid.uuid4().hex}{PART_ENDING}")


def hash_file(path: Path) -> str:
    """SHA-256 of a file in hex.

    Raises:
        OSError: the file is missing, cannot be read, or is none.
    """
    refuse_special(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_regular(path: Path) -> bytes:
    """The content of a regular file; a named pipe would block its reader for ever.

    Raises:
        OSError: the file is missing, cannot be read, or is none.
    """
    refuse_special(path)
    return path.read_bytes()


def refuse_special(path: Path) -> None:
    """Raise OSError for what is there and no regular file, such as a pipe or a folder."""
    if path.exists() and not path.is_file():
        raise OSError(EINVAL, "not a regular file", str(path))


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file aside in its own folder for writing; at the end, rename it into place.

    A reader, or a run that is cut off, sees the old file, the new one or none, never a part.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; nothing is left.
    """
    part = _name_part(path)
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def write_pair_aside(path: Path) -> Iterator[Path]:
    """A path to write a JSON to, and the folder of its name beside it, in a folder aside.

    At the end both take the places of those at ``path``, if there are any; where it comes to no
    end, they stay as they are.

    Raises:
        OSError: the folder is missing or not writable; nothing is left.
    """
    part = _name_part(path)
    part.mkdir()
    try:
        yield part / path.name
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        (part / path.stem).replace(path.with_suffix(""))
        (part / path.name).replace(path)
    finally:
        shutil.rmtree(part)
