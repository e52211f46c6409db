"""Label maps as files: one CSV file per map, one row per source category."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from fuse.errors import LabelSpaceError
from fuse.labels.mapping import VOID, LabelMap
from fuse.labels.spaces import contains, is_shipped, list_spaces, load_space
from fuse.types import LabelSpace

MAPS_DIR = Path(__file__).parent / "maps"
COLUMNS = ("source", "target")
ALSO = "also"  # third column, where it is needed: names parted by |


def list_maps() -> tuple[tuple[str, str], ...]:
    """(source, target) names of the label maps that ship, sorted."""
    spaces = list_spaces()
    return tuple(
        (source, target)
        for source in spaces
        for target in spaces
        if (MAPS_DIR / f"{source}_to_{target}.csv").is_file()
    )


def find_label_map(source: LabelSpace, target: LabelSpace) -> LabelMap:
    """The map that leads from source to target.

    Where one space is a part of the other, categories keep their ids and what the target lacks
    goes to void. Else it is a map that ships for the source, or for a space that the source is
    a part of (COCO's things take COCO panoptic's).

    Raises:
        LabelSpaceError: no such map ships.

    >>> super_map = find_label_map(load_space("coco_panoptic"), load_space("coco_super"))
    >>> super_map.target.by_id[super_map.target_ids[17]].name  # cat
    'animal'
    >>> find_label_map(load_space("coco_things"), load_space("coco_panoptic")).is_identity
    True
    """
    if contains(target, source.categories) or contains(source, target.categories):
        kept = {key: key if key in target.by_id else 0 for key in source.by_id}
        return LabelMap(source, target, kept)
    for name, target_name in list_maps() if is_shipped(target) else ():
        whole = load_space(name)
        if target_name == target.name and contains(whole, source.categories):
            label_map = read_label_map(MAPS_DIR / f"{name}_to_{target.name}.csv", whole, target)
            return _restrict(label_map, source)
    shipped = ", ".join(f"{name} to {target_name}" for name, target_name in list_maps())
    raise LabelSpaceError(
        f"no label map leads from {source.name!r} to {target.name!r}; shipped are {shipped}"
    )


def _restrict(label_map: LabelMap, source: LabelSpace) -> LabelMap:
    """The map of a space that is a part of the map's source."""
    target_ids = {category_id: label_map.target_ids[category_id] for category_id in source.by_id}
    also = {key: ids for key, ids in label_map.also.items() if key in source.by_id}
    return LabelMap(source, label_map.target, target_ids, also)


def read_label_map(path: Path, source: LabelSpace, target: LabelSpace) -> LabelMap:
    """Read a map from a CSV file with the columns source,target and, if needed, also.

    Every source category has one line. The columns hold names; target is the one category it
    goes to, or ``void``; also holds further ones that it takes in, parted by ``|``.

    Raises:
        LabelSpaceError: the file cannot be read, a name is unknown, or a source category is
            missing or stands twice; the message names the file and the line. Or a category of
            the target is called ``void``.
    """
    check_writable(target)
    target_ids: dict[int, int] = {}
    also: dict[int, tuple[int, ...]] = {}
    for line, row in _read_rows(path):
        where = f"{path}, line {line}"
        source_id = _find_id(source, row["source"], where)
        if source_id in target_ids:
            raise LabelSpaceError(f"{where}: {row['source']!r} stands twice")
        target_ids[source_id] = (
            0 if row["target"] == VOID else _find_id(target, row["target"], where)
        )
        if row.get(ALSO):
            also[source_id] = tuple(_find_id(target, name, where) for name in row[ALSO].split("|"))
    missing = next((c.name for c in source.categories if c.category_id not in target_ids), None)
    if missing is not None:
        raise LabelSpaceError(
            f"{path}: no line for {missing!r} of {source.name}; "
            f"where there is no counterpart, the target is {VOID}"
        )
    return LabelMap(source, target, target_ids, also)


def check_writable(target: LabelSpace) -> None:
    """Refuse a target that a map's file cannot speak of.

    Raises:
        LabelSpaceError: a category of it is called as what goes nowhere is.
    """
    if VOID in target.by_name:
        raise LabelSpaceError(
            f"{target.name} has a category {VOID!r}, which in a label map means none; rename it"
        )


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, values by column) of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            if tuple(reader.fieldnames or ()) not in (COLUMNS, (*COLUMNS, ALSO)):
                raise LabelSpaceError(
                    f"{path}: the first line must read {','.join(COLUMNS)} "
                    f"or {','.join(COLUMNS)},{ALSO}"
                )
            for row in reader:
                if None in row:
                    raise LabelSpaceError(
                        f"{path}, line {reader.line_num}: too many values; "
                        'a name with a comma stands in "quotes"'
                    )
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise LabelSpaceError(f"{path}: the label map cannot be read ({err})") from err


def _find_id(space: LabelSpace, name: str, where: str) -> int:
    """The category_id of a name; LabelSpaceError with the nearest one where it is unknown."""
    if name in space.by_name:
        return space.by_name[name].category_id
    near = get_close_matches(name, space.by_name, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise LabelSpaceError(f"{where}: {name!r} is not in {space.name}{hint}")


def draft_label_map(source: LabelSpace, target: LabelSpace) -> LabelMap:
    """The map that leads from source to target, else one to be completed by hand.

    That one joins categories of one name, in capitals or not, and sends the others to void.
    """
    try:
        return find_label_map(source, target)
    except LabelSpaceError:
        ids = {c.name.casefold(): c.category_id for c in target.categories}
        target_ids = {c.category_id: ids.get(c.name.casefold(), 0) for c in source.categories}
        return LabelMap(source, target, target_ids)
