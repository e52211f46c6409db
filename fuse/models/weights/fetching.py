"""Fetching weights that are not on this machine yet: checked, and with a record.

Files behind URLs come by `download`; repositories of the Hugging Face hub by its own client, which
goes on after a cut too. What was fetched is recorded in a small file beside it,
``weights.lock.json``, with the full SHA-256 and what that was checked by, so that a later fetch
can say whether a file is still the same. The hub's own cache needs no record: there a folder has
the name of its commit, and a file's content that of its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from fuse.errors import CocoFormatError, DataError, ModelNotFoundError
from fuse.io.files import write_whole
from fuse.io.json_files import parse_object
from fuse.models.weights.download import check_hash, download
from fuse.models.weights.sources import COMMIT, STATE_SUFFIXES, NeededWeights

LOCK_FILE = "weights.lock.json"
SHA256_LENGTH = 64
BY_HUB = "the hub's SHA-256"

Progress = Callable[[str, int, int], None]  # name, bytes there, bytes in all


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A weights file on this machine.

    Attributes:
        source: a URL, ``owner/name`` on the hub, or the path itself.
        path: where it lies.
        size: in bytes.
        sha256: of its content, in hex.
        checked_by: what that was compared with, in words; empty where nothing is known.
        revision: the commit that a repository was fetched at; None for other sources.
    """

    source: str
    path: Path
    size: int
    sha256: str
    checked_by: str
    revision: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"path": str(self.path)}


def fetch_weights(needed: NeededWeights, on_progress: Progress | None = None) -> Path:
    """The file or folder of weights, fetched unless it is there.

    Raises:
        ModelNotFoundError: they are not on this machine and cannot be fetched.
    """
    if not needed.is_remote or (needed.is_present and not _is_other_commit(needed)):
        return needed.path
    fetch = _fetch_file if needed.revision is None else _fetch_repository
    try:
        return fetch(needed, on_progress or (lambda _name, _there, _total: None))
    except Exception as err:  # the hub's client raises whatever its transport raises
        reason = str(err).strip().partition("\n")[0] or type(err).__name__
        raise ModelNotFoundError(_explain_absence(needed, reason)) from err


def _is_other_commit(needed: NeededWeights) -> bool:
    """Whether a repository in a weights folder was fetched at another commit than the pinned one.

    In the hub's own cache each commit has a folder of its own.
    """
    if not COMMIT.fullmatch(needed.revision or ""):
        return False
    record = _read_record(needed)
    entries = (record.get(_name_in_record(needed, file)) for file in _list_weights(needed.path))
    return any(entry and entry.get("revision") != needed.revision for entry in entries)


def check_weights(needed: NeededWeights) -> list[FetchedFile]:
    """What the weights on this machine are, after a look at every byte of them.

    Raises:
        DataError: a file is another than the one that was published or fetched.
    """
    files = [needed.path] if needed.path.is_file() else _list_weights(needed.path)
    record = _read_record(needed)
    found = []
    for file in files:
        entry = record.get(_name_in_record(needed, file), {})
        known_hash, checked_by = _find_known_hash(needed, file, entry)
        if known_hash:
            try:
                check_hash(file, known_hash)
            except DataError as err:
                raise DataError(f"{file}: {err}; delete it and fetch it again") from err
        found.append(_describe(needed, file, checked_by, entry.get("revision")))
    return found


def _fetch_file(needed: NeededWeights, on_progress: Progress) -> Path:
    name = needed.path.name
    download(
        needed.source,
        needed.path,
        needed.known_hash,
        lambda there, total: on_progress(name, there, total),
    )
    checked_by = _in_words(needed.known_hash)
    _write_record(needed, [_describe(needed, needed.path, checked_by, None)])
    return needed.path


def _fetch_repository(needed: NeededWeights, on_progress: Progress) -> Path:
    """A repository's configuration and weights; its example pictures and other formats stay."""
    from huggingface_hub import HfApi, snapshot_download

    about = HfApi().model_info(needed.source, revision=needed.revision, files_metadata=True)
    published = {file.rfilename: file for file in about.siblings or ()}
    names = _choose_files(published)
    total = sum(published[name].size or 0 for name in names)
    on_progress(needed.source, 0, total)
    in_folder = _record_folder(needed) is not None
    folder = Path(
        snapshot_download(
            needed.source,
            revision=needed.revision,
            allow_patterns=names,
            local_dir=needed.path if in_folder else None,
        )
    )
    on_progress(needed.source, total, total)
    fetched = []
    for name in names:
        content = published[name].lfs
        if content is not None:  # the rest is small, and the hub's client checks its size
            _check_or_delete(folder / name, f"sha256:{content.sha256}")
            if needed.known_hash:
                _check_or_delete(folder / name, needed.known_hash)
            fetched.append(_describe(needed, folder / name, BY_HUB, about.sha))
    if in_folder:
        _write_record(needed, fetched)
    return folder


def _choose_files(names: Iterable[str]) -> list[str]:
    """The configurations, and the weights in the safest format that there is."""
    top = [name for name in names if "/" not in name]
    for suffix in STATE_SUFFIXES:
        if weights := [name for name in top if name.endswith(suffix)]:
            return sorted([*weights, *(name for name in top if name.endswith(".json"))])
    raise DataError(f"it holds no weights ({', '.join(STATE_SUFFIXES)})")


def _check_or_delete(file: Path, known_hash: str) -> None:
    try:
        check_hash(file, known_hash)
    except DataError as err:
        file.resolve().unlink()
        raise DataError(f"{file.name}: {err}") from err


def _list_weights(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix in STATE_SUFFIXES)


def _find_known_hash(needed: NeededWeights, file: Path, entry: dict[str, Any]) -> tuple[str, str]:
    """What the hash of a file must be, and who says so, in words; both empty where nobody does."""
    if len(needed.known_hash) == len("sha256:") + SHA256_LENGTH:
        return needed.known_hash, _in_words(needed.known_hash)
    if entry:
        return f"sha256:{entry['sha256']}", f"{entry['checked_by']}, when it was fetched"
    content = file.resolve().name  # in the hub's cache a link leads to a file of this name
    if needed.revision is not None and re.fullmatch(r"[0-9a-f]{64}", content):
        return f"sha256:{content}", BY_HUB
    return needed.known_hash, _in_words(needed.known_hash)


def _in_words(known_hash: str) -> str:
    """What a hash was compared with.

    >>> _in_words("sha256:73cbd019"), _in_words("md5:cafdb1"), _in_words("")
    ('the first 8 digits of its SHA-256', 'the first 6 digits of its MD5', '')
    """
    algorithm, _, digits = known_hash.partition(":")
    name = {"sha256": "SHA-256", "md5": "MD5"}.get(algorithm, algorithm)
    if name == "SHA-256" and len(digits) == SHA256_LENGTH:
        return "its SHA-256"
    return f"the first {len(digits)} digits of its {name}" if digits else ""


def _describe(
    needed: NeededWeights, file: Path, checked_by: str, revision: str | None
) -> FetchedFile:
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return FetchedFile(needed.source, file, file.stat().st_size, sha256, checked_by, revision)


def _record_folder(needed: NeededWeights) -> Path | None:
    """Where the record of weights stands; None for what was not fetched, and the hub's cache."""
    if needed.revision is None:
        return needed.path.parent if needed.is_remote else None
    owner, name = needed.source.split("/")
    return needed.path.parents[1] if needed.path.parts[-2:] == (owner, name) else None


def _name_in_record(needed: NeededWeights, file: Path) -> str:
    return file.name if needed.revision is None else f"{needed.source}/{file.name}"


def _read_record(needed: NeededWeights) -> dict[str, Any]:
    folder = _record_folder(needed)
    if folder is None or not (folder / LOCK_FILE).is_file():
        return {}
    path = folder / LOCK_FILE
    try:
        entries = parse_object(path.read_bytes(), str(path))
    except CocoFormatError as err:
        raise DataError(f"{err}; delete it") from err
    fields = {"sha256", "checked_by"}
    if not all(isinstance(entry, dict) and fields <= entry.keys() for entry in entries.values()):
        raise DataError(f"{path}: not what fuse fetch writes; delete it")
    return entries


def _write_record(needed: NeededWeights, fetched: Iterable[FetchedFile]) -> None:
    """Add files to the record, which other processes may be writing too."""
    folder = _record_folder(needed)
    if folder is None:
        return
    with FileLock(folder / f".{LOCK_FILE}.lock"):
        entries = _read_record(needed)
        for file in fetched:
            entry = file.to_json()
            del entry["path"]
            entries[_name_in_record(needed, file.path)] = entry
        text = json.dumps(dict(sorted(entries.items())), indent=2)
        write_whole(folder / LOCK_FILE, f"{text}\n".encode())


def _explain_absence(needed: NeededWeights, reason: str) -> str:
    """One line: what is missing where, why it did not come, and the ways to get it there."""
    what, url, variable = needed.path.name, needed.source, "TORCH_HOME"
    folder = _record_folder(needed) or needed.path.parent
    where = f"not in {folder}"
    if needed.revision is not None:
        what, url = needed.source, f"https://huggingface.co/{needed.source}"
        variable, where = "HF_HOME", f"neither a folder here nor in {folder}"
    return (
        f"{what} is {where}, and cannot be fetched from {url} ({reason}); where there is "
        "a network, run fuse fetch PIPELINE --to DIR and give --weights-dir DIR here; or put it "
        f"into {folder}, or set {variable} to where it is"
    )
