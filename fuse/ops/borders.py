"""Bands of pixels along the borders between segments."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from fuse.types import Int32Array, UInt8Array

BoolArray = npt.NDArray[np.bool_]
Int64Array = npt.NDArray[np.int64]


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
    inside = mask.astype(np.uint8)
    within, beyond = (cv2.distanceTransform(side, cv2.DIST_C, 3) for side in (inside, 1 - inside))
    return within.astype(np.int64) + beyond.astype(np.int64)
