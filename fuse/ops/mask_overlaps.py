"""What masks of one image have in common, pair by pair, and what a label map says there."""

from __future__ import annotations

import numpy as np

from fuse.ops._jit import jit
from fuse.ops.rle import MaskRuns
from fuse.types import Int32Array, Int64Array


def count_shared(
    masks: MaskRuns, category_ids: Int32Array, label_map: Int32Array
) -> tuple[Int64Array, Int64Array]:
    """Count the pixels that each pair of masks shares, and those labelled as the first.

    Args:
        masks: K masks of one image.
        category_ids: int32 (K,), what each mask is.
        label_map: int32 (H, W) of the image, a category_id per pixel.

    Returns:
        shared int64 (K, K), pixels in both masks; the diagonal holds the areas. own int64
        (K, K): of the pixels shared by i and j, those whose label is category_ids[i].

    >>> runs = np.array([[0, 0, 3], [0, 1, 5]], dtype=np.int32)
    >>> masks = MaskRuns(runs, np.array([0, 1, 2]))
    >>> labels = np.array([[7, 7, 9, 9, 9]], dtype=np.int32)
    >>> shared, own = count_shared(masks, np.array([7, 9], dtype=np.int32), labels)
    >>> shared.tolist(), own.tolist()
    ([[3, 2], [2, 4]], [[2, 1], [1, 3]])
    """
    return _count_shared(
        masks.runs, masks.offsets, _boxes_of(masks), category_ids, np.ascontiguousarray(label_map)
    )


def majority_labels(masks: MaskRuns, label_map: Int32Array) -> Int32Array:
    """The label that more than half of a mask's pixels have: int32 (K,), 0 where none has.

    >>> masks = MaskRuns(np.array([[0, 0, 3], [0, 2, 4]], dtype=np.int32), np.array([0, 1, 2]))
    >>> majority_labels(masks, np.array([[7, 7, 9, 5]], dtype=np.int32)).tolist()
    [7, 0]
    """
    return _majority_labels(masks.runs, masks.offsets, np.ascontiguousarray(label_map))


def _boxes_of(masks: MaskRuns) -> Int64Array:
    """Edges around each mask: int64 (K, 4), y_first, x_first, y_stop, x_stop; 0 where empty."""
    boxes = np.zeros((len(masks), 4), dtype=np.int64)
    filled = np.flatnonzero(np.diff(masks.offsets))
    if len(filled):
        starts = masks.offsets[filled]
        y, x_first, x_stop = masks.runs.T
        boxes[filled, 0] = np.minimum.reduceat(y, starts)
        boxes[filled, 1] = np.minimum.reduceat(x_first, starts)
        boxes[filled, 2] = np.maximum.reduceat(y, starts) + 1
        boxes[filled, 3] = np.maximum.reduceat(x_stop, starts)
    return boxes


def count_in_segments(
    masks: MaskRuns, panoptic_map: Int32Array, segment_ids: Int32Array
) -> Int64Array:
    """Count the pixels that masks share with segments.

    Args:
        masks: K masks of one image.
        panoptic_map: int32 (H, W) of the image.
        segment_ids: int32 (N,), the segments to look for, in any order and without 0.

    Returns:
        int64 (K, N).

    >>> masks = MaskRuns(np.array([[0, 0, 3], [0, 1, 4]], dtype=np.int32), np.array([0, 1, 2]))
    >>> segment_ids = np.array([9, 5], dtype=np.int32)
    >>> count_in_segments(masks, np.array([[5, 5, 9, 0]], np.int32), segment_ids).tolist()
    [[1, 2], [1, 1]]
    """
    order = np.argsort(segment_ids)
    panoptic_map = np.ascontiguousarray(panoptic_map)
    counted = _count_in_segments(masks.runs, masks.offsets, panoptic_map, segment_ids[order])
    return counted[:, np.argsort(order)]


@jit
def _count_in_segments(
    runs: Int32Array, offsets: Int64Array, panoptic_map: Int32Array, segment_ids: Int32Array
) -> Int64Array:
    """The same with ascending segment ids; pixels of one segment in a row are counted at once."""
    counts = np.zeros((len(offsets) - 1, len(segment_ids)), np.int64)
    for k in range(len(counts)):
        for r in range(offsets[k], offsets[k + 1]):
            row, x = panoptic_map[runs[r, 0]], runs[r, 1]
            while x < runs[r, 2]:
                segment_id, start = row[x], x
                while x < runs[r, 2] and row[x] == segment_id:
                    x += 1
                index = np.searchsorted(segment_ids, segment_id)
                if index < len(segment_ids) and segment_ids[index] == segment_id:
                    counts[k, index] += x - start
    return counts


@jit
def _count_shared(
    runs: Int32Array,
    offsets: Int64Array,
    boxes: Int64Array,
    category_ids: Int32Array,
    label_map: Int32Array,
) -> tuple[Int64Array, Int64Array]:
    """Mark one mask after the other in a map and count the later ones in it."""
    count = len(offsets) - 1
    shared = np.zeros((count, count), np.int64)
    own = np.zeros((count, count), np.int64)
    marked = np.zeros(label_map.shape, np.bool_)
    for i in range(count):
        for r in range(offsets[i], offsets[i + 1]):
            marked[runs[r, 0], runs[r, 1] : runs[r, 2]] = True
        for j in range(i, count):
            top, bottom = max(boxes[i, 0], boxes[j, 0]), min(boxes[i, 2], boxes[j, 2])
            left, right = max(boxes[i, 1], boxes[j, 1]), min(boxes[i, 3], boxes[j, 3])
            if top >= bottom or left >= right:
                continue
            pixels, mine, theirs = 0, 0, 0
            for r in range(offsets[j], offsets[j + 1]):
                y = runs[r, 0]
                if y < top or y >= bottom:
                    continue
                for x in range(max(runs[r, 1], left), min(runs[r, 2], right)):
                    pixels += marked[y, x]
                    mine += marked[y, x] & (label_map[y, x] == category_ids[i])
                    theirs += marked[y, x] & (label_map[y, x] == category_ids[j])
            shared[i, j] = shared[j, i] = pixels
            own[i, j], own[j, i] = mine, theirs
        for r in range(offsets[i], offsets[i + 1]):
            marked[runs[r, 0], runs[r, 1] : runs[r, 2]] = False
    return shared, own


@jit
def _majority_labels(runs: Int32Array, offsets: Int64Array, label_map: Int32Array) -> Int32Array:
    """Find the only candidate (Boyer and Moore 1981: what other labels do not outnumber)."""
    labels = np.zeros(len(offsets) - 1, np.int32)
    for k in range(len(labels)):
        candidate, lead = np.int32(0), 0
        for r in range(offsets[k], offsets[k + 1]):
            for x in range(runs[r, 1], runs[r, 2]):
                label = label_map[runs[r, 0], x]
                if lead == 0:
                    candidate = label
                lead += 1 if label == candidate else -1
        votes, area = 0, 0
        for r in range(offsets[k], offsets[k + 1]):
            area += runs[r, 2] - runs[r, 1]
            for x in range(runs[r, 1], runs[r, 2]):
                votes += label_map[runs[r, 0], x] == candidate
        labels[k] = candidate if 2 * votes > area else 0
    return labels
