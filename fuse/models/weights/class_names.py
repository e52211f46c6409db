"""The names of a net's classes, wherever its file says them and however they are written."""

from __future__ import annotations

import ast
import json
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

# Entries of checkpoints, configs and metadata that are lists of classes. transformers and others
# write id2label; mmsegmentation CLASSES or classes; YOLO names; torchvision categories.
KEYS = ("id2label", "class_names", "classes", "CLASSES", "names", "categories", "labels")
# Entries in which these may stand.
HOLDERS = ("meta", "dataset_meta", "metadata", "hyper_parameters", "args", "config")
UNNAMED = re.compile(r"LABEL_\d+|\d*")  # what transformers calls classes that nobody named
LONGEST_TEXT = 2**20  # characters of a list written as text


def find_class_names(holder: object) -> tuple[str, ...] | None:
    """The names of the classes in what a file holds beside its tensors, None where it has none.

    >>> find_class_names({"meta": {"CLASSES": ["road", "sky"]}})
    ('road', 'sky')
    >>> find_class_names({"names": "{1: 'sky', 0: 'road'}"})  # as YOLO writes it into ONNX files
    ('road', 'sky')
    >>> find_class_names({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "classes": 2})
    """
    holder = vars(holder) if isinstance(holder, Namespace) else holder
    if not isinstance(holder, Mapping):
        return None
    for key in KEYS:
        if (names := parse_class_names(holder.get(key))) is not None:
            return names
    for key in HOLDERS:
        if (names := find_class_names(holder.get(key))) is not None:
            return names
    return None


def parse_class_names(value: object) -> tuple[str, ...] | None:
    """A list of names, a table of them by number, or either as text; None for all else."""
    if isinstance(value, str):
        value = _parse_text(value)
    if isinstance(value, Mapping):
        value = _order(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    entries = [entry.get("name") if isinstance(entry, Mapping) else entry for entry in value]
    names = [entry for entry in entries if isinstance(entry, str)]
    is_list = len(names) == len(entries) and not all(map(UNNAMED.fullmatch, names))
    return tuple(names) if is_list else None


def read_archived_names(path: Path) -> tuple[str, ...] | None:
    """The names in what torch packed beside a program (``extra_files``), None without any.

    YOLO's exports have a ``config.txt`` there, with names among other keys; a file may as well be
    the list itself.
    """
    with ZipFile(path) as archive:
        texts = {
            PurePosixPath(member.filename).stem: archive.read(member).decode(errors="replace")
            for member in archive.infolist()
            if "extra" in PurePosixPath(member.filename).parts[:-1]
            and member.file_size <= LONGEST_TEXT
        }
    found = [find_class_names(texts), *(find_class_names(_parse_text(t)) for t in texts.values())]
    return next((names for names in found if names is not None), None)


def _parse_text(text: str) -> object:
    """What a text holds as JSON or as Python writes it; nothing is run."""
    text = text.strip()
    if len(text) > LONGEST_TEXT or not text.startswith(("[", "{", "(")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _order(table: Mapping[object, object]) -> list[object] | None:
    """The values of a table whose keys are 0, 1, 2, ..., or of one from names to these."""
    keys, values = list(table), list(table.values())
    if values and all(isinstance(value, int) for value in values):
        keys, values = values, keys
    try:
        by_number = {int(str(key)): value for key, value in zip(keys, values, strict=True)}
    except ValueError:
        return None
    if sorted(by_number) != list(range(len(table))):
        return None
    return [by_number[number] for number in range(len(table))]
