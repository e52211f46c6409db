"""The bands of pixels along the borders of segments (Cheng et al., *Boundary IoU*, CVPR 2021)."""

from __future__ import annotations

from math import hypot

import numpy as np

from fuse.ops._jit import jit
from fuse.ops.row_deltas import BLOCK, FIRST_ROWS, RowDeltas
from fuse.types import Int32Array, Int64Array

DILATION_RATIO = 0.02  # of the image's diagonal, the paper's for all but its LVIS figures


def band_width(size: tuple[int, int], ratio: float = DILATION_RATIO) -> int:
    """How many pixels deep the band of an image of (height, width) is, at least 1.

    >>> band_width((480, 640)), band_width((3, 4))
    (16, 1)
    """
    return max(1, round(ratio * hypot(*size)))


def keep_bands(deltas: RowDeltas, width: int, inner_id: int) -> RowDeltas:
    """The map with one id for all pixels that lie deeper in their segment than its band.

    A pixel is in the band where the square of that many pixels around it holds another id or
    reaches over the image's border: what erosion by a 3 x 3 square, as many times, takes away.
    Only the last rows are held in memory, never the map.

    Args:
        deltas: segment ids; void, which is 0, stays as it is.
        width: of the band, at least 1.
        inner_id: the id that pixels beyond the band get.

    >>> square = RowDeltas.from_map(np.full((3, 4), 5, dtype=np.int32))
    >>> keep_bands(square, 1, 9).to_map().tolist()
    [[5, 5, 5, 5], [5, 9, 9, 5], [5, 5, 5, 5]]
    """
    kept = _keep_bands(deltas.deltas, deltas.row_ends, deltas.width, width, inner_id)
    return RowDeltas(*kept, deltas.width)


@jit
def _keep_bands(
    deltas: Int32Array, row_ends: Int64Array, columns: int, width: int, inner_id: int
) -> tuple[Int32Array, Int64Array]:
    """Deltas and row ends of the bands: a square is of one id where its rows are, and are alike."""
    height = len(row_ends)
    last_rows = np.zeros((width + 1, columns), np.int32)
    ids, above, band = np.zeros((3, columns), np.int32)
    is_even = np.zeros(columns, np.int32)  # 1 where the row is of one id that far to both sides
    even_rows = np.zeros(columns, np.int32)  # how many rows up to this one are, all alike
    kept = np.empty((FIRST_ROWS * columns, 2), np.int32)
    kept_ends = np.zeros(height, np.int64)
    start, count = 0, 0
    for y in range(height + width):
        if y < height:
            for index in range(start, row_ends[y]):
                x = deltas[index, 0]
                ids[x], even_rows[x] = deltas[index, 1], 0
            if start < row_ends[y]:
                _mark_even(ids, width, is_even)
            start = row_ends[y]
            for x in range(columns):
                even_rows[x] = is_even[x] * (even_rows[x] + 1)
            last_rows[y % (width + 1)] = ids
        else:
            even_rows[:] = 0  # below the image
        if y < width:
            continue
        row = last_rows[(y - width) % (width + 1)]
        for x in range(columns):
            is_inner = (even_rows[x] > 2 * width) & (row[x] != 0)
            band[x] = inner_id if is_inner else row[x]
        if count + columns > len(kept):
            kept = np.concatenate((kept, np.empty_like(kept)))
        count = _append_deltas(band, above, kept, count)
        kept_ends[y - width] = count
    return kept[:count].copy(), kept_ends


@jit
def _mark_even(ids: Int32Array, width: int, is_even: Int32Array) -> None:
    """Write 1 where the pixels up to so far left and right are of one id, else 0."""
    columns = len(ids)
    is_even[:] = 0
    start = 0
    for x in range(1, columns + 1):
        if x == columns or ids[x] != ids[start]:
            for inner in range(start + width, x - width):
                is_even[inner] = 1
            start = x


@jit
def _append_deltas(ids: Int32Array, above: Int32Array, kept: Int32Array, count: int) -> int:
    """Write the deltas of a row behind `count` others and carry it over into above."""
    for first in range(0, len(ids), BLOCK):
        stop = min(first + BLOCK, len(ids))
        different = 0
        for x in range(first, stop):
            different |= ids[x] ^ above[x]
        if different == 0:
            continue
        for x in range(first, stop):
            if ids[x] != above[x]:
                kept[count, 0], kept[count, 1] = x, ids[x]
                above[x] = ids[x]
                count += 1
    return count
