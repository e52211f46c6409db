"""Getting weights that are not on this machine yet: checked, and with a record.

Files behind URLs come by `download`; repositories of the Hugging Face hub by its own client, which
goes on after a cut too. What was fetched is recorded in a small file beside it,
``weights.lock.json``, with the full SHA-256 and what that was checked by, so that a later fetch
can say whether a file is still the same. The hub's own cache needs no record: there a folder has
the name of its commit, and a file's content that of its SHA-256.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from fuse.errors import DataError, FuseWarning, ModelNotFoundError, first_line, suggest
from fuse.io.files import check_writable, hash_file, write_whole
from fuse.models.weights.download import check_hash, download
from fuse.models.weights.hub import BY_GIT, BY_HUB, explain, fetch_repository
from fuse.models.weights.side_files import (
    COMMIT,
    LOCK_FILE,
    SHA1,
    SHA256,
    find_record_file,
    name_side_files,
    read_record,
)
from fuse.models.weights.sources import (
    NeededWeights,
    describe_named,
    find_restriction,
    holds_weights,
    list_published,
    list_shipped_weights,
    list_state_files,
)

Progress = Callable[[str, int, int], None]  # name, bytes there, bytes in all

FETCH_ELSEWHERE = (
    "where there is a network, run fuse fetch PIPELINE --to DIR and give --weights-dir DIR here"
)


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
        names = [*list_published(model, options.get("architecture"))]
        if model == "transformers":
            names.append("any repository of the Hugging Face hub as owner/name")
        else:
            names = [*list_shipped_weights(), *names]
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
    if restriction := find_restriction(needed.source):
        warnings.warn(FuseWarning(f"{needed.source}: {restriction}"), stacklevel=2)
    check_writable(needed.path)
    fetch = _fetch_file if needed.revision is None else _fetch_repository
    try:
        return fetch(needed, on_progress or (lambda _name, _there, _total: None))
    except Exception as err:  # the hub's client raises whatever its transport raises
        raise ModelNotFoundError(_explain_absence(needed, err)) from err


def check_weights(needed: NeededWeights) -> list[FetchedFile]:
    """What the weights on this machine are, after a look at every byte of them.

    Raises:
        DataError: a file is another than the one that was published or fetched.
    """
    record = _read_record(needed)
    found = []
    for file in _list_files(needed):
        entry = record.get(_name_in_record(needed, file.name), {})
        known_hash, checked_by = _find_known_hash(needed, file, entry)
        try:
            check_hash(file, known_hash)
        except DataError as err:
            raise DataError(f"{file}: {err}; delete it and fetch it again") from err
        found.append(_describe(needed, file, checked_by, entry.get("revision")))
    return found


def _list_files(needed: NeededWeights) -> list[Path]:
    """The weights, and of a repository the side files that its model reads."""
    if needed.path.is_file():
        return [needed.path]
    groups = name_side_files(needed.model, needed.path) if needed.revision is not None else ()
    names = sorted({name for group in groups for name in group.split("|")})
    beside = (needed.path / name for name in names)
    return [*list_state_files(needed.path), *(file for file in beside if file.is_file())]


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
    folder, commit, files = fetch_repository(needed, on_progress)
    fetched = [_describe(needed, file.path, file.checked_by, commit) for file in files]
    _write_record(replace(needed, path=folder), fetched)
    return folder


def _find_known_hash(needed: NeededWeights, file: Path, entry: dict[str, Any]) -> tuple[str, str]:
    """What the hash of a file must be, and who says so, in words; both empty where nobody does."""
    is_weights = file == needed.path or file in list_state_files(needed.path)
    if is_weights and SHA256.fullmatch(needed.known_hash.removeprefix("sha256:")):
        return needed.known_hash, _in_words(needed.known_hash)
    if entry:
        return f"sha256:{entry['sha256']}", f"{entry['checked_by']}, when it was fetched"
    content = file.resolve().name  # in the hub's cache a link leads to a file of this name
    if needed.revision is not None and SHA256.fullmatch(content):
        return f"sha256:{content}", BY_HUB
    if needed.revision is not None and SHA1.fullmatch(content):
        return f"git:{content}", BY_GIT
    return (needed.known_hash, _in_words(needed.known_hash)) if is_weights else ("", "")


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
    return find_record_file(needed.path, needed.source)


def _name_in_record(needed: NeededWeights, name: str) -> str:
    return name if needed.revision is None else f"{needed.source}/{name}"


def _read_record(needed: NeededWeights) -> dict[str, Any]:
    return read_record(_find_record(needed))


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


def _explain_absence(needed: NeededWeights, err: Exception) -> str:
    """One line: what is missing where, why it did not come, and the ways to get it there."""
    if needed.revision is not None:
        return _explain_repository(needed, err)
    folder = needed.path.parent
    return (
        f"{needed.path.name} is not in {folder}, and cannot be fetched from {needed.source} "
        f"({first_line(err)}); {FETCH_ELSEWHERE}; or put it into {folder}, or set TORCH_HOME to "
        "where it is"
    )


def _explain_repository(needed: NeededWeights, err: Exception) -> str:
    """`_explain_absence` of a repository; what the hub refuses it refuses from everywhere."""
    from huggingface_hub import constants

    record = _find_record(needed)
    folder = record.parent if record else needed.path.parent
    reason, advice, was_reached = explain(err, needed.source, needed.revision)
    missing = f"{needed.source} is neither a folder here nor in {folder}"
    if holds_weights(needed.path):
        missing = f"{needed.source} in {needed.path} lacks {', '.join(needed.list_missing())}"
        if not needed.list_missing():
            missing = f"{needed.source} in {needed.path} is another commit than {needed.revision}"
    ways = [advice] if advice else []
    if not was_reached:
        ways.append(
            f"{FETCH_ELSEWHERE}; or put the repository's files into DIR/{needed.source} yourself, "
            "or set HF_HOME to a cache that has them"
        )
    page = f"{constants.ENDPOINT}/{needed.source}"
    return "; ".join([f"{missing}, and cannot be fetched from {page} ({reason})", *ways])
