"""Loading label spaces: one CSV file per space, one row per category."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from fuse.errors import ConfigError, FuseWarning, LabelSpaceError, did_you_mean
from fuse.labels.class_names import find_fitting_spaces, match_names
from fuse.types import Int32Array
from fuse.types.label_space import ID_OF_ZERO, NONE_BESIDE_ZERO, Category, LabelSpace, id_from_file

SPACES_DIR = Path(__file__).parent / "spaces"
COLUMNS = ("category_id", "class_index", "name", "isthing", "supercategory", "r", "g", "b")
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
MAX_CLASSES = 2**16  # a net with more would need 128 kB per cell
SEMANTIC_ONLY = ("ade20k_150", "ade20k_32", "coco_stuff_171")  # no panoptic truth is published


@cache
def list_spaces() -> tuple[str, ...]:
    """Names of the label spaces that ship, sorted."""
    return tuple(sorted(path.stem for path in SPACES_DIR.glob("*.csv")))


def load_space(name: str | Path) -> LabelSpace:
    """The label space of that name, or the one in a CSV file at that path.

    Raises:
        LabelSpaceError: no such space ships and there is no such file, or the file is wrong.

    >>> space = load_space("coco_panoptic")
    >>> len(space.thing_ids), len(space.stuff_ids), space.by_id[187].name
    (80, 53, 'sky-other-merged')
    """
    path = find_space_file(str(name))
    return _load_shipped(path) if path.parent == SPACES_DIR else read_space(path)


def load_category_ids(name: str) -> tuple[int, ...]:
    """The category_id of each row of nets that speak a space, its `none_id` for no category.

    The first row is no category in some spaces, as ADE20K-32's "other".

    Args:
        name: of a label space that ships, or the path of a CSV file.

    Raises:
        LabelSpaceError: as `load_space`.

    >>> load_category_ids("ade20k_32")[:3], load_category_ids("cityscapes")[:3]
    ((0, 1, 2), (7, 8, 11))
    """
    rows = dict(_read_rows(find_space_file(name)))
    none_id = NONE_BESIDE_ZERO if any(c.category_id == ID_OF_ZERO for c in rows.values()) else 0
    return tuple(rows[i].category_id if i in rows else none_id for i in range(max(rows) + 1))


def resolve_classes(
    source: str,
    count: int,
    label_space: str | None,
    class_ids: Sequence[int] | None,
    names: Sequence[str] | None = None,
) -> tuple[LabelSpace, Int32Array]:
    """The label space a net speaks, and the category_id of each of its classes.

    Args:
        source: the net in words, for messages.
        count: classes the net answers with.
        label_space: name or CSV path of a label space.
        class_ids: category_id per class, 0 = none (-1 where the space has a category 0); by
            default those of `load_category_ids`.
        names: of the net's classes, where its file says them; believed over the order of the
            others, see `match_names`.

    Returns:
        The space, and int32 (count,), `LabelSpace.none_id` = none.

    Raises:
        ConfigError: label_space is missing, or the number or the names of the classes are others.
        LabelSpaceError: there is no such space, or it lacks an id.

    >>> resolve_classes("a net", 2, "coco_super", [0, 13])[1].tolist()
    [0, 13]
    """
    if label_space is None:
        raise ConfigError(_ask_for_space(source, count, names))
    space = load_space(label_space)
    ids = load_category_ids(label_space) if class_ids is None else class_ids
    if len(ids) != count:
        given = f"label space {space.name!r}" if class_ids is None else "class_ids"
        fitting = [name for name in list_spaces() if len(load_category_ids(name)) == count]
        hint = f"with {count} ship {', '.join(fitting)}; or " if fitting else ""
        raise ConfigError(
            f"{source} has {count} classes, but {given} has {len(ids)}; {hint}set class_ids, one "
            f"category_id per class with {space.none_id} for none"
        )
    unknown = next((i for i in ids if i not in (0, space.none_id, *space.by_id)), None)
    if unknown is not None:
        raise LabelSpaceError(
            f"class_ids of {source}: {unknown!r} is no category_id of {space.name!r}"
        )
    found = space.read_ids(ids)
    if names is not None and len(names) != count:
        warnings.warn(
            FuseWarning(
                f"{source}: names {len(names)} classes but has {count}; the names are not used"
            ),
            stacklevel=2,
        )
    elif names is not None:
        matched = match_names(source, names, space, found.tolist(), is_list=class_ids is None)
        found = np.array(matched, dtype=np.int32)
    return space, space.write_ids(found)


def _ask_for_space(source: str, count: int, names: Sequence[str] | None) -> str:
    """The message where nobody said what a net's classes are, with what their names are like."""
    if names is None or len(names) != count:
        return f"{source} does not say what its {count} classes are; set label_space"
    rows = ((name, load_category_ids(name)) for name in list_spaces())
    spaces = [(load_space(name), ids) for name, ids in rows if len(ids) == count]
    fitting = find_fitting_spaces(names, spaces)
    hint = f"they are those of {' and '.join(fitting)}; " if fitting else ""
    shown = ", ".join(map(repr, names[:3]))
    return f"{source} has {count} classes ({shown}, ...); {hint}set label_space"


def find_space_file(name: str) -> Path:
    """The CSV file of a label space that ships, or the file at that path.

    Raises:
        LabelSpaceError: no such space ships and there is no such file.
    """
    if name in list_spaces():
        return SPACES_DIR / f"{name}.csv"
    path = Path(name)
    if path.suffix == ".csv" and path.is_file():
        return path
    fault = f"there is no file {name}" if path.suffix == ".csv" else f"no label space {name!r}"
    raise LabelSpaceError(
        f"{fault}{did_you_mean(name, list_spaces()) or ';'} "
        f"shipped are {', '.join(list_spaces())}, "
        f"or give the path of a CSV file with the columns {','.join(COLUMNS)}"
    )


@cache
def _load_shipped(path: Path) -> LabelSpace:
    return read_space(path)


def read_space(path: Path) -> LabelSpace:
    """Read a label space from a CSV file; its name is the file's stem.

    Raises:
        LabelSpaceError: the file's columns or a row are wrong; the message names the line.
    """
    rows = sorted(_read_rows(path), key=lambda row: row[0])
    return LabelSpace(path.stem, tuple(category for _, category in rows))


def _read_rows(path: Path) -> list[tuple[int, Category]]:
    """(class_index, category) of each row, in the file's order."""
    rows: dict[int, Category] = {}
    for line, row in read_csv(path, "label space", COLUMNS):
        class_index, category = _parse_row(row, line, path)
        if class_index in rows:
            raise LabelSpaceError(f"{path}, line {line}: class_index {class_index} stands twice")
        rows[class_index] = category
    if not rows:
        raise LabelSpaceError(f"{path}: the label space has no categories")
    return list(rows.items())


def read_csv(
    path: Path, what: str, *headers: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, values by column) of each row of a CSV file.

    Args:
        path: the file.
        what: what it should be, for messages.
        headers: what its first line may be.

    Raises:
        LabelSpaceError: the file cannot be read, or its first line is another.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            if tuple(reader.fieldnames or ()) not in headers:
                wanted = " or ".join(map(",".join, headers))
                raise LabelSpaceError(f"{path}: the first line must read {wanted}")
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise LabelSpaceError(f"{path}: the {what} cannot be read ({err})") from err


def _parse_row(row: dict[str, str], line: int, path: Path) -> tuple[int, Category]:
    """(class_index, category) of one row."""
    try:
        isthing = FLAGS.get(row["isthing"].strip().casefold())
        if isthing is None:
            raise ValueError(f"isthing must be 0 or 1, got {row['isthing']!r}")
        class_index = _parse_whole(row, "class_index")
        if not 0 <= class_index < MAX_CLASSES:
            raise ValueError(
                f"class_index must be at least 0 and below {MAX_CLASSES}, got {class_index}"
            )
        color = (_parse_whole(row, "r"), _parse_whole(row, "g"), _parse_whole(row, "b"))
        if not all(0 <= channel <= 255 for channel in color):
            raise ValueError(f"r, g, b must lie in 0..255, got {color}")
        category = Category(
            category_id=id_from_file(_parse_whole(row, "category_id")),
            name=row["name"],
            isthing=isthing,
            supercategory=row["supercategory"],
            color=color,
        )
        return class_index, category
    except (TypeError, ValueError) as err:
        raise LabelSpaceError(f"{path}, line {line}: {err}") from err


def _parse_whole(row: dict[str, str], column: str) -> int:
    """A whole number; tables of pandas with an empty cell have 1.0 for 1.

    >>> _parse_whole({"r": "17.0"}, "r")
    17
    """
    text = row[column].strip()
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
        if number.is_integer():
            return int(number)
    except ValueError:
        pass
    raise ValueError(f"{column} must be a whole number, got {text!r}")


def is_shipped(space: LabelSpace) -> bool:
    """Whether a space is the shipped one of its name, not a user's that is called the same."""
    return space.name in list_spaces() and _keys(space.categories) == _shipped_keys(space.name)


def contains(space: LabelSpace, categories: Iterable[Category]) -> bool:
    """True where each category is one of the space: same id, name and isthing."""
    return _keys(categories) <= _keys(space.categories)


def _keys(categories: Iterable[Category]) -> frozenset[tuple[int, str, bool]]:
    return frozenset((c.category_id, c.name, c.isthing) for c in categories)


def identify_space(categories: Iterable[Category]) -> LabelSpace | None:
    """The shipped space that the categories of a panoptic JSON are, or are a part of.

    Compared are id, name and isthing; colours and supercategories may differ. A part of
    several spaces is taken for the smallest if that lies in all the others, as COCO's things
    lie in COCO panoptic. None where no shipped space fits, or where it is not clear which.

    >>> identify_space([Category(187, "sky-other-merged", False)]).name
    'coco_panoptic'
    >>> identify_space([Category(17, "cat", True)]).name
    'coco_things'
    >>> identify_space([Category(1, "person", True)])  # as in coco_super, or in coco_things?
    """
    keys, names = _keys(categories), list_spaces()
    for name in names:
        if _shipped_keys(name) == keys:
            return load_space(name)
    containing = [n for n in names if n not in SEMANTIC_ONLY and keys <= _shipped_keys(n)]
    smallest = min(containing, key=lambda name: len(_shipped_keys(name)), default=None)
    if smallest and all(_shipped_keys(smallest) <= _shipped_keys(name) for name in containing):
        return load_space(smallest)
    return None


@cache
def _shipped_keys(name: str) -> frozenset[tuple[int, str, bool]]:
    """What tells the categories of a shipped space from others."""
    return _keys(load_space(name).categories)
