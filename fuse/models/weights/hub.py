"""Repositories of the Hugging Face hub: fetching what a net needs, and the hub's reasons."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from time import sleep
from typing import Any

from fuse.errors import DataError, FuseWarning, first_line, shorten
from fuse.models.weights.download import check_hash
from fuse.models.weights.side_files import (
    COMMIT,
    OPTIONAL,
    find_record_file,
    hash_as_git,
    is_intact,
    mark_absent,
    name_side_files,
    read_record,
)
from fuse.models.weights.sources import (
    STATE_SUFFIXES,
    NeededWeights,
    choose_state_files,
    holds_weights,
    own_ref,
)
from fuse.version import __version__

BY_HUB = "the hub's SHA-256"
BY_GIT = "git's SHA-1 on the hub"
SIDE_SUFFIXES = (".json", ".txt")  # configurations, and what a tokenizer reads
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
BUSY = (429, 500, 502, 503, 504)  # statuses that may be gone a moment later
WAITS = (1.0, 2.0, 4.0)  # seconds before each further try, where the hub names none
LONGEST_WAIT = 60.0
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository as it was fetched.

    Attributes:
        path: where it lies.
        checked_by: what its content was compared with, in words.
    """

    path: Path
    checked_by: str


def fetch_repository(
    needed: NeededWeights, on_progress: Callable[[str, int, int], None]
) -> tuple[Path, str, list[HubFile]]:
    """Fetch a repository's weights and what lies beside them; example pictures stay.

    What is there already and whole stays. Where the weights are, what is missing comes from the
    same commit, however far the branch has moved.

    Returns:
        The folder, its commit, and the files.

    Raises:
        DataError: there are no weights in it, or a file's content is another than the hub says.
        Exception: whatever the hub's client raises, see `explain`.
    """
    from huggingface_hub import snapshot_download

    about = _describe(needed)
    if about.id and about.id != needed.source:
        warnings.warn(
            FuseWarning(f"{needed.source} is now called {about.id} on the hub; name it so"),
            stacklevel=2,
        )
    published = {file.rfilename: file for file in about.siblings or ()}
    names = _choose_files(published)
    total = sum(published[name].size or 0 for name in names)
    on_progress(needed.source, 0, total)
    in_weights_dir = find_record_file(needed.path, needed.source) is not None
    _drop_damaged(needed, names)
    fetch = partial(
        snapshot_download,
        allow_patterns=names,
        local_dir=needed.path if in_weights_dir else None,
        tqdm_class=_make_counter(
            lambda there: on_progress(needed.source, min(there, total), total)
        ),
        library_name="fuse",
        library_version=__version__,
    )
    folder = Path(fetch(needed.source, revision=about.sha))
    files = [_check(folder / name, published[name], needed.known_hash) for name in names]
    on_progress(needed.source, total, total)
    mark_absent(folder, [name for name in OPTIONAL if name not in published])
    _require_side_files(needed, folder, published)
    commit = str(about.sha)
    if not in_weights_dir:
        _note_commit(folder.parents[1], needed.revision or "main", commit)
    return folder, commit, files


def _make_counter(on_bytes: Callable[[int], None]) -> Any:  # noqa: ANN401 - a class of tqdm
    """In place of the bars of the hub's client: draws nothing and tells the bytes there are."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined, unused-ignore]

    lock, there = Lock(), 0

    class Counter(tqdm):  # type: ignore[misc, type-arg, unused-ignore]
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as tqdm has them
            bar: Any = super()
            bar.__init__(*args, **kwargs | {"disable": True})
            self._counts_bytes = kwargs.get("unit") == "B"

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal there
            if self._counts_bytes and n:
                with lock:
                    there += int(n)
                    on_bytes(there)
            return None

    return Counter


def _describe(needed: NeededWeights) -> Any:  # noqa: ANN401 - the hub's ModelInfo
    """What the hub says of a repository; asked again where it is busy, as is done for files.

    Raises:
        Exception: whatever the hub's client raises.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(library_name="fuse", library_version=__version__)
    for wait in (*WAITS, None):
        try:
            return api.model_info(needed.source, revision=_find_commit(needed), files_metadata=True)
        except HfHubHTTPError as err:
            if wait is None or err.response.status_code not in BUSY:
                raise
            asked = str(err.response.headers.get("Retry-After", ""))
            sleep(min(float(asked), LONGEST_WAIT) if asked.isdigit() else wait)
    raise AssertionError  # the last try returns or raises


def _note_commit(cached: Path, revision: str, commit: str) -> None:
    """Note in the hub's cache which commit a branch or tag was, for us and where nobody has yet."""
    if COMMIT.fullmatch(revision):
        return
    own, usual = own_ref(cached, revision), cached / "refs" / revision
    for ref in (own, usual):
        if ref == own or not ref.exists():
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(commit, encoding="utf-8")


def _find_commit(needed: NeededWeights) -> str | None:
    """The commit of weights that are there and lack something else; else the revision asked for."""
    if not holds_weights(needed.path):
        return needed.revision
    record = read_record(find_record_file(needed.path, needed.source))
    recorded = {
        str(entry.get("revision"))
        for name, entry in record.items()
        if name.startswith(f"{needed.source}/")
    }
    held = recorded.pop() if len(recorded) == 1 else needed.path.name
    asked = needed.revision or ""
    if COMMIT.fullmatch(asked):
        return asked
    return held if COMMIT.fullmatch(held) else asked


def _choose_files(names: Iterable[str]) -> list[str]:
    """The weights and what lies beside them among the files of a repository."""
    top = [name for name in names if "/" not in name]
    weights = choose_state_files(top)
    if not weights:
        raise DataError(f"it holds no weights ({', '.join(STATE_SUFFIXES)})")
    beside = (name for name in top if name.endswith(SIDE_SUFFIXES) and name not in weights)
    return sorted([*weights, *beside])


def _drop_damaged(needed: NeededWeights, names: Iterable[str]) -> None:
    """Remove links to nothing and damaged side files, which the hub's client takes for whole."""
    record = read_record(find_record_file(needed.path, needed.source))
    for name in names:
        file = needed.path / name
        if file.is_symlink() and not file.exists():
            file.unlink()
        elif (
            file.is_file()
            and name.endswith(SIDE_SUFFIXES)
            and not is_intact(file, record, needed.source)
        ):
            remove_with_blob(file)


def remove_with_blob(file: Path) -> None:
    """Remove a file, in the hub's cache the link and the content that it leads to."""
    content = file.resolve()
    content.unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def _check(file: Path, about: Any, known_hash: str) -> HubFile:  # noqa: ANN401 - the hub's RepoSibling
    """A fetched file, compared with what the hub says of it.

    Raises:
        DataError: it is another, or did not come; it is not kept.
    """
    try:
        if not file.is_file():
            raise DataError("it did not come")
        if about.lfs is not None:
            check_hash(file, f"sha256:{about.lfs.sha256}")
            check_hash(file, known_hash)
            return HubFile(file, BY_HUB)
        if about.size is not None and file.stat().st_size != about.size:
            raise DataError(f"it has {file.stat().st_size} bytes, not {about.size}")
        if not about.blob_id or set(about.blob_id) == {"0"}:
            return HubFile(file, "its size on the hub")
        if hash_as_git(file) != about.blob_id:
            raise DataError(f"git's SHA-1 of its content is not {about.blob_id}")
        return HubFile(file, BY_GIT)
    except DataError as err:
        remove_with_blob(file)
        raise DataError(f"{file.name}: {err}") from err


def _require_side_files(needed: NeededWeights, folder: Path, published: Iterable[str]) -> None:
    """Raise DataError where a repository lacks a file without which its net cannot be run."""
    there = set(published)
    for group in name_side_files(needed.model, folder):
        names = group.split("|")
        if not there.intersection(names) and not set(names).intersection(OPTIONAL):
            raise DataError(f"it holds no {' or '.join(names)}, without which it cannot be run")


def explain(err: Exception, source: str, revision: str | None) -> tuple[str, str, bool]:
    """Why a repository did not come, in the hub's own words, and what to do about it.

    Args:
        err: what the hub's client raised.
        source: ``owner/name``.
        revision: that was asked for.

    Returns:
        The reason; the advice, which may be empty; and whether the hub was reached, so that asking
        it from elsewhere would not help.
    """
    from huggingface_hub import constants, errors

    err = _find_answer(err)
    said = shorten(str(getattr(err, "server_message", None) or "").strip().partition("\n")[0])
    status = getattr(getattr(err, "response", None), "status_code", None)
    page = f"{constants.ENDPOINT}/{source}"
    advice = "set HF_TOKEN to a token that may read it (or run hf auth login)"
    reason = f"{status}: {said}" if status and said else first_line(err)
    if isinstance(err, errors.OfflineModeIsEnabled):
        names = [name for name in OFFLINE_VARIABLES if os.environ.get(name)] or OFFLINE_VARIABLES
        return f"{names[0]} forbids it", f"unset {names[0]}", False
    if isinstance(err, errors.GatedRepoError):
        return reason, f"agree to its terms on {page}, then {advice}", True
    if isinstance(err, errors.RevisionNotFoundError):
        named = f"name a branch, tag or commit of {page} as revision, not {revision!r}"
        return reason, named, True
    if isinstance(err, errors.RepositoryNotFoundError):
        return reason, f"check the name on {page}; if it is private, {advice}", True
    if status == 403:
        return reason, f"the token in use may not read it; {advice}", True
    if status is not None:
        return reason, "try again later" if status >= 500 or status == 429 else "", True
    if isinstance(err, DataError):
        return str(err), "", True
    return first_line(err) or type(err).__name__, _advise_on_proxy(), False


def _find_answer(err: Exception) -> Exception:
    """The error that has what the hub answered, which its client may say in other words."""
    cause: BaseException | None = err
    while cause is not None:
        if isinstance(cause, Exception) and getattr(cause, "response", None) is not None:
            return cause
        cause = cause.__cause__
    return err


def _advise_on_proxy() -> str:
    """What to look at where the hub is not reached through a proxy."""
    found = next((name for name in PROXY_VARIABLES if os.environ.get(name)), None)
    if found is None:
        return ""
    shown = re.sub(r"//[^/@]*@", "//", os.environ[found])  # without a password
    return f"the way leads through the proxy {shown} of {found}"
