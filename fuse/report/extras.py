"""Figures of other commands that a report draws as well: a sweep, a ledger of the missing PQ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fuse.analysis.diagnose.diagnosis import BAND_TITLES, LINE_TITLES
from fuse.errors import CocoFormatError
from fuse.io.json_files import read_json

SCORES = ("all", "things", "stuff")

Setting = dict[str, float | str | None]


@dataclass(frozen=True, slots=True)
class _Sweep:
    settings: list[Setting]
    best: Setting
    images: int = 0
    held_out: dict[str, dict[str, float | int | None]] | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    key: str
    share: float
    parts: tuple[_Line, ...] = ()


@dataclass(frozen=True, slots=True)
class _Ledger:
    ledger: list[_Line]
    rest: float


def read_sweep(path: Path) -> dict[str, Any]:
    """What is drawn of a JSON of `fuse sweep`.

    Raises:
        CocoFormatError: it is no such file.
    """
    what = "JSON of `fuse sweep --json`"
    sweep: _Sweep = read_json(path, _Sweep, what)
    if not all(key in setting for setting in (*sweep.settings, sweep.best) for key in SCORES):
        raise CocoFormatError(f"{path} is not a {what}: a setting lacks one of {', '.join(SCORES)}")
    return asdict(sweep)


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON of `fuse diagnose`, the dearest first, each with title and parts.

    Raises:
        CocoFormatError: it is no such file.
    """
    content: _Ledger = read_json(path, _Ledger, "JSON of `fuse diagnose --json`")
    lines = [_name_line(line) for line in sorted(content.ledger, key=lambda line: -line.share)]
    return [*lines, {"title": "the rule itself", "share": content.rest, "parts": []}]


def _name_line(line: _Line) -> dict[str, Any]:
    title = LINE_TITLES.get(line.key) or BAND_TITLES.get(line.key.rpartition("/")[2], line.key)
    return {"title": title, "share": line.share, "parts": [_name_line(p) for p in line.parts]}
