"""What an image file was when it was read, so that a changed one is told from the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuse.errors import ImageReadError
from fuse.io.files import StrPath
from fuse.io.images import read_content
from fuse.io.remote import is_url, stat_url


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image file as it was.

    Attributes:
        bytes: its size.
        written: when it was written, as its file system says it; empty where that does not.
        sha256: of its content, in hex; empty where that could not be read (`UNREAD`).
    """

    bytes: int
    written: str
    sha256: str

    def is_unchanged(self, path: StrPath, *, check_hash: bool = False) -> bool:
        """Whether the file at a path is still the same.

        One of the same size and time is taken for the same; of another time, or where there is
        none, the content decides. One that could not be read is another where it can be now.

        Args:
            path: of the file, or its URL.
            check_hash: let the content decide always.
        """
        if not self.sha256:
            return not _is_readable(path)
        try:
            size, written = _stat(path)
            if size is not None and size != self.bytes:
                return False
            if written and written == self.written and not check_hash:
                return True
            return hashlib.sha256(read_content(path)).hexdigest() == self.sha256
        except Exception:  # noqa: BLE001 - file systems behind URLs raise their own
            return False  # reading it again will say why


UNREAD = ImageSource(0, "", "")  # of a file that is missing, empty, or may not be read


def read_source(
    path: StrPath, on_size: Callable[[int], None] = lambda _: None
) -> tuple[bytes, ImageSource]:
    """The content of an image file, and what the file was.

    Args:
        path: of the file, or its URL.
        on_size: called with its bytes before it is read, where anybody can say.

    Raises:
        ImageReadError: see `read_content`.
    """
    try:
        size, written = _stat(path)  # before the content: a change in between shows next time
    except Exception:  # noqa: BLE001 - as above; reading says why
        size, written = None, ""
    on_size(size or 0)
    content = read_content(path)
    return content, ImageSource(len(content), written, hashlib.sha256(content).hexdigest())


def _is_readable(path: StrPath) -> bool:
    try:
        read_content(path)
    except ImageReadError:
        return False
    return True


def _stat(path: StrPath) -> tuple[int | None, str]:
    """Bytes of a file, and when it was written."""
    if is_url(str(path)):
        return stat_url(str(path))
    about = Path(path).stat()
    return about.st_size, str(about.st_mtime_ns)
