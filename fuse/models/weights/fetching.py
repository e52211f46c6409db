"""Getting weights that are not on this machine yet: checked, and with a record.

Files behind URLs come by `download`; repositories of the Hugging Face hub by its own client, which
goes on after a cut too. What was fetched is recorded in a small file beside it,
``weights.lock.json``, with the full SHA-256 and what that was checked by, so that a later fetch
can say whether a file is still the same. The hub's own cache needs no record: there a folder has
the name of its commit, and a file's content that of its SHA-256.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from fuse.errors import CocoFormatError, DataError, ModelNotFoundError, first_line, suggest
from fuse.io.files import check_writable, hash_file, write_whole
from fuse.io.json_toml import parse_object
from fuse.models.weights.download import check_hash, download
from fuse.models.weights.sources import (
    STATE_SUFFIXES,
    NeededWeights,
    choose_state_files,
    describe_named,
    list_published,
    list_shipped_weights,
    list_state_files,
)

Progress = Callable[[str, int, int], None]  # name, bytes there, bytes in all

LOCK_FILE = "weights.lock.json"
BY_HUB = "the hub's SHA-256"
SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")


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


def find_weights(model: str, options: Mapping[str, Any]) -> Path:
    """The weights file that a model's options name, fetched if need be.

    Raises:
        ModelNotFoundError: it is not on this machine and cannot be fetched.
    """
    needed = describe_named(model, options)
    if not needed.is_remote and not needed.path.exists():
        names = [*list_shipped_weights(), *list_published(model, options.get("architecture"))]
        if model == "torchvision" and not options.get("architecture"):
            names.append("with an architecture those that torchvision publishes")
        raise ModelNotFoundError(
            f"no weights {needed.source!r}: there is no such file; {suggest(needed.source, names)}"
        )
    return fetch_weights(needed)


def fetch_weights(needed: NeededWeights, on_progress: Progress | None = None) -> Path:
    """The file or folder of weights, fetched unless it is there.

    Raises:
        ModelNotFoundError: they are not on this machine and cannot be fetched.
    """
    if not needed.is_remote or (needed.is_present and not _is_other_commit(needed)):
        return needed.path
    check_writable(needed.path)
    fetch = _fetch_file if needed.revision is None else _fetch_repository
    try:
        return fetch(needed, on_progress or (lambda _name, _there, _total: None))
    except Exception as err:  # the hub's client raises whatever its transport raises
        raise ModelNotFoundError(_explain_absence(needed, first_line(err))) from err


def check_weights(needed: NeededWeights) -> list[FetchedFile]:
    """What the weights on this machine are, after a look at every byte of them.

    Raises:
        DataError: a file is another than the one that was published or fetched.
    """
    files = [needed.path] if needed.path.is_file() else list_state_files(needed.path)
    record = _read_record(needed)
    found = []
    for file in files:
        entry = record.get(_name_in_record(needed, file.name), {})
        known_hash, checked_by = _find_known_hash(needed, file, entry)
        try:
            check_hash(file, known_hash)
        except DataError as err:
            raise DataError(f"{file}: {err}; delete it and fetch it again") from err
        found.append(_describe(needed, file, checked_by, entry.get("revision")))
    return found


def _is_other_commit(needed: NeededWeights) -> bool:
    """Whether a repository in a weights folder was fetched at another commit than the pinned one.

    In the hub's own cache each commit has a folder of its own.
    """
    if not COMMIT.fullmatch(needed.revision or ""):
        return False
    fetched = [
        entry
        for name, entry in _read_record(needed).items()
        if name.startswith(_name_in_record(needed, ""))
    ]
    return any(entry.get("revision") != needed.revision for entry in fetched)


def _fetch_file(needed: NeededWeights, on_progress: Progress) -> Path:
    path = needed.path
    download(needed.source, path, needed.known_hash, partial(on_progress, path.name))
    _write_record(needed, [_describe(needed, path, _in_words(needed.known_hash))])
    return path


def _fetch_repository(needed: NeededWeights, on_progress: Progress) -> Path:
    """A repository's configuration and weights; its example pictures and other formats stay."""
    from huggingface_hub import HfApi, snapshot_download

    about = HfApi().model_info(needed.source, revision=needed.revision, files_metadata=True)
    published = {file.rfilename: file for file in about.siblings or ()}
    names = _choose_files(published)
    total = sum(published[name].size or 0 for name in names)
    on_progress(needed.source, 0, total)
    local_dir = needed.path if _find_record(needed) else None  # None is the hub's cache
    folder = Path(
        snapshot_download(
            needed.source, revision=needed.revision, allow_patterns=names, local_dir=local_dir
        )
    )
    on_progress(needed.source, total, total)
    fetched = []
    for name in names:
        file, content = folder / name, published[name].lfs
        if content is None:
            continue  # it is small, and the hub's client checks its size
        try:
            check_hash(file, f"sha256:{content.sha256}")
            check_hash(file, needed.known_hash)
        except DataError as err:
            file.resolve().unlink()
            raise DataError(f"{name}: {err}") from err
        fetched.append(_describe(needed, file, BY_HUB, about.sha))
    _write_record(needed, fetched)
    return folder


def _choose_files(names: Iterable[str]) -> list[str]:
    """The configurations and the weights among the files of a repository."""
    top = [name for name in names if "/" not in name]
    weights = choose_state_files(top)
    if not weights:
        raise DataError(f"it holds no weights ({', '.join(STATE_SUFFIXES)})")
    return sorted([*weights, *(name for name in top if name.endswith(".json"))])


def _find_known_hash(needed: NeededWeights, file: Path, entry: dict[str, Any]) -> tuple[str, str]:
    """What the hash of a file must be, and who says so, in words; both empty where nobody does."""
    if not SHA256.fullmatch(needed.known_hash.removeprefix("sha256:")):
        if entry:
            return f"sha256:{entry['sha256']}", f"{entry['checked_by']}, when it was fetched"
        content = file.resolve().name  # in the hub's cache a link leads to a file of this name
        if needed.revision is not None and SHA256.fullmatch(content):
            return f"sha256:{content}", BY_HUB
    return needed.known_hash, _in_words(needed.known_hash)


def _in_words(known_hash: str) -> str:
    """What a hash was compared with.

    >>> _in_words("sha256:73cbd019"), _in_words("md5:cafdb1"), _in_words("")
    ('the first 8 digits of its SHA-256', 'the first 6 digits of its MD5', '')
    """
    algorithm, _, digits = known_hash.partition(":")
    if SHA256.fullmatch(digits):
        return "its SHA-256"
    name = {"sha256": "SHA-256", "md5": "MD5"}.get(algorithm)
    return f"the first {len(digits)} digits of its {name}" if digits else ""


def _describe(
    needed: NeededWeights, file: Path, checked_by: str, revision: str | None = None
) -> FetchedFile:
    size, sha256 = file.stat().st_size, hash_file(file)
    return FetchedFile(needed.source, file, size, sha256, checked_by, revision)


def _find_record(needed: NeededWeights) -> Path | None:
    """The record of fetched weights; None for what cannot be fetched, and in the hub's cache."""
    if needed.revision is None:
        return needed.path.with_name(LOCK_FILE) if needed.is_remote else None
    folder = needed.path.parents[1]
    return folder / LOCK_FILE if needed.path == folder / needed.source else None


def _name_in_record(needed: NeededWeights, name: str) -> str:
    return name if needed.revision is None else f"{needed.source}/{name}"


def _read_record(needed: NeededWeights) -> dict[str, Any]:
    path = _find_record(needed)
    if path is None or not path.is_file():
        return {}
    try:
        entries = parse_object(path.read_bytes(), str(path))
    except CocoFormatError as err:
        raise DataError(f"{err}; delete it") from err
    fields = {"sha256", "checked_by"}
    if not all(isinstance(entry, dict) and fields <= entry.keys() for entry in entries.values()):
        raise DataError(f"{path}: not what fuse fetch writes; delete it")
    return entries


def _write_record(needed: NeededWeights, fetched: Iterable[FetchedFile]) -> None:
    """Add files to the record, if there is one, which other processes may be writing too."""
    path = _find_record(needed)
    if path is None:
        return
    with FileLock(path.with_name(f".{LOCK_FILE}.lock")):
        entries = _read_record(needed)
        for file in fetched:
            entry = file.to_json()
            del entry["path"]
            entries[_name_in_record(needed, file.path.name)] = entry
        text = json.dumps(dict(sorted(entries.items())), indent=2)
        write_whole(path, f"{text}\n".encode())


def _explain_absence(needed: NeededWeights, reason: str) -> str:
    """One line: what is missing where, why it did not come, and the ways to get it there."""
    record = _find_record(needed)
    folder = record.parent if record else needed.path.parent
    if needed.revision is None:
        what, url, variable = needed.path.name, needed.source, "TORCH_HOME"
        where = f"not in {folder}"
    else:
        what, url, variable = needed.source, f"https://huggingface.co/{needed.source}", "HF_HOME"
        where = f"neither a folder here nor in {folder}"
    return (
        f"{what} is {where}, and cannot be fetched from {url} ({reason}); where there is "
        "a network, run fuse fetch PIPELINE --to DIR and give --weights-dir DIR here; or put it "
        f"into {folder}, or set {variable} to where it is"
    )
