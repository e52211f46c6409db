"""Names of images from a file or from stdin, one a line or, as ``find -print0``, with NUL ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fuse.errors import DataError
from fuse.io.coco.image_names import name_below_common
from fuse.io.files import StrPath, read_regular, to_path
from fuse.io.remote import is_url
from fuse.types.short_repr import ShortRepr

STDIN = "-"
_BOM = b"\xef\xbb\xbf"  # how editors of Windows begin a text in UTF-8


@dataclass(frozen=True, slots=True, repr=False)
class ImageList(ShortRepr):
    """Names of images, as somebody listed them.

    Attributes:
        source: absolute path of the file; `STDIN`.
        base: the folder that relative names count from: that of the file, or the working
            directory for stdin.
        null: whether names end with NUL instead of a line's end.
        names: paths or URLs.
    """

    source: str
    base: Path
    null: bool
    names: Sequence[str]

    def locate(self) -> list[tuple[str, str]]:
        """(path or URL, relative name) of each image, as listed; paths are absolute.

        Names are relative to the base where all images lie below it, else to the folder that
        holds them all.

        Raises:
            DataError: none of the files is there, or files and URLs are mixed.
        """
        if all(map(is_url, self.names)):
            plain = [PurePosixPath(url).as_posix() for url in self.names]
            return list(zip(self.names, name_below_common(plain), strict=True))
        if any(map(is_url, self.names)):
            raise DataError(f"{self}: names both files and URLs; run them apart")
        base = str(self.base)
        paths = [_find_slashed(os.path.join(base, name)) for name in self.names]  # noqa: PTH118
        if not any(map(os.path.exists, paths)):
            raise DataError(
                f"{self}: none of its {len(paths)} images is there, first {paths[0]}; names count "
                f"from {base}"
            )
        plain = [os.path.normpath(path) for path in paths]
        start = base.rstrip(os.sep) + os.sep
        if all(path.startswith(start) for path in plain):
            return list(zip(paths, (_slashed(path[len(start) :]) for path in plain), strict=True))
        return list(zip(paths, name_below_common([_slashed(path) for path in plain]), strict=True))

    def __str__(self) -> str:
        return "the list on stdin" if self.source == STDIN else self.source


def read_image_list(source: StrPath, *, null: bool = False) -> ImageList:
    """Read names of images, one a line; empty lines are none.

    Args:
        source: a file, or ``-`` for stdin.
        null: names end with NUL, as `find -print0` and `git ls-files -z` write them.

    Raises:
        DataError: it cannot be read, is no text, or names nothing.
    """
    if str(source) == STDIN:
        content, path, base = sys.stdin.buffer.read(), STDIN, Path.cwd()
    else:
        file = to_path(source).absolute()
        try:
            content = read_regular(file)
        except OSError as err:
            raise DataError(f"{source}: the list cannot be read ({err.strerror})") from err
        path, base = str(file), file.parent
    listed = ImageList(path, base, null, parse_names(content, null=null, source=str(source)))
    if not listed.names:
        raise DataError(f"{listed}: names no image")
    return listed


def parse_names(content: bytes, *, null: bool, source: str) -> list[str]:
    r"""The names in a list.

    Raises:
        DataError: it holds NUL where lines are meant, as UTF-16 and binary files do.

    >>> parse_names(b"a.jpg\r\n\r\nsub/b.jpg", null=False, source="-")
    ['a.jpg', 'sub/b.jpg']
    """
    content = content.removeprefix(_BOM)
    if null:
        return [os.fsdecode(name) for name in content.split(b"\0") if name]
    if b"\0" in content:
        raise DataError(
            f"{source}: the list holds NUL; give -0 if that ends each name, and save it as UTF-8 "
            "if it is UTF-16"
        )
    lines = (line.removesuffix(b"\r") for line in content.split(b"\n"))
    return [os.fsdecode(line) for line in lines if line]


def _find_slashed(path: str) -> str:
    """A path, with slashes for the backslashes of a list of Windows where there is such a file."""
    slashed = path.replace("\\", "/")
    return slashed if slashed != path and not Path(path).exists() else path


def _slashed(path: str) -> str:
    return path.replace(os.sep, "/")
