"""Maps from one label space to another, and panoptic maps carried over by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fuse.errors import LabelSpaceError
from fuse.types import Int32Array, LabelSpace, PanopticPrediction, SegmentInfo

VOID = "void"  # as a target's name: the source category has no counterpart


@dataclass(frozen=True)
class LabelMap:
    """Where each category of a source space goes in a target space.

    A source category that takes in several target categories, as ADE20K's wall takes in
    COCO's five walls, goes to the commonest of them; `also` keeps the others.

    Attributes:
        source: the space that is mapped.
        target: the space that is mapped to.
        target_ids: target category_id by source category_id, 0 = void; every source
            category has an entry.
        also: by source category_id, the further target category_ids that it takes in.

    Raises:
        LabelSpaceError: a source category has no entry, or an entry's target does not exist.
    """

    source: LabelSpace
    target: LabelSpace
    target_ids: dict[int, int]
    also: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"label map {self.source.name} -> {self.target.name}"
        for category in self.source.categories:
            if category.category_id not in self.target_ids:
                raise LabelSpaceError(f"{where}: {category.name!r} is missing")
            target_id = self.target_ids[category.category_id]
            for known_id in (target_id, *self.also.get(category.category_id, ())):
                if known_id and known_id not in self.target.by_id:
                    raise LabelSpaceError(
                        f"{where}: {category.name!r} goes to unknown id {known_id}"
                    )

    @property
    def is_identity(self) -> bool:
        """True where every category keeps its id."""
        return all(source == target for source, target in self.target_ids.items())

    @cached_property
    def source_ids(self) -> dict[int, int]:
        """The way back: by target category_id the source category that stands for it, 0 = none.

        That is the first one that goes there, else the first one that also takes it in.
        """
        back = dict.fromkeys(self.target.by_id, 0)
        for source_id, target_id in self.target_ids.items():
            if target_id and not back[target_id]:
                back[target_id] = source_id
        for source_id, further_ids in self.also.items():
            for target_id in further_ids:
                back[target_id] = back[target_id] or source_id
        return back

    @cached_property
    def targets(self) -> dict[str, tuple[int, ...]]:
        """By source category's name, its target category_id (0 = void) and the further ones."""
        return {
            category.name: (self.target_ids[i], *self.also.get(i, ()))
            for i, category in self.source.by_id.items()
        }

    @cached_property
    def choices(self) -> dict[int, tuple[int, ...]]:
        """What a mapped instance may be instead; see `find_choices`."""
        return find_choices(self.targets)


def find_choices(targets: Mapping[str, Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """By target category_id, what a mapped instance of it may be instead.

    These are the further targets of all source categories that go there, each once.

    Args:
        targets: as `LabelMap.targets`.

    >>> find_choices({"car": [3, 8], "van": [3, 8, 6], "sky": [0, 5], "cat": [17]})
    {3: (8, 6)}
    """
    found: dict[int, dict[int, None]] = {}
    for target_id, *further_ids in targets.values():
        if target_id and further_ids:
            found.setdefault(target_id, {}).update(dict.fromkeys(further_ids))
    return {
        target_id: tuple(i for i in further_ids if i != target_id)
        for target_id, further_ids in found.items()
    }


def name_targets(label_map: LabelMap) -> dict[str, list[str]]:
    """`LabelMap.targets` with names in place of ids, for run.json; `void` is 0."""
    names = {0: VOID} | {i: category.name for i, category in label_map.target.by_id.items()}
    return {source: [names[i] for i in ids] for source, ids in label_map.targets.items()}


def parse_targets(
    names: Mapping[str, Sequence[str]], target: LabelSpace
) -> dict[str, tuple[int, ...]]:
    """The way back from `name_targets`.

    Raises:
        KeyError: the target space lacks a name.
        ValueError: a source category has no target, not even `void`.
    """
    ids = {name: category.category_id for name, category in target.by_name.items()} | {VOID: 0}
    if not all(names.values()):
        raise ValueError("a category goes nowhere")
    return {source: tuple(ids[name] for name in wanted) for source, wanted in names.items()}


def map_panoptic(prediction: PanopticPrediction, label_map: LabelMap) -> PanopticPrediction:
    """Carry a panoptic map into another label space.

    Stuff segments that fall into one category become one segment with the first one's id;
    things stay apart and crowds stay crowds. A stuff segment marked as crowd is kept apart
    as well. A stuff segment that becomes a thing becomes a crowd: how many objects it shows is
    not known. Segments that go to void leave the map.

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
        isthing = label_map.target.by_id[target_id].isthing
        was_thing = label_map.source.by_id[segment.category_id].isthing
        if not isthing and not segment.iscrowd:
            segment_id = stuff_segment.setdefault(target_id, segment_id)
        new_ids[segment.segment_id] = segment_id
        first = kept.get(segment_id)
        kept[segment_id] = SegmentInfo(
            segment_id=segment_id,
            category_id=target_id,
            area=segment.area + (first.area if first else 0),
            bbox=_join_bboxes(first.bbox, segment.bbox) if first else segment.bbox,
            iscrowd=segment.iscrowd or (isthing and not was_thing),
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
