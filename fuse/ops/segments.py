"""What the pixels of a panoptic map say about its segments: areas and boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuse.ops._jit import jit
from fuse.types import Int32Array

Int64Array = npt.NDArray[np.int64]


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
            index = np.searchsorted(segment_ids, segment_id)
            if index == len(segment_ids) or segment_ids[index] != segment_id:
                unlisted += x - start
                continue
            areas[index] += x - start
            edges[index, 0] = min(edges[index, 0], start)
            edges[index, 1] = min(edges[index, 1], y)
            edges[index, 2] = max(edges[index, 2], x)
            edges[index, 3] = max(edges[index, 3], y + 1)
    return unlisted
