"""The paper's fusion rule: instances by score, overlaps cut, stuff in what is left.

The other rules take the arguments of `fuse_by_overlap`, raise what it raises and return what it
returns; their docstrings say what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil

import numpy as np

from fuse.errors import describe_size
from fuse.fusion.checks import check_image, check_kinds
from fuse.ops._jit import jit
from fuse.ops.masks import mask_runs
from fuse.ops.rle import MaskRuns, decode_rles
from fuse.ops.segments import measure_segments, run_starts
from fuse.types import (
    Instances,
    Int32Array,
    Int64Array,
    LabelSpace,
    PanopticPrediction,
    RleMasks,
    SegmentInfo,
    SemanticPrediction,
)
from fuse.types.label_space import id_to_file

Bbox = tuple[int, int, int, int]  # COCO xywh

# Instances whose runs are held in memory at a time; bounds it for masks of pure noise.
BLOCK = 64
SEEN_LABELS = 256  # a power of two above the usual number of categories


def fuse_by_overlap(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
) -> PanopticPrediction:
    """Fuse two predictions of one image (Kirillov et al. 2019, section 7).

    Instances are painted from the highest score down, equal scores in their own order, and
    only where nothing is painted yet. Then each stuff class, by ascending category_id,
    becomes one segment of the pixels that are left. Pixels of thing classes in the semantic
    map stay void where no instance took them.

    Args:
        semantic: label_map with category_ids of the space, 0 = void.
        instances: of the same image; category_ids of the space.
        space: says which categories are stuff.
        score_threshold: instances that score less are dropped.
        overlap_threshold: an instance is dropped when more than this share of its pixels
            is already taken.
        stuff_area: stuff with fewer free pixels than this is dropped; above 0 and below 1
            it is a share of the image's pixels.

    Returns:
        Segments with ids 1, 2, 3, ... in paint order, none of them without pixels.

    Raises:
        ValueError: the image sizes differ, or a category id is not in the space.
        TypeError: the predictions are something else, as each other.
    """
    check_kinds(semantic, instances)
    order = order_by_score(instances, score_threshold)
    return fuse_in_order(semantic, instances, space, order, overlap_threshold, stuff_area)


def fuse_in_order(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    order: Int64Array,
    overlap_threshold: float,
    stuff_area: float,
) -> PanopticPrediction:
    """`fuse_by_overlap` of the instances in an order, int64 (K,), the first painted first."""
    check_image(semantic, instances, space)
    panoptic_map = np.zeros(semantic.size, dtype=np.int32)
    things = paint_things(panoptic_map, instances, order, overlap_threshold)
    return add_stuff(panoptic_map, things, semantic.label_map, space, stuff_area)


def order_by_score(instances: Instances, score_threshold: float) -> Int64Array:
    """Indices of the instances that score enough, the best first, equal ones in their order."""
    order = np.argsort(-instances.scores, kind="stable")
    return order[instances.scores[order] >= score_threshold]


def add_stuff(
    panoptic_map: Int32Array,
    things: Sequence[SegmentInfo],
    label_map: Int32Array,
    space: LabelSpace,
    stuff_area: float,
) -> PanopticPrediction:
    """Paint stuff into what things have left free of a map, and wrap both up.

    Args:
        panoptic_map: with the things, segment ids 1, 2, ...; it is painted into.
        things: its segments.
        label_map: category_ids of the space; those of things stay void.
        space: says which categories are stuff.
        stuff_area: see `fuse_by_overlap`.

    Raises:
        ValueError: the label map has a category id that is not in the space.
    """
    min_area = least_stuff_pixels(stuff_area, panoptic_map.size)
    stuff = _paint_stuff(panoptic_map, label_map, space, min_area, len(things) + 1)
    return PanopticPrediction(panoptic_map, (*things, *stuff))


def least_stuff_pixels(stuff_area: float, pixels: int) -> float:
    """The fewest pixels of a stuff segment in an image of so many; every segment has one.

    >>> least_stuff_pixels(4096, 100), least_stuff_pixels(0.07, 100), 0.07 * 100
    (4096, 7, 7.000000000000001)
    """
    if stuff_area >= 1:
        return stuff_area
    share = Fraction(str(float(stuff_area)))  # as it is written, which its float may not be
    return max(ceil(share * pixels), 1)


def fuse_stuff_masks(
    stuff_ids: Sequence[int],
    stuff_masks: RleMasks,
    instances: Instances,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
) -> PanopticPrediction:
    """Fuse as `fuse_by_overlap` does, with stuff that comes as masks and not as a map.

    Such masks may overlap and a category may have several. They are painted in their order,
    and a mask that is dropped leaves its pixels to those after it. What is painted of one
    category is one segment. That is the rule of the official combine script, which gives a
    stuff category one colour, and so one id.

    Args:
        stuff_ids: category_id of each stuff mask.
        stuff_masks: as many masks over the same image.
        instances: of that image.
        score_threshold, overlap_threshold, stuff_area: as in `fuse_by_overlap`.

    Raises:
        ValueError: an RLE is of another size, cut short, or has more pixels than the image.
    """
    if any(tuple(rle["size"]) != instances.size for rle in stuff_masks.rles):
        raise ValueError(f"a stuff mask is not of the image, {describe_size(instances.size)}")
    panoptic_map = np.zeros(instances.size, dtype=np.int32)
    order = order_by_score(instances, score_threshold)
    things = paint_things(panoptic_map, instances, order, overlap_threshold)
    codes = [rle["counts"] for rle in stuff_masks.rles]
    blocks = (
        decode_rles(codes[first : first + BLOCK], instances.size)
        for first in range(0, len(codes), BLOCK)
    )
    stuff = [
        SegmentInfo(segment_id, int(stuff_ids[index]), area, bbox)
        for segment_id, index, area, bbox in _paint_masks(
            panoptic_map,
            blocks,
            len(things) + 1,
            min_area=least_stuff_pixels(stuff_area, panoptic_map.size),
        )
    ]
    return PanopticPrediction(panoptic_map, (*things, *_join_categories(panoptic_map, stuff)))


def _join_categories(panoptic_map: Int32Array, stuff: list[SegmentInfo]) -> list[SegmentInfo]:
    """Make one segment of those of a category, in a map whose last ids they are."""
    category_ids = list(dict.fromkeys(segment.category_id for segment in stuff))
    if len(category_ids) == len(stuff):
        return stuff
    first_id = stuff[0].segment_id
    new_ids = np.arange(first_id + len(stuff), dtype=np.int32)
    new_ids[first_id:] = [first_id + category_ids.index(s.category_id) for s in stuff]
    panoptic_map[:] = new_ids[panoptic_map]
    segment_ids = np.arange(first_id, first_id + len(category_ids), dtype=np.int32)
    areas, bboxes, _ = measure_segments(panoptic_map, segment_ids)
    rows = zip(segment_ids, category_ids, areas, bboxes, strict=True)
    return [
        SegmentInfo(int(segment_id), category_id, int(area), tuple(bbox.tolist()))
        for segment_id, category_id, area, bbox in rows
    ]


def paint_things(
    panoptic_map: Int32Array, instances: Instances, order: Int64Array, overlap_threshold: float
) -> list[SegmentInfo]:
    """Paint the instances that count into a void map and say what was painted."""
    blocks = (
        mask_runs(instances, order[first : first + BLOCK]) for first in range(0, len(order), BLOCK)
    )
    return [
        SegmentInfo(
            segment_id,
            int(instances.category_ids[order[place]]),
            area,
            bbox,
            score=float(instances.scores[order[place]]),
        )
        for segment_id, place, area, bbox in _paint_masks(
            panoptic_map, blocks, 1, overlap_threshold=overlap_threshold
        )
    ]


def _paint_masks(
    panoptic_map: Int32Array,
    blocks: Iterable[MaskRuns],
    first_id: int,
    *,
    overlap_threshold: float = 1.0,
    min_area: float = 1.0,
) -> Iterator[tuple[int, int, int, Bbox]]:
    """Paint masks in their order into free pixels; segment ids count up from first_id.

    Yields:
        Of each mask that is painted its segment id, its place among all masks, the pixels
        painted and the bbox around them.
    """
    segment_id, masks_before = first_id, 0
    for masks in blocks:
        painted = _paint_runs(
            panoptic_map, masks.runs, masks.offsets, overlap_threshold, min_area, segment_id
        )
        for place, area, x_first, y_first, x_stop, y_stop in painted.tolist():
            bbox = (x_first, y_first, x_stop - x_first, y_stop - y_first)
            yield segment_id, masks_before + place, area, bbox
            segment_id += 1
        masks_before += len(masks)


def _paint_stuff(
    panoptic_map: Int32Array,
    label_map: Int32Array,
    space: LabelSpace,
    min_area: float,
    first_id: int,
) -> list[SegmentInfo]:
    """Paint stuff into the free pixels of a map and say what was painted.

    Raises:
        ValueError: the label map has a category id that is not in the space.
    """
    known_ids = np.array([0, *sorted(space.by_id)], dtype=np.int32)
    label_map = np.ascontiguousarray(label_map)
    starts = run_starts(label_map, panoptic_map)
    run_index, areas, edges, strange = _measure_free(panoptic_map, label_map, starts, known_ids)
    if strange:
        raise ValueError(f"the semantic map has category id {strange}, not in {space.name}")
    segment_ids = np.zeros(len(known_ids), dtype=np.int32)
    segments: list[SegmentInfo] = []
    large = np.flatnonzero(areas[1:] >= min_area) + 1
    for index in sorted(large, key=lambda index: id_to_file(int(known_ids[index]))):
        category_id = int(known_ids[index])
        if space.by_id[category_id].isthing:
            continue
        x_first, y_first, x_stop, y_stop = edges[index].tolist()
        bbox = (x_first, y_first, x_stop - x_first, y_stop - y_first)
        segments.append(SegmentInfo(first_id + len(segments), category_id, int(areas[index]), bbox))
        segment_ids[index] = segments[-1].segment_id
    _fill_runs(panoptic_map.ravel(), starts, run_index, segment_ids)
    return segments


@jit
def _paint_runs(
    panoptic_map: Int32Array,
    runs: Int32Array,
    offsets: Int64Array,
    overlap_threshold: float,
    min_area: float,
    first_id: int,
) -> Int64Array:
    """Paint masks in their order into free pixels, with the ids first_id, first_id + 1, ...

    A mask is skipped when more than overlap_threshold of it is taken, or fewer than min_area
    of its pixels (at least 1) are free.

    Returns:
        int64 (S, 6), one row per painted mask: its place among the masks, its pixels, and
        the edges x_first, y_first, x_stop, y_stop around them.
    """
    painted = np.zeros((len(offsets) - 1, 6), np.int64)
    size = 0
    height, width = panoptic_map.shape
    for k in range(len(offsets) - 1):
        area, taken = 0, 0
        for r in range(offsets[k], offsets[k + 1]):
            row = panoptic_map[runs[r, 0], runs[r, 1] : runs[r, 2]]
            area += len(row)
            for x in range(len(row)):
                taken += row[x] != 0
        if area - taken < min_area or taken / area > overlap_threshold:
            continue
        edges = painted[size]
        edges[0], edges[1] = k, area - taken
        edges[2], edges[3] = width, height
        for r in range(offsets[k], offsets[k + 1]):
            y, first, stop = runs[r, 0], runs[r, 1], runs[r, 2]
            row = panoptic_map[y]
            while first < stop and row[first] != 0:
                first += 1
            if first == stop:
                continue
            while row[stop - 1] != 0:
                stop -= 1
            for x in range(first, stop):
                row[x] = row[x] if row[x] else first_id + size
            edges[2], edges[3] = min(edges[2], first), min(edges[3], y)
            edges[4], edges[5] = max(edges[4], stop), max(edges[5], y + 1)
        size += 1
    return painted[:size]


@jit
def _measure_free(
    panoptic_map: Int32Array, label_map: Int32Array, starts: Int32Array, known_ids: Int32Array
) -> tuple[Int32Array, Int64Array, Int32Array, int]:
    """Free pixels of each label, and the edges around them.

    Args:
        panoptic_map: int32 (H, W), 0 = free.
        label_map: int32 (H, W).
        starts: where runs of equal (label, segment) begin.
        known_ids: the labels there may be, ascending, 0 first.

    Returns:
        Per run the index of its label, 0 where it is taken; per known label its free pixels
        and their edges xyxy; and a label that is not known, or 0.
    """
    width = label_map.shape[1]
    free, labels = panoptic_map.ravel(), label_map.ravel()
    run_index = np.zeros(len(starts), np.int32)
    areas = np.zeros(len(known_ids), np.int64)
    edges = np.zeros((len(known_ids), 4), np.int32)
    edges[:, :2] = 2**31 - 1
    # The last label seen in each of these places spares most runs the search.
    seen_label, seen_index = np.zeros(SEEN_LABELS, np.int32), np.zeros(SEEN_LABELS, np.int32)
    for r in range(len(starts)):
        start = starts[r]
        label = labels[start]
        place = label & (SEEN_LABELS - 1)
        if seen_label[place] != label:
            index, beyond = 0, len(known_ids)
            while index + 1 < beyond:  # by halves; the first known label is 0
                middle = (index + beyond) // 2
                if known_ids[middle] <= label:
                    index = middle
                else:
                    beyond = middle
            if known_ids[index] != label:
                return run_index, areas, edges, label
            seen_label[place], seen_index[place] = label, index
        if free[start] != 0:
            continue
        index = seen_index[place]
        run_index[r] = index
        stop = starts[r + 1] if r + 1 < len(starts) else len(labels)
        y = start // width
        x = start - y * width
        areas[index] += stop - start
        edges[index, 0] = min(edges[index, 0], x)
        edges[index, 1] = min(edges[index, 1], y)
        edges[index, 2] = max(edges[index, 2], x + stop - start)
        edges[index, 3] = y + 1
    return run_index, areas, edges, 0


@jit
def _fill_runs(
    panoptic_map: Int32Array, starts: Int32Array, run_index: Int32Array, segment_ids: Int32Array
) -> None:
    """Write segment_ids[run_index[r]] into the pixels of run r, unless that is 0."""
    for r in range(len(starts)):
        segment_id = segment_ids[run_index[r]]
        if segment_id:
            stop = starts[r + 1] if r + 1 < len(starts) else len(panoptic_map)
            panoptic_map[starts[r] : stop] = segment_id
