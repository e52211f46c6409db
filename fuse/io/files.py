"""Files that appear whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: bytes) -> None:
    """Write a file at once by way of `open_whole`.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; nothing is left.
    """
    with open_whole(path) as file:
        file.write(content)


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file aside in its own folder for writing; at the end, rename it into place.

    A reader, or a run that is cut off, sees the old file, the new one or none, never a part.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; nothing is left.
    """
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
