"""Images behind a URL, as ``s3://bucket/images``, by way of fsspec and its plug-ins.

``zip://*.jpg::archive.zip`` are images in an archive, which may itself lie behind a URL.
"""

from __future__ import annotations

import glob
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fuse.errors import DataError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# A scheme of one letter is a drive of Windows.
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
CHAIN = "::"  # between what lies in an archive and the archive


def is_url(given: str) -> bool:
    """Whether a path names a file system of its own.

    >>> is_url("s3://bucket/images"), is_url("images/a.jpg"), is_url("C://images")
    (True, False, False)
    """
    return _URL.match(given) is not None


def list_url(given: str) -> list[tuple[str, str]]:
    """(URL, relative name) of each file that a folder, file or glob behind a URL stands for.

    Names are relative to the folder, to the part of a glob before its first wildcard, or for a
    file to its own folder.

    Raises:
        DataError: there is nothing, or its file system cannot be used.
    """
    try:
        files, root = _open_system(given)
        if files.isfile(root):
            base, paths = PurePosixPath(root).parent, [root]
        elif files.isdir(root):  # before a glob, as a name may hold its signs
            base, paths = PurePosixPath(root), files.find(root)
        elif glob.has_magic(root):
            parts = PurePosixPath(root).parts
            wild = next(i for i, part in enumerate(parts) if glob.has_magic(part))
            base = PurePosixPath(*parts[:wild])
            found = files.glob(root, detail=True)
            paths = [path for path, about in found.items() if about["type"] == "file"]
        else:  # where nobody can say what is a folder
            base, paths = PurePosixPath(root), files.find(root)
        archive = "".join(given.partition(CHAIN)[1:])
        urls = [f"{files.unstrip_protocol(path)}{archive}" for path in paths]
    except Exception as err:  # each file system raises its own
        raise DataError(f"{given}: cannot be listed ({_describe(err)})") from err
    if not paths:
        raise DataError(f"{given}: there is no such file or folder")
    names = [PurePosixPath(path).relative_to(base).as_posix() for path in paths]
    return list(zip(urls, names, strict=True))


def stat_url(url: str) -> tuple[int | None, str]:
    """Bytes of a file, and what tells when it was written; None and "" where nobody says.

    Raises whatever its file system raises.
    """
    files, path = _open_system(url)
    about = files.info(path)
    marks = (about.get(key) for key in ("ETag", "LastModified", "mtime", "created"))
    return about.get("size"), str(next((mark for mark in marks if mark), ""))


def read_url(url: str) -> bytes:
    """The content of a file; raises whatever its file system raises."""
    files, path = _open_system(url)
    content: bytes = files.cat_file(path)
    return content


def _open_system(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and the path in it."""
    from fsspec.core import url_to_fs  # with asyncio and more, which local files do without

    files, path = url_to_fs(url)
    return files, path


def _describe(err: Exception) -> str:
    """Why a file system cannot be used; how to get it where a package is missing."""
    reason = " ".join(str(err).split()) or type(err).__name__
    if isinstance(err, ImportError):
        return f"{reason}; for s3:// that is pip install 'panoptic-fuse[s3]'"
    return reason
