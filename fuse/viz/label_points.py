"""Where to write a segment's name: the point deepest inside it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fuse.types import Float32Array, Int32Array

# Longest side of the grid that is searched; a label's place needs no more precision.
GRID_SIDE = 200


@dataclass(frozen=True, slots=True)
class InnermostPoint:
    """The centre of a segment's largest inscribed circle.

    Attributes:
        y: row in pixels.
        x: column in pixels.
        radius: pixels from there to the nearest border of the segment or of the map.
        top: the segment's first row.
    """

    y: int
    x: int
    radius: float
    top: int


def innermost_points(segment_map: Int32Array) -> dict[int, InnermostPoint]:
    """The innermost point of each id of an int32 (H, W) map but 0, in ascending id.

    Large maps are searched on a grid, so segments that lie between its points are left out.

    >>> segment_map = np.zeros((5, 9), dtype=np.int32)
    >>> segment_map[:, :5] = 7
    >>> innermost_points(segment_map)
    {7: InnermostPoint(y=2, x=2, radius=2.5, top=0)}
    """
    if segment_map.size == 0:
        return {}
    step = -(-max(segment_map.shape) // GRID_SIDE)
    grid = segment_map[step // 2 :: step, step // 2 :: step]
    depth = _depth(grid)
    ids, first, segment = np.unique(grid, return_index=True, return_inverse=True)
    # The points in ascending depth: of those with one id the last written, the deepest, stays.
    order = np.argsort(depth, axis=None, kind="stable")
    deepest = np.zeros(len(ids), dtype=np.int64)
    deepest[segment.reshape(-1)[order]] = order
    rows, columns = np.unravel_index(deepest, grid.shape)
    tops = first // grid.shape[1]
    return {
        segment_id: InnermostPoint(
            y=int(row) * step + step // 2,
            x=int(column) * step + step // 2,
            radius=float(depth[row, column]) * step,
            top=int(top) * step,
        )
        for segment_id, row, column, top in zip(ids.tolist(), rows, columns, tops, strict=True)
        if segment_id != 0
    }


def _depth(grid: Int32Array) -> Float32Array:
    """Distance of each point to the nearest point of another id or outside: float32 (h, w)."""
    height, width = grid.shape
    # A wall between neighbours of different id needs room: twice the grid, and a frame.
    room = np.ones((2 * height + 1, 2 * width + 1), dtype=np.uint8)
    room[[0, -1]] = 0
    room[:, [0, -1]] = 0
    room[2:-1:2, 1::2] = grid[1:] == grid[:-1]
    room[1::2, 2:-1:2] = grid[:, 1:] == grid[:, :-1]
    distance = cv2.distanceTransform(room, cv2.DIST_L2, cv2.DIST_MASK_5)
    return distance[1::2, 1::2].astype(np.float32) * np.float32(0.5)
