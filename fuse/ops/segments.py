"""What the pixels of a map of ids say: runs of equal ids, areas and boxes, labels, border bands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuse.ops._jit import jit
from fuse.types import BoolArray, Int32Array, Int64Array, UInt8Array, UInt64Array

WORD = 8  # flags looked at together


def run_starts(first_map: Int32Array, second_map: Int32Array) -> Int32Array:
    """Where runs of pixels with the same pair of values begin, row by row.

    Args:
        first_map: int32 (H, W), C-contiguous, H * W < 2**31.
        second_map: the same; give the same map twice for the runs of one map.

    Returns:
        int32 (R,), ascending positions in the flattened map. Each row begins a run, so a
        run never crosses rows; a map without pixels has none.

    >>> tiny = np.array([[5, 5, 8], [8, 8, 8]], dtype=np.int32)
    >>> run_starts(tiny, tiny).tolist()
    [0, 2, 3]
    """
    if first_map.size == 0:
        return np.empty(0, dtype=np.int32)
    width = first_map.shape[1]
    flags = np.zeros((width + WORD - 1) // WORD * WORD, dtype=np.uint8)
    return _find_starts(first_map, second_map, flags, flags.view(np.uint64))


def measure_segments(
    panoptic_map: Int32Array, segment_ids: Int32Array
) -> tuple[Int64Array, Int32Array, int]:
    """Count the pixels of segments and find the boxes around them, in one pass.

    Args:
        panoptic_map: int32 (H, W), a segment_id per pixel, 0 = void.
        segment_ids: int32 (N,), the ids to look for, ascending and without 0.

    Returns:
        areas int64 (N,) in pixels; bboxes int32 (N, 4), COCO xywh, all 0 for a segment
        without pixels; and the number of pixels with an id that is neither listed nor 0.

    >>> panoptic_map = np.array([[0, 5, 5], [9, 9, 5]], dtype=np.int32)
    >>> areas, bboxes, unlisted = measure_segments(panoptic_map, np.array([5], dtype=np.int32))
    >>> areas.tolist(), bboxes.tolist(), unlisted
    ([3], [[1, 0, 2, 2]], 2)
    """
    areas = np.zeros(len(segment_ids), dtype=np.int64)
    height, width = panoptic_map.shape
    edges = np.tile(np.array([width, height, 0, 0], dtype=np.int32), (len(segment_ids), 1))
    unlisted = _measure_runs(np.ascontiguousarray(panoptic_map), segment_ids, areas, edges)
    edges[areas == 0] = 0
    edges[:, 2:] -= edges[:, :2]
    return areas, edges, int(unlisted)


def label_segments(
    panoptic_map: Int32Array, segment_ids: Int32Array, labels: Int32Array
) -> Int32Array:
    """What each pixel's segment is.

    Args:
        panoptic_map: int32 (H, W), segment ids; all but 0 are listed.
        segment_ids: int32 (N,), in any order, without 0.
        labels: int32 (N,), such as the segments' category ids.

    Returns:
        int32 (H, W), 0 where the map is.

    >>> panoptic_map = np.array([[0, 9, 5]], dtype=np.int32)
    >>> ids, labels = np.array([9, 5], dtype=np.int32), np.array([1, 2], dtype=np.int32)
    >>> label_segments(panoptic_map, ids, labels).tolist()
    [[0, 1, 2]]
    """
    every_id, every_label = (np.append(column, np.int32(0)) for column in (segment_ids, labels))
    order = np.argsort(every_id)
    return every_label[order][np.searchsorted(every_id[order], panoptic_map)]


def border_bands(segment_map: Int32Array, widths: Sequence[int]) -> UInt8Array:
    """Which band around the borders of a map each pixel lies in.

    A pixel is within d of a border where another segment, void too, begins at most d pixels away
    along rows, columns and diagonals, on either side. The image's own border is none.

    Args:
        segment_map: int32 (H, W).
        widths: of the bands in pixels, ascending, each at least 1.

    Returns:
        uint8 (H, W): 0 within the first width, 1 within the second, ..., len(widths) beyond.

    >>> border_bands(np.array([[7, 7, 7, 7, 5, 5]], dtype=np.int32), [1, 3]).tolist()
    [[2, 1, 1, 0, 0, 1]]
    """
    import cv2  # scoring does without it

    beside = np.zeros(segment_map.shape, dtype=np.uint8)  # 1 at both sides of a border
    for one, two in (
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[1:], np.s_[:-1]),
        (np.s_[1:, 1:], np.s_[:-1, :-1]),
        (np.s_[1:, :-1], np.s_[:-1, 1:]),
    ):
        differ = segment_map[one] != segment_map[two]
        beside[one] |= differ
        beside[two] |= differ
    bands = np.full(segment_map.shape, len(widths), dtype=np.uint8)
    for width in reversed(widths):
        square = np.ones((2 * width - 1, 2 * width - 1), dtype=np.uint8)
        bands -= cv2.dilate(beside, square).astype(np.uint8)
    return bands


def measure_border_distance(mask: BoolArray) -> Int64Array:
    """How far each pixel is from the border of a mask, inside or outside it.

    Distances are in pixels, along rows, columns and diagonals; those beside the border are 1
    away from it. The edge of the map is no border.

    Args:
        mask: bool (H, W), with pixels of both kinds.

    >>> measure_border_distance(np.array([[True, True, False, False, False]])).tolist()
    [[2, 1, 1, 2, 3]]
    """
    import cv2

    inside = mask.astype(np.uint8)
    within, beyond = (cv2.distanceTransform(side, cv2.DIST_C, 3) for side in (inside, 1 - inside))
    return within.astype(np.int64) + beyond.astype(np.int64)


def label_parts(mask: BoolArray) -> list[tuple[BoolArray, tuple[int, int]]]:
    """The 8-connected parts of a mask: bool crops and their (y, x), from the top left on.

    >>> parts = label_parts(np.array([[True, False, True], [True, False, False]]))
    >>> [(crop.tolist(), corner) for crop, corner in parts]
    [([[True], [True]], (0, 0)), ([[True]], (0, 2))]
    """
    import cv2

    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    parts = []
    for number in range(1, count):
        x, y, width, height = boxes[number, :4].tolist()
        parts.append((labels[y : y + height, x : x + width] == number, (y, x)))
    return sorted(parts, key=lambda part: part[1])


@jit
def _find_starts(
    first_map: Int32Array, second_map: Int32Array, flags: UInt8Array, flags_by_word: UInt64Array
) -> Int32Array:
    """All starts.

    One vector pass per row compares neighbours; then only words with a change are read.
    flags is room to work in: zeros, one per pixel of a row, filled up to whole words.
    """
    height, width = first_map.shape
    starts = np.empty(4 * height + 2 * len(flags), np.int32)
    count = int(np.int64(0))  # a plain 0 has a type of its own to compile for
    for y in range(height):
        if count + len(flags) >= len(starts):
            starts = _double(starts, count)
        first, second = first_map[y], second_map[y]
        flags[0] = 1
        for x in range(1, width):
            flags[x] = ((first[x] ^ first[x - 1]) | (second[x] ^ second[x - 1])) != 0
        for word in range(len(flags_by_word)):
            if flags_by_word[word] == 0:
                continue
            for x in range(word * WORD, word * WORD + WORD):
                starts[count] = y * width + x
                count += np.int64(flags[x])  # type: ignore[assignment]
    return starts[:count].copy()


@jit
def _double(values: Int32Array, count: int) -> Int32Array:
    """The first so many values in an array of twice the length.

    np.concatenate takes half a second to compile.
    """
    longer = np.empty(2 * len(values), np.int32)
    for index in range(count):
        longer[index] = values[index]
    return longer


@jit
def _measure_runs(
    panoptic_map: Int32Array, segment_ids: Int32Array, areas: Int64Array, edges: Int32Array
) -> int:
    """Fill areas and edges (xyxy) run by run; an image has far fewer runs than pixels."""
    unlisted = 0
    height, width = panoptic_map.shape
    for y in range(height):
        x = 0
        while x < width:
            segment_id = panoptic_map[y, x]
            start = x
            while x < width and panoptic_map[y, x] == segment_id:
                x += 1
            if segment_id == 0:
                continue
            index, beyond = 0, len(segment_ids)
            while index < beyond:  # by halves; np.searchsorted takes as long to compile as all this
                middle = (index + beyond) // 2
                if segment_ids[middle] < segment_id:
                    index = middle + 1
                else:
                    beyond = middle
            if index == len(segment_ids) or segment_ids[index] != segment_id:
                unlisted += x - start
                continue
            areas[index] += x - start
            edges[index, 0] = min(edges[index, 0], start)
            edges[index, 1] = min(edges[index, 1], y)
            edges[index, 2] = max(edges[index, 2], x)
            edges[index, 3] = max(edges[index, 3], y + 1)
    return unlisted
