"""The cells of the table: a kind of fault, a command that it can reach, and what then happens.

A cell is tried here, or names the test that tries it; and what is not done yet is called open.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERDICTS = ("right", "said", "refused", "open")
WORDS = {
    "A1": "images changed since",
    "A2": "nets that answer probabilities or labels",
    "A3": "names written otherwise, own numbers",
    "A4": "checkpoints that name their classes",
    "A5": "side files of published weights",
    "A6": "files beside images that are not read",
    "B7": "fields that nobody needs",
    "B8": "category id 0",
    "B9": "EXIF turned, truth is not",
    "B10": "backslashes and URLs in names",
    "B11": "checkpoints as trainers write them",
    "B12": "files of systems beside images",
    "D21": "links in the output",
    "D22": "killed while overwriting",
    "D23": "strangers' files in a run's folder",
    "D24": "the map of another image",
    "D25": "hostile weights",
    "D26": "power cuts",
    "D27": "paths that are too long",
    "D28": "a suspended machine",
    "D29": "half images",
    "D30": "Pipeline() and run",
    "D31": "memory of large images",
    "D32": "too much of everything",
    "E33": "two entries of one image",
    "E34": "units, orders and axes mixed up",
    "E35": "regions of several images in one",
    "E36": "files beside labels",
    "E37": "what a form cannot hold",
    "E38": "outputs over what is there",
    "E39": "a run half deleted",
}


@dataclass(frozen=True)
class Cell:
    """A kind, what a command makes of it, and who tries that.

    Attributes:
        kind: a key of WORDS.
        command: as ``run --gt``.
        verdict: one of VERDICTS; ``right`` is the right result, ``said`` with a note.
        instance: which one of the kind.
        tried: takes a World and answers the verdict; or the id of a test, or why it is open.
    """

    kind: str
    command: str
    verdict: str
    instance: str
    tried: Callable | str

    def __str__(self):
        return f"{self.kind}, {self.command}, {self.instance}"


CELLS: list[Cell] = []


def cell(kind, command, verdict, instance):
    """A function of a World is what tries the cell."""
    assert kind in WORDS
    assert verdict in VERDICTS

    def add(function):
        CELLS.append(Cell(kind, command, verdict, instance, function))
        return function

    return add


def tested(kind, command, verdict, instance, test):
    """A test that stands elsewhere tries the cell: ``tests/file.py::test_name``."""
    CELLS.append(Cell(kind, command, verdict, instance, test))


def is_there(test):
    """Whether a test of that id exists."""
    path, name = test.split("::")
    file = ROOT / path
    return file.is_file() and f"\ndef {name}(" in file.read_text(encoding="utf-8")


def awaited(kind, command, verdict, why_open, test):
    """As `tested`; open as long as there is no such test."""
    if is_there(test):
        tested(kind, command, verdict, why_open, test)
    else:
        open_yet(kind, command, why_open)


def open_yet(kind, command, why):
    """Nobody mended it yet."""
    CELLS.append(Cell(kind, command, "open", why, why))
