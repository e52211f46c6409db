"""The small files beside weights that decide an answer: how a net is built and what it is fed.

A net without them would be fed otherwise and answer otherwise, so a repository of the Hugging Face
hub is only there when they are, whole, or are known not to exist. The hub's own cache names a
file's content after its hash (SHA-256, or git's SHA-1 of small files) and keeps empty files below
``.no_exist`` for what a commit lacks; in a weights folder the record of what was fetched says both.

Nothing here fetches, and nothing imports torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fuse.errors import CocoFormatError, DataError
from fuse.io.files import hash_file
from fuse.io.json_toml import parse_object

LOCK_FILE = "weights.lock.json"
CONFIG = "config.json"
# Of several names between bars one is enough. What may be missing in a repository is found out
# when it is fetched; what may not is an error then.
SIDE_FILES = {
    "smp": (CONFIG, "albumentations_config_eval.json"),
    "transformers": (CONFIG, "preprocessor_config.json|processor_config.json"),
}
ONEFORMER_FILES = ("tokenizer.json|vocab.json", "tokenizer.json|merges.txt")  # it reads its task
OPTIONAL = ("albumentations_config_eval.json",)

SHA1 = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = SHA1


def name_side_files(model: str, folder: Path) -> tuple[str, ...]:
    """The side files that a model reads, see `SIDE_FILES`; some depend on the configuration."""
    names = SIDE_FILES.get(model, ())
    if model == "transformers" and _read_model_type(folder) == "oneformer":
        return (*names, *ONEFORMER_FILES)
    return names


def _read_model_type(folder: Path) -> object:
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # who reads it says what is wrong with it
    return config.get("model_type") if isinstance(config, dict) else None


def hash_side_files(model: str, folder: Path) -> dict[str, str]:
    """SHA-256 of the side files that are in a folder, by name."""
    names = {name for group in name_side_files(model, folder) for name in group.split("|")}
    return {name: hash_file(folder / name) for name in sorted(names) if (folder / name).is_file()}


def find_missing(model: str, folder: Path, source: str) -> list[str]:
    """Names of the side files that a repository's folder lacks, or has only damaged.

    Args:
        model: that reads it.
        folder: a snapshot in the hub's cache, or ``source`` below a weights folder.
        source: ``owner/name``.
    """
    record = read_record(find_record_file(folder, source))
    missing = []
    for group in name_side_files(model, folder):
        names = group.split("|")
        if any(is_intact(folder / name, record, source) for name in names):
            continue
        if not any(name in OPTIONAL and _is_absent(folder, name, record, source) for name in names):
            missing.append(" or ".join(names))
    return missing


def is_intact(file: Path, record: Mapping[str, Any], source: str) -> bool:
    """Whether a small file is there with the content that it was fetched with."""
    if not file.is_file():
        return False
    entry = record.get(f"{source}/{file.name}", {})
    known = str(entry.get("sha256", "")) or file.resolve().name
    if SHA256.fullmatch(known):
        return hash_file(file) == known
    if SHA1.fullmatch(known):
        return hash_as_git(file) == known
    return True  # it was put there by hand


def _is_absent(folder: Path, name: str, record: Mapping[str, Any], source: str) -> bool:
    """Whether it is known that the repository has no such file."""
    if (folder.parents[1] / ".no_exist" / folder.name / name).is_file():
        return True
    return f"{source}/{CONFIG}" in record and f"{source}/{name}" not in record


def mark_absent(folder: Path, names: Sequence[str]) -> None:
    """Note in the hub's cache that a snapshot's repository has no such files."""
    if folder.parent.name != "snapshots":
        return
    for name in names:
        marker = folder.parents[1] / ".no_exist" / folder.name / name
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def hash_as_git(file: Path) -> str:
    """SHA-1 of a small file as git names it."""
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def find_record_file(folder: Path, source: str) -> Path | None:
    """The record of the weights folder that a repository lies in; None in the hub's cache."""
    root = folder.parents[1] if len(folder.parents) > 1 else folder
    return root / LOCK_FILE if folder == root / source else None


def read_record(path: Path | None) -> dict[str, Any]:
    """The entries of a record by file; empty where there is none.

    Raises:
        DataError: it is damaged.
    """
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
