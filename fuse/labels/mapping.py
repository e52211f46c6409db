"""Maps from one label space to another: one CSV file per map, one row per source category."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fuse.errors import LabelSpaceError
from fuse.labels.spaces import load_space
from fuse.types import Int32Array, LabelSpace, PanopticPrediction, SegmentInfo

MAPS_DIR = Path(__file__).parent / "maps"
COLUMNS = ("source", "target")
VOID = "void"  # as target: the source category has no counterpart


@dataclass(frozen=True)
class LabelMap:
    """Where each category of a source space goes in a target space.

    Attributes:
        source: the space that is mapped.
        target: the space that is mapped to.
        target_ids: target category_id by source category_id, 0 = void; every source
            category has an entry.

    Raises:
        LabelSpaceError: a source category has no entry, an entry's target does not exist,
            or a thing would become stuff or the reverse.
    """

    source: LabelSpace
    target: LabelSpace
    target_ids: dict[int, int]

    def __post_init__(self) -> None:
        where = f"label map {self.source.name} -> {self.target.name}"
        for category in self.source.categories:
            if category.category_id not in self.target_ids:
                raise LabelSpaceError(f"{where}: {category.name!r} is missing")
            target_id = self.target_ids[category.category_id]
            if target_id and target_id not in self.target.by_id:
                raise LabelSpaceError(f"{where}: {category.name!r} goes to unknown id {target_id}")

    @property
    def is_identity(self) -> bool:
        """True where every category keeps its id."""
        return all(source == target for source, target in self.target_ids.items())

    @cached_property
    def class_target_ids(self) -> Int32Array:
        """int32 (C,), the target category_id of each class_index of the source, 0 = void."""
        return np.array(
            [self.target_ids[c.category_id] for c in self.source.categories], dtype=np.int32
        )


def find_label_map(source: LabelSpace, target: LabelSpace) -> LabelMap:
    """The map that leads from source to target: the identity, or one that ships.

    Raises:
        LabelSpaceError: no such map ships.

    >>> super_map = find_label_map(load_space("coco_panoptic"), load_space("coco_super"))
    >>> super_map.target.by_id[super_map.target_ids[17]].name  # cat
    'animal'
    """
    if source.categories == target.categories:
        return LabelMap(source, target, {c.category_id: c.category_id for c in source.categories})
    path = MAPS_DIR / f"{source.name}_to_{target.name}.csv"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in MAPS_DIR.glob("*.csv")))
        raise LabelSpaceError(
            f"no label map leads from {source.name!r} to {target.name!r}; shipped are {shipped}"
        )
    return read_label_map(path, source, target)


def read_label_map(path: Path, source: LabelSpace, target: LabelSpace) -> LabelMap:
    """Read a map from a CSV file with the columns source,target (names; ``void`` = none).

    Raises:
        LabelSpaceError: a name is unknown, or a source category is missing or stands twice.
    """
    target_ids: dict[int, int] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise LabelSpaceError(f"{path}: the first line must read {','.join(COLUMNS)}")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            source_category = source.by_name.get(row["source"])
            if source_category is None:
                raise LabelSpaceError(f"{where}: {row['source']!r} is not in {source.name}")
            if source_category.category_id in target_ids:
                raise LabelSpaceError(f"{where}: {row['source']!r} stands twice")
            if row["target"] != VOID and row["target"] not in target.by_name:
                raise LabelSpaceError(f"{where}: {row['target']!r} is not in {target.name}")
            target_ids[source_category.category_id] = (
                0 if row["target"] == VOID else target.by_name[row["target"]].category_id
            )
    return LabelMap(source, target, target_ids)


def map_panoptic(prediction: PanopticPrediction, label_map: LabelMap) -> PanopticPrediction:
    """Carry a panoptic map into another label space.

    Stuff segments that fall into one category become one segment with the first one's id;
    things stay apart and crowds stay crowds. A stuff segment marked as crowd is kept apart
    as well. Segments that go to void leave the map.

    Raises:
        ValueError: a segment's category_id is not in the source space.
    """
    kept: dict[int, SegmentInfo] = {}
    stuff_segment: dict[int, int] = {}  # target category_id -> segment_id
    new_ids = {0: 0}
    for segment in prediction.segments_info:
        if segment.category_id not in label_map.target_ids:
            raise ValueError(
                f"segment {segment.segment_id} has category_id {segment.category_id}, "
                f"which is not in {label_map.source.name}"
            )
        target_id = label_map.target_ids[segment.category_id]
        segment_id = segment.segment_id
        if not target_id:
            new_ids[segment_id] = 0
            continue
        if not label_map.target.by_id[target_id].isthing and not segment.iscrowd:
            segment_id = stuff_segment.setdefault(target_id, segment_id)
        new_ids[segment.segment_id] = segment_id
        first = kept.get(segment_id)
        kept[segment_id] = SegmentInfo(
            segment_id=segment_id,
            category_id=target_id,
            area=segment.area + (first.area if first else 0),
            bbox=_join_bboxes(first.bbox, segment.bbox) if first else segment.bbox,
            iscrowd=segment.iscrowd,
            score=segment.score,
        )
    return PanopticPrediction(_renumber(prediction.panoptic_map, new_ids), tuple(kept.values()))


def _join_bboxes(
    a: tuple[int, int, int, int], b: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """The smallest xywh box around two."""
    x, y = min(a[0], b[0]), min(a[1], b[1])
    right, bottom = max(a[0] + a[2], b[0] + b[2]), max(a[1] + a[3], b[1] + b[3])
    return x, y, right - x, bottom - y


def _renumber(panoptic_map: Int32Array, new_ids: dict[int, int]) -> Int32Array:
    """The map with each id replaced; ids without an entry become void."""
    changed = {old: new for old, new in new_ids.items() if old != new}
    if not changed:
        return panoptic_map
    old_ids = np.array(sorted(new_ids), dtype=np.int32)
    replacements = np.array([new_ids[old] for old in old_ids.tolist()], dtype=np.int32)
    position = np.searchsorted(old_ids, panoptic_map).clip(max=len(old_ids) - 1)
    return np.where(old_ids[position] == panoptic_map, replacements[position], 0).astype(np.int32)
