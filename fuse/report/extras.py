"""Figures of other commands that a report draws as well: a sweep, a ledger of the missing PQ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fuse.analysis.diagnosis import BAND_TITLES, LINE_TITLES
from fuse.errors import CocoFormatError
from fuse.io.json_files import read_json


def read_sweep(path: Path) -> dict[str, Any]:
    """What is drawn of a JSON of `fuse sweep`.

    Raises:
        CocoFormatError: it is no such file.
    """
    content = _read(path, "settings", "fuse sweep --json")
    return {key: content.get(key) for key in ("settings", "best", "interval")}


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON of `fuse diagnose`, the dearest first, each with title and parts.

    Raises:
        CocoFormatError: it is no such file.
    """
    content = _read(path, "ledger", "fuse diagnose --json")
    try:
        lines = [
            _name_line(line) | {"parts": [_name_line(part) for part in line["parts"]]}
            for line in content["ledger"]
        ]
        rest = {"title": "the rule itself", "share": float(content["rest"]), "parts": []}
    except (KeyError, TypeError, ValueError) as err:
        raise CocoFormatError(f"{path}: a line of the ledger is damaged ({err!r})") from err
    return [*sorted(lines, key=lambda line: -line["share"]), rest]


def _name_line(line: Mapping[str, Any]) -> dict[str, Any]:
    key = str(line["key"])
    title = LINE_TITLES.get(key) or BAND_TITLES.get(key.rpartition("/")[2], key)
    return {"title": title, "share": float(line["share"])}


def _read(path: Path, key: str, command: str) -> dict[str, Any]:
    """A JSON object that has a list under that key."""
    content: dict[str, Any] = read_json(path, dict[str, Any], f"JSON of `{command}`")
    if not isinstance(content.get(key), list):
        raise CocoFormatError(f"{path} is not a JSON of `{command}`: it has no list {key!r}")
    return content
