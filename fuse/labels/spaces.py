"""Loading label spaces: one CSV file per space, one row per category."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from fuse.errors import LabelSpaceError
from fuse.types import Category, LabelSpace

SPACES_DIR = Path(__file__).parent / "spaces"
COLUMNS = ("category_id", "class_index", "name", "isthing", "supercategory", "r", "g", "b")


def list_spaces() -> tuple[str, ...]:
    """Names of the label spaces that ship, sorted."""
    return tuple(sorted(path.stem for path in SPACES_DIR.glob("*.csv")))


def load_space(name: str) -> LabelSpace:
    """The label space of that name, or the one in a CSV file at that path.

    Raises:
        LabelSpaceError: no such space ships and there is no such file, or the file is wrong.

    >>> space = load_space("coco_panoptic")
    >>> len(space.thing_ids), len(space.stuff_ids), space.by_id[187].name
    (80, 53, 'sky-other-merged')
    """
    if name in list_spaces():
        return _load_shipped(name)
    path = Path(name)
    if path.suffix == ".csv" and path.is_file():
        return read_space(path)
    raise LabelSpaceError(
        f"no label space {name!r}; shipped are {', '.join(list_spaces())}, "
        f"or give the path of a CSV file with the columns {','.join(COLUMNS)}"
    )


@cache
def _load_shipped(name: str) -> LabelSpace:
    return read_space(SPACES_DIR / f"{name}.csv")


def read_space(path: Path) -> LabelSpace:
    """Read a label space from a CSV file; its name is the file's stem.

    Raises:
        LabelSpaceError: the file's columns or a row are wrong; the message names the line.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise LabelSpaceError(f"{path}: the first line must read {','.join(COLUMNS)}")
        categories = [_parse_row(row, reader.line_num, path) for row in reader]
    return LabelSpace(path.stem, tuple(category for _, category in sorted(categories)))


def _parse_row(row: dict[str, str], line: int, path: Path) -> tuple[int, Category]:
    """(class_index, category) of one row."""
    try:
        if row["isthing"] not in ("0", "1"):
            raise ValueError(f"isthing must be 0 or 1, got {row['isthing']!r}")
        color = (int(row["r"]), int(row["g"]), int(row["b"]))
        if not all(0 <= channel <= 255 for channel in color):
            raise ValueError(f"r, g, b must lie in 0..255, got {color}")
        category = Category(
            category_id=int(row["category_id"]),
            name=row["name"],
            isthing=row["isthing"] == "1",
            supercategory=row["supercategory"],
            color=color,
        )
        return int(row["class_index"]), category
    except (TypeError, ValueError) as err:
        raise LabelSpaceError(f"{path}, line {line}: {err}") from err


def identify_space(categories: Iterable[Category]) -> LabelSpace | None:
    """The shipped space that these categories are, or the only one they are a part of.

    Compared are id, name and isthing; colours and supercategories may differ. None where
    no shipped space fits, or where several do and none of them exactly.

    >>> identify_space([Category(187, "sky-other-merged", False)]).name
    'coco_panoptic'
    """
    wanted = {(c.category_id, c.name, c.isthing) for c in categories}
    containing = []
    for name in list_spaces():
        space = load_space(name)
        offered = {(c.category_id, c.name, c.isthing) for c in space.categories}
        if wanted == offered:
            return space
        if wanted <= offered:
            containing.append(space)
    return containing[0] if len(containing) == 1 else None
