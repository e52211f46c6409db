"""Where to write a segment's name: the centre of its largest inscribed circle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuse.types import Float32Array, Int32Array

# Longest side of the grid that is searched; a label's place needs no more precision.
GRID_SIDE = 200


@dataclass(frozen=True, slots=True)
class LabelPoint:
    """The point of a segment that is farthest from its border.

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


def find_label_points(segment_map: Int32Array) -> dict[int, LabelPoint]:
    """The label point of each id of an int32 (H, W) map but 0, in ascending id.

    Large maps are searched on a grid, so segments that lie between its points are left out.

    >>> segment_map = np.zeros((5, 9), dtype=np.int32)
    >>> segment_map[:, :5] = 7
    >>> find_label_points(segment_map)
    {7: LabelPoint(y=2, x=2, radius=2.5, top=0)}
    """
    if segment_map.size == 0:
        return {}
    step = -(-max(segment_map.shape) // GRID_SIDE)
    grid = segment_map[step // 2 :: step, step // 2 :: step]
    distance = _measure_distance(grid)
    ids, first, segment = np.unique(grid, return_index=True, return_inverse=True)
    # In ascending distance: of the points with one id the last written, the farthest, stays.
    order = np.argsort(distance, axis=None, kind="stable")
    farthest = np.zeros(len(ids), dtype=np.int64)
    farthest[segment.reshape(-1)[order]] = order
    rows, columns = np.unravel_index(farthest, grid.shape)
    tops = first // grid.shape[1]
    return {
        segment_id: LabelPoint(
            y=int(row) * step + step // 2,
            x=int(column) * step + step // 2,
            radius=float(distance[row, column]) * step,
            top=int(top) * step,
        )
        for segment_id, row, column, top in zip(ids.tolist(), rows, columns, tops, strict=True)
        if segment_id != 0
    }


def _measure_distance(grid: Int32Array) -> Float32Array:
    """Distance of each point to the nearest point of another id or outside: float32 (h, w)."""
    import cv2  # whoever draws no picture does without it

    height, width = grid.shape
    # Twice the grid and a frame, so that a border between two neighbours has a row of its own.
    inside = np.ones((2 * height + 1, 2 * width + 1), dtype=np.uint8)
    inside[[0, -1]] = 0
    inside[:, [0, -1]] = 0
    inside[2:-1:2, 1::2] = grid[1:] == grid[:-1]
    inside[1::2, 2:-1:2] = grid[:, 1:] == grid[:, :-1]
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return distance[1::2, 1::2].astype(np.float32) * np.float32(0.5)
