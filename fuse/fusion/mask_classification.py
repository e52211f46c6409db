"""Panoptic maps of nets that classify masks: every segment, stuff too, is a mask of the net."""

from __future__ import annotations

from math import ceil

import numpy as np

from fuse.fusion.checks import check_image
from fuse.fusion.class_logits import Window
from fuse.fusion.overlap import least_stuff_pixels, order_by_score
from fuse.fusion.pixels import mask_values, sigma, to_logits
from fuse.ops.segments import measure_segments
from fuse.types import (
    BoolArray,
    BoxMasks,
    Float32Array,
    Instances,
    Int32Array,
    Int64Array,
    LabelSpace,
    PanopticPrediction,
    SegmentInfo,
    SemanticPrediction,
)

HALF = np.float32(0.5)


def fuse_by_mask_classification(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
) -> PanopticPrediction:
    """Give each pixel to the mask of the highest score times probability, stuff among them.

    MaskFormer's panoptic inference (Cheng et al. 2021, section 3.4) as Mask2Former, OneFormer and
    EoMT have it: each pixel goes to the largest score times probability of the masks that score
    enough; a mask keeps its pixels of a probability of at least 0.5, unless the pixels that it won
    are too few beside those that it claims at that probability. What is kept of one stuff class
    is one segment. The rest is void: the semantic net is not asked. EoMT's thresholds are 0.8, 0.2
    and 0.

    Args:
        semantic: of the image; only its size counts.
        instances: the masks of a net that finds stuff as well.
        space: says which categories are stuff.
        score_threshold: masks that score less take no part.
        overlap_threshold: a mask is dropped unless it won more than 1 minus this share of the
            pixels that it claims.
        stuff_area: as in `fuse_by_overlap`, of the joined stuff.
    """
    check_image(semantic, instances, space)
    strange = set(np.unique(semantic.label_map).tolist()) - {0, *space.by_id}
    if strange:
        raise ValueError(f"the semantic map has category id {min(strange)}, not in {space.name}")
    order = order_by_score(instances, score_threshold)
    owners, is_inside, claimed = _find_owners(instances, order)
    won = np.bincount(owners.ravel(), minlength=len(order) + 1)[1:]
    kept = np.bincount(owners[is_inside], minlength=len(order) + 1)[1:]
    valid = (kept > 0) & (won > (1 - overlap_threshold) * claimed)
    owners[~is_inside] = 0
    groups = _number_segments(instances, order, valid, set(space.stuff_ids))
    panoptic_map = groups[owners]
    return _describe(panoptic_map, groups, instances, order, space, stuff_area)


def _find_owners(
    instances: Instances, order: Int64Array
) -> tuple[Int32Array, BoolArray, Int64Array]:
    """Whose each pixel is, whether its probability is at least 0.5, and what each mask claims.

    Returns:
        int32 (H, W), 1 + the place of the winner in the order, 0 where no mask reaches; bool
        (H, W); int64 (K,), pixels of each mask at a probability of at least 0.5.
    """
    owners = np.zeros(instances.size, dtype=np.int32)
    highest = np.full(instances.size, -1, dtype=np.float32)
    is_inside = np.zeros(instances.size, dtype=np.bool_)
    claimed = np.zeros(len(order), dtype=np.int64)
    for place, index in enumerate(order.tolist()):
        probs, window = _find_probs(instances, index)
        claimed[place] = np.count_nonzero(probs >= HALF)
        claims = probs * np.float32(instances.scores[index])
        takes = claims > highest[window]
        owners[window][takes] = place + 1
        highest[window][takes] = claims[takes]
        is_inside[window][takes] = probs[takes] >= HALF
    return owners, is_inside, claimed


def _find_probs(instances: Instances, index: int) -> tuple[Float32Array, Window]:
    """The probability of a mask at each pixel of a window of the image, float32 (h, w).

    Its logits are interpolated, as by the nets' own code, and in its box as it is, where
    torchvision's rule for boxes of detectors rounds that to pixels.
    """
    if not isinstance(instances.masks, BoxMasks):
        return mask_values(instances, index)
    logits = to_logits(instances.masks.probs[index])
    box = instances.boxes[index].tolist()
    rows, top = _sample(logits, box[1], box[3], instances.size[0])
    columns, left = _sample(rows.T, box[0], box[2], instances.size[1])
    window = (slice(top, top + len(rows)), slice(left, left + len(columns)))
    return sigma(columns.T), window


def _sample(values: Float32Array, first: float, last: float, side: int) -> tuple[Float32Array, int]:
    """Values (m, n) over the pixel edges first..last, at each pixel of a side that lies in these.

    Returns:
        float32 (k, n), linear between the values and constant beyond the outer ones, and the first
        pixel.
    """
    start, stop = max(ceil(first - 0.5), 0), min(ceil(last - 0.5), side)
    pixels = np.arange(start, max(stop, start))
    places = (pixels + 0.5 - first) * (len(values) / (last - first)) - 0.5
    places = places.clip(0, len(values) - 1)
    before = places.astype(np.int64)
    after = np.minimum(before + 1, len(values) - 1)
    weights = (places - before).astype(np.float32)[:, np.newaxis]
    sampled: Float32Array = values[before] + weights * (values[after] - values[before])
    return sampled, start


def _number_segments(
    instances: Instances,
    order: Int64Array,
    valid: BoolArray,
    stuff_ids: set[int],
) -> Int32Array:
    """The segment id of each owner, int32 (K + 1,); masks of one stuff class share one."""
    numbers = np.zeros(len(order) + 1, dtype=np.int32)
    of_stuff: dict[int, int] = {}
    count = 0
    for place in np.flatnonzero(valid).tolist():
        category_id = int(instances.category_ids[order[place]])
        number = of_stuff.get(category_id)
        if number is None:
            count += 1
            number = count
            if category_id in stuff_ids:
                of_stuff[category_id] = number
        numbers[place + 1] = number
    return numbers


def _describe(
    panoptic_map: Int32Array,
    numbers: Int32Array,
    instances: Instances,
    order: Int64Array,
    space: LabelSpace,
    stuff_area: float,
) -> PanopticPrediction:
    """The segments of a map, stuff without a score and dropped where it is too small."""
    least = least_stuff_pixels(stuff_area, panoptic_map.size)
    ids = np.arange(1, numbers.max(initial=0) + 1, dtype=np.int32)
    areas, bboxes, _ = measure_segments(panoptic_map, ids)
    places = [int(np.flatnonzero(numbers == number)[0]) - 1 for number in ids]
    segments: list[SegmentInfo] = []
    renumbered = np.zeros(len(ids) + 1, dtype=np.int32)
    for number, place, area, bbox in zip(ids.tolist(), places, areas, bboxes, strict=True):
        category = space.by_id[int(instances.category_ids[order[place]])]
        if area < (1 if category.isthing else least):
            continue
        renumbered[number] = len(segments) + 1
        score = float(instances.scores[order[place]]) if category.isthing else None
        segments.append(
            SegmentInfo(
                len(segments) + 1,
                category.category_id,
                int(area),
                tuple(bbox.tolist()),
                score=score,
            )
        )
    return PanopticPrediction(renumbered[panoptic_map], tuple(segments))
