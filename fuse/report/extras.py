"""Figures of other commands that a report draws as well: of `fuse sweep` and `fuse diagnose`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fuse.analysis.diagnose.diagnosis import find_title
from fuse.errors import CocoFormatError
from fuse.io.json_toml import read_json

SCORES = ("all", "things", "stuff")

Setting = dict[str, float | str | None]


@dataclass(frozen=True, slots=True)
class _Sweep:
    settings: list[Setting]
    best: Setting
    photos: int = 0
    held_out: dict[str, dict[str, float | int | None]] | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Cost:
    key: str
    share: float
    parts: tuple[_Cost, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "title": find_title(self.key),
            "share": self.share,
            "parts": [part.to_json() for part in self.parts],
        }


@dataclass(frozen=True, slots=True)
class _Diagnosis:
    ledger: list[_Cost]
    rest: float
    run: str | None = None  # earlier files do not say it


def read_extras(sweep: Path | None, ledger: Path | None) -> dict[str, Any]:
    """Both in plain values, None where a file is not given.

    Raises:
        CocoFormatError: one is no such file.
    """
    return {
        "sweep": read_sweep(sweep) if sweep else None,
        "error_types": read_error_types(ledger) if ledger else None,
    }


def read_sweep(path: Path) -> dict[str, Any]:
    """What is drawn of a JSON of `fuse sweep`, which says `photos` for images.

    Raises:
        CocoFormatError: it is no such file.
    """
    what = "JSON of `fuse sweep --json`"
    sweep: _Sweep = read_json(path, _Sweep, what)
    if not all(key in setting for setting in (*sweep.settings, sweep.best) for key in SCORES):
        raise CocoFormatError(f"{path} is not a {what}: a setting lacks one of {', '.join(SCORES)}")
    drawn = asdict(sweep)
    drawn["images"] = drawn.pop("photos")
    return drawn


def read_error_types(path: Path) -> dict[str, Any]:
    """Whose errors a JSON of `fuse diagnose` has, and their types, the costliest first.

    Raises:
        CocoFormatError: it is no such file.
    """
    content: _Diagnosis = read_json(path, _Diagnosis, "JSON of `fuse diagnose --json`")
    costs = sorted(content.ledger, key=lambda cost: -cost.share)
    rest = {"title": "the rule itself", "share": content.rest, "parts": []}
    return {
        "run": content.run or f"the run of {path.name}",
        "costs": [*(cost.to_json() for cost in costs), rest],
    }
