"""CSV files that commands write, whole or not at all (`fuse.io.files`), and presets name."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from fuse.errors import CocoFormatError, DataError
from fuse.io.files import open_whole, refuse_special
from fuse.labels import LabelMap, tabulate_label_map

COLUMNS = ("above", "below")


@dataclass(frozen=True, slots=True)
class PairCount:
    """How often one class was seen on another.

    Attributes:
        above: name of the class that more often has the pixels both masks cover.
        below: the other's.
        wins: overlaps that went to the one above.
        losses: overlaps that went to the one below.
    """

    above: str
    below: str
    wins: int
    losses: int


def read_pairs(path: Path) -> tuple[tuple[str, str], ...]:
    """Read the columns ``above`` and ``below`` of a CSV file; others are for readers.

    Raises:
        CocoFormatError: the file is missing, lacks a column or a name, or says of two classes
            that each lies on the other.
    """
    try:
        refuse_special(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise CocoFormatError(f"{path}: cannot be read as a table of pairs ({err})") from err
    pairs = [tuple((row.get(column) or "").strip() for column in COLUMNS) for row in rows]
    for line, (above, below) in enumerate(pairs, start=2):
        if not above or not below:
            raise CocoFormatError(f"{path}, line {line}: give the columns above and below")
        if (below, above) in pairs:
            raise CocoFormatError(f"{path}, line {line}: {above!r} and {below!r} stand both ways")
    return tuple((above, below) for above, below in pairs)


def write_pairs(path: Path, counts: Iterable[PairCount]) -> None:
    """Write a table that `read_pairs` reads."""
    write_table(path, [field.name for field in fields(PairCount)], map(astuple, counts))


def write_label_map(path: Path, label_map: LabelMap) -> None:
    """Write a map that `fuse.labels.read_label_map` reads.

    Raises:
        DataError: there is such a file; it may have been completed by hand.
        LabelSpaceError: a category of the target is called ``void``.
    """
    header, *rows = tabulate_label_map(label_map)
    if path.exists():
        raise DataError(f"{path} is there already; give another name, or delete it")
    write_table(path, header, rows)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a header and rows."""
    with open_whole(path) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
