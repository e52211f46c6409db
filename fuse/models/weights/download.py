"""Plain downloads: go on after a cut, are checked, and appear whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock

from fuse.errors import DataError
from fuse.io.files import check_writable
from fuse.models.weights.side_files import hash_as_git
from fuse.version import __version__

Progress = Callable[[int, int], None]  # bytes there, bytes in all

CHUNK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a byte
USER_AGENT = f"fuse/{__version__} (panoptic-fuse)"
# Not OSError as a whole, which a full disk is too.
NETWORK_ERRORS = (URLError, ConnectionError, TimeoutError, SSLError, HTTPException)
RANGE_NOT_SATISFIABLE = 416  # HTTP's answer to who has all of a file already


def download(
    url: str,
    path: Path,
    known_hash: str,
    on_progress: Progress = lambda _there, _total: None,
) -> None:
    """Fetch a file, unless it is there.

    What a cut connection or a killed process left is completed, by the next attempt or the next
    call. A second process that wants the same file waits for the first.

    Args:
        url: ``http://``, ``https://`` or ``file://``.
        path: of the file; its folder is made.
        known_hash: what the file must hash to, see `check_hash`; empty for any.
        on_progress: called after each piece.

    Raises:
        OSError: no network, no such file there, or the disk is full.
        DataError: the file is another than it should be; it is not kept.
    """
    check_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.is_file():
            return
        part = path.with_name(f".{path.name}.part")
        while not _continue(url, part, on_progress):
            pass  # a cut connection; each attempt brings the file further
        try:
            check_hash(part, known_hash)
        except DataError as err:
            part.unlink()
            raise DataError(f"{url}: {err}") from err
        part.replace(path)


def check_hash(path: Path, known_hash: str) -> None:
    """Raise DataError unless a file has a hash, written as `fuse.models.weights.sources` says.

    ``git:`` is git's SHA-1 of a small file.
    """
    algorithm, _, wanted = known_hash.partition(":")
    if not wanted:
        return
    if algorithm == "git":
        found = hash_as_git(path)
    else:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
    if not found.startswith(wanted):
        more = "..." if len(wanted) < len(found) else ""
        raise DataError(f"the {algorithm} of its content is {found}, not {wanted}{more}")


def _continue(url: str, part: Path, on_progress: Progress) -> bool:
    """Fetch what a partial file lacks; return whether it is whole now.

    Raises:
        OSError: it lacks as much as before.
    """
    before = _size(part)
    failure: Exception = ConnectionError("the connection was cut")
    try:
        if _append(url, part, on_progress):
            return True
    except HTTPError as err:
        if err.code != RANGE_NOT_SATISFIABLE or before == 0:
            raise
        return True  # all of it is there, or of something else; the hash will tell
    except NETWORK_ERRORS as err:
        failure = err
    if _size(part) <= before:
        raise ConnectionError(str(failure)) from failure
    return False


def _append(url: str, part: Path, on_progress: Progress) -> bool:
    """Fetch the rest of a partial file; return whether it is whole."""
    there = _size(part)
    headers = {"User-Agent": USER_AGENT} | ({"Range": f"bytes={there}-"} if there else {})
    request = Request(url, headers=headers)
    # The addresses are those of the catalogue that ships.
    with urlopen(request, timeout=TIMEOUT) as response:  # nosec B310
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {there}-")
        if not goes_on:
            there = 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else 0
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                there += len(chunk)
                on_progress(there, max(total, there))
    return there >= total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
