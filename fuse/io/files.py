"""Files and folders: paths and names, files that appear whole or not at all, a run's files.

What writes raises OSError where a folder is missing or not writable, or the disk is full, and
leaves nothing. What reads raises it for a file that is missing, cannot be read or is none.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL
from pathlib import Path
from typing import BinaryIO, overload

from fuse.errors import DataError

StrPath = str | Path  # what public functions take for a file or folder

# The output folder of a run is known by its first two.
RUN_FILE = "run.json"
JOURNAL_FILE = "records.jsonl"
PANOPTIC_FILE = "panoptic.json"
LIST_FILE = ".list"  # the names that came by stdin, each ended by NUL
SETTINGS_MARK = b'{"settings":'  # how a journal begins

PART_ENDING = ".part"
RANDOM_DIGITS = 16  # of the 32 in the name of a file's unfinished part; the others are the file's
LEFT_AFTER = 24 * 3600  # seconds without a change: no process is still at work on what is aside
OLD_DIR = "old"  # in what is written aside: what it replaces
# What ends so is a file; a text without such an ending may as well be a name.
FILE_ENDINGS = (
    *(".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pt2", ".onnx"),
    *(".csv", ".json", ".toml", ".npz", ".png", ".py"),
)
# Absolute, on a drive, or with a part that means the folder above, on any system: a run may be
# read on another one than it was made on. Windows drops spaces and dots at the end of a part.
_LEADS_OUT = re.compile(r"^[/\\]|^[^/\\]:|(^|[/\\])[ .]*\.\.[ .]*([/\\]|$)|\0", re.DOTALL)
READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)
READ_BYTES = 2**20
MAX_PART = 255  # bytes of a name between two slashes, on all usual file systems


@overload
def to_path(path: StrPath) -> Path: ...
@overload
def to_path(path: StrPath | None) -> Path | None: ...
def to_path(path: StrPath | None) -> Path | None:
    """The path of a file or folder on this machine; None stays None.

    Raises:
        DataError: it is text with a URL, of which `Path` would make another thing.
    """
    if isinstance(path, str) and "://" in path:
        raise DataError(f"{path} is a URL; only images are read from URLs, give a local path")
    return None if path is None else Path(path)


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


def make_absolute(text: str) -> str:
    """A path as an absolute one; a name stays as it is, as in `resolve_path`.

    A name without a slash or a file's ending stays a name, even if a folder is called so.
    """
    is_path = text.partition(":")[0].endswith(FILE_ENDINGS) or os.sep in text or "/" in text
    return resolve_path(text, Path.cwd()) if is_path else text


def is_run(folder: Path) -> bool:
    """Whether a folder is the output of a run, finished or not; its run.json may be lost."""
    journal = folder / JOURNAL_FILE
    if not journal.is_file():
        return False
    if (folder / RUN_FILE).is_file():
        return True
    with journal.open("rb") as file:
        return file.read(len(SETTINGS_MARK)) == SETTINGS_MARK


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
        DataError: a link on the way leads out of the root; nothing was made then.
    """
    path = root / name
    for folder in path.parents:
        if os.path.lexists(folder) or folder == root:
            check_links(root, folder)
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def check_links(root: Path, *paths: Path) -> None:
    """Raise DataError where a path below a folder is a link that leads out of it."""
    real_root = os.path.realpath(root)
    for path in paths:
        real = os.path.realpath(path)
        if real != real_root and not real.startswith(real_root.rstrip(os.sep) + os.sep):
            raise DataError(f"{path} is a link that leads out of {root}; remove it")


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> str:
    """Write a file at once by way of `open_whole`.

    Args:
        path: of the file; a link there is replaced, not followed.
        content: of it.
        durable: wait until a disk has it, so that a power cut leaves the old file or the new one.

    Returns:
        SHA-256 of the content in hex, for whoever keeps a record of the file.
    """
    with open_whole(path, clears=False) as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def copy_whole(source: Path, target: Path, digest: str) -> None:
    """Copy a file, whole or not at all; a link at the target is replaced, not followed.

    Args:
        source: a regular file.
        target: in a folder that is there.
        digest: SHA-256 in hex that the source must have.

    Raises:
        DataError: it has another.
    """
    content = read_regular(source)
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{source} is not the file that was written")
    write_whole(target, content)


def find_parts(folder: Path, *, below: bool = False) -> list[Path]:
    """The unfinished files that killed processes left in a folder, and in those below it."""
    pattern = f".{'[0-9a-f]' * 32}{PART_ENDING}"
    found = folder.rglob(pattern) if below else folder.glob(pattern)
    return [part for part in found if part.is_file()]


def _name_part(path: Path, rest: str) -> str:
    """What the unfinished part of a file is called: the same start for each of its parts."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    return f".{digest[:RANDOM_DIGITS]}{rest}{PART_ENDING}"


def hash_file(path: Path) -> str:
    """SHA-256 of a file in hex."""
    refuse_special(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_regular(path: Path) -> bytes:
    """The content of a regular file; a named pipe would block its reader for ever."""
    refuse_special(path)
    # In as few calls of the system as it takes: each hands the GIL to another thread.
    file = os.open(path, READ_FLAGS)
    try:
        size = os.fstat(file).st_size
        content = os.read(file, size + 1)
        if len(content) == size:
            return content
        parts = [content]  # what the system makes up has no size, and what is large takes several
        while part := os.read(file, READ_BYTES):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)


def refuse_special(path: Path) -> None:
    """Raise OSError for what is there and no regular file, such as a pipe or a folder."""
    if not path.is_file() and path.exists():  # in this order a file is looked at once
        raise OSError(EINVAL, "not a regular file", str(path))


@contextmanager
def open_whole(path: Path, *, clears: bool = True) -> Iterator[BinaryIO]:
    """Open a file aside in its own folder for writing; at the end, rename it into place.

    A reader, or a run that is cut off, sees the old file, the new one or none, never a part.

    Args:
        path: of the file; a link there is replaced, not followed.
        clears: delete what killed processes left of the same file a day ago or earlier, which
            takes a look at all names in the folder; what is younger may be another's at work.
    """
    part = path.with_name(_name_part(path, uuid.uuid4().hex[:RANDOM_DIGITS]))
    try:
        with name_as_asked(part, path), part.open("wb") as file:
            yield file
        with name_as_asked(part, path):
            part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    for left in path.parent.glob(_name_part(path, "[0-9a-f]" * RANDOM_DIGITS)) if clears else ():
        with suppress(OSError):
            if _is_left(left):
                left.unlink()


def _is_left(part: Path) -> bool:
    """Whether a file or folder aside is a killed process's: nothing in it changed for a day."""
    last = max(path.stat().st_mtime for path in (part, *part.rglob("*")))
    return time.time() - last > LEFT_AFTER


@contextmanager
def name_as_asked(part: Path, path: Path) -> Iterator[None]:
    """Errors of the block that name what is written aside, or nothing, name what was asked for.

    Args:
        part: the file or folder aside.
        path: where it is going.
    """
    try:
        yield
    except OSError as err:
        name = path if err.filename is None else str(err.filename).replace(str(part), str(path))
        raise OSError(err.errno, err.strerror or str(err), str(name)) from err


def check_writable(path: Path) -> None:
    """Raise DataError where no file or folder can be made at a path; before any work is done."""
    folder = next((p for p in (path, *path.parents) if os.path.lexists(p)), Path())
    if folder == path and not path.is_dir():
        folder = path.parent  # what is there is replaced
    if not folder.is_dir():
        raise DataError(f"{path} cannot be written: {folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{path} cannot be written: this user may not write into {folder}")


@contextmanager
def write_pair_aside(path: Path) -> Iterator[Path]:
    """A path to write a JSON to, and the folder of its name beside it, in a folder aside.

    At the end both take the places of those at ``path``, if there are any, which are deleted only
    then; where it comes to no end, they stay as they are. What a killed process left aside is
    cleared by the next that comes to its end a day later.
    """
    with _open_folder_aside(path, path.parent) as part:
        yield part / path.name
        _swap_in(part, path)


@contextmanager
def write_folder_aside(path: Path) -> Iterator[Path]:
    """An empty folder aside, which is at ``path`` once it is whole; there is none or an empty one.

    Where it comes to no end nothing is left, and what a killed process left is cleared by the next
    that comes to its end a day later.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _open_folder_aside(path, path) as part:
        yield part
        with suppress(FileNotFoundError):
            path.rmdir()
        part.rename(path)


@contextmanager
def _open_folder_aside(path: Path, stands_for: Path) -> Iterator[Path]:
    """A folder beside ``path``, gone at the end; errors in it name where it stands for."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PART_ENDING}")
    with name_as_asked(part, path):
        part.mkdir()
    try:
        with name_as_asked(part, stands_for):
            yield part
        for left in _find_folders_aside(path):
            with suppress(OSError):
                if _is_left(left):
                    shutil.rmtree(left)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def mend_pair(path: Path) -> None:
    """Undo, or bring to its end, a swap of a JSON and its folder in which a process was killed.

    Where the JSON is missing it lies aside, the old one or the new one. What the swap put aside is
    deleted then, so that no later call takes it for what another swap put there.
    """
    for part in _find_folders_aside(path):
        if (part / OLD_DIR / path.name).is_file():
            if not os.path.lexists(path):
                _mend_swap(part, path)
            shutil.rmtree(part, ignore_errors=True)


def _mend_swap(part: Path, path: Path) -> None:
    """Undo a swap that was cut off, or do its last step where that is all that is missing."""
    old, folder = part / OLD_DIR, path.with_suffix("")
    old_folder = old / path.stem
    if folder.is_dir() and old_folder.is_dir():  # the new one, whose JSON is the last step
        (part / path.name).replace(path)
        return
    if old_folder.is_dir():
        old_folder.replace(folder)
    (old / path.name).replace(path)


def _find_folders_aside(path: Path) -> list[Path]:
    """What this process, another, or one that was killed put aside for a JSON or a folder."""
    name = f".{glob.escape(path.name)}.{'[0-9a-f]' * 32}{PART_ENDING}"
    return list(path.parent.glob(name))


def _swap_in(part: Path, path: Path) -> None:
    """Put a JSON and its folder in place; all is moved back where that comes to no end.

    The JSON is the first to go and the last to come, so that none ever names another's files.
    """
    old = part / OLD_DIR
    old.mkdir()
    folder = path.with_suffix("")
    moves = [
        (path, old / path.name),
        (folder, old / path.stem),
        (part / path.stem, folder),
        (part / path.name, path),
    ]
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            if os.path.lexists(source):
                source.replace(target)
                done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            target.replace(source)
        raise


def find_user_cache() -> Path:
    """Where this package keeps what can be made again; RuntimeError where the user has no home."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "panoptic-fuse"
