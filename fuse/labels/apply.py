"""What nets said, carried into another label space by a map.

Here a net's class becomes a category id of the target.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fuse.labels.maps import LabelMap
from fuse.ops.argmax import merge_classes
from fuse.types import (
    BoxMasks,
    Instances,
    Int32Array,
    PanopticPrediction,
    SegmentInfo,
    SemanticLogits,
    SemanticPrediction,
    TargetLogits,
)
from fuse.types.label_space import ID_OF_ZERO


def map_category_ids(category_ids: Int32Array, label_map: LabelMap) -> Int32Array:
    """int32 (C,), the target category_id of each row of a net's logits, 0 = void."""
    return np.array(
        [label_map.target_ids[i] if i else 0 for i in category_ids.tolist()], dtype=np.int32
    )


def map_logits(logits: SemanticLogits, class_targets: Int32Array) -> TargetLogits:
    """Carry logits into the target space.

    Rows that share a target have their probabilities added. Rows without a target stay
    apart: where one of them is the largest, the pixel is void.

    Args:
        logits: in a net's own classes.
        class_targets: int32 (C,), the target category_id of each row, 0 = none.
    """
    # Ids as in files, which give the order, and a key of its own for each row without a target.
    file_ids = np.where(class_targets == ID_OF_ZERO, 0, class_targets)
    keys = np.where(class_targets > 0, file_ids, -1 - np.arange(len(class_targets)))
    groups, group_of_row = np.unique(keys, return_inverse=True)
    if len(groups) == len(keys):
        return TargetLogits(logits, class_targets)
    merged = merge_classes(logits.logits, group_of_row.astype(np.int32)).astype(np.float16)
    category_ids = np.where(groups == 0, ID_OF_ZERO, np.maximum(groups, 0)).astype(np.int32)
    return TargetLogits(replace(logits, logits=merged), category_ids)


def map_labels(semantic: SemanticPrediction, label_map: LabelMap) -> SemanticPrediction:
    """A finished label map in the target space; a label without a target becomes void."""
    if label_map.is_identity:
        return semantic
    largest = max(int(semantic.label_map.max()), *label_map.target_ids)
    targets = np.zeros(largest + 1, dtype=np.int32)
    for source_id, target_id in label_map.target_ids.items():
        targets[source_id] = target_id
    return SemanticPrediction(targets[semantic.label_map])


def map_instances(instances: Instances, label_map: LabelMap) -> Instances:
    """Instances in the target space, masks rounded to float16.

    Those whose category has no thing there are dropped, but for stuff that is stuff there, of nets
    that find it as masks. The rounding moves a mask's outline
    by less than a thousandth of a cell and lets half as large a file keep it exactly.
    """
    if isinstance(instances.masks, BoxMasks):
        rounded = instances.masks.probs.astype(np.float16).astype(np.float32)
        instances = replace(instances, masks=BoxMasks(rounded))
    if label_map.is_identity:
        return instances
    targets = [label_map.target_ids[i] for i in instances.category_ids.tolist()]
    category_ids = np.array(targets, dtype=np.int32)
    is_thing = np.isin(category_ids, label_map.target.thing_ids)
    was_stuff = np.isin(instances.category_ids, label_map.source.stuff_ids)
    is_stuff = was_stuff & np.isin(category_ids, label_map.target.stuff_ids)
    return instances.select(is_thing | is_stuff, category_ids)


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
