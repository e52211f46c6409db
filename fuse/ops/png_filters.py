"""PNG's row filters between segment ids and the bytes that are compressed, in one pass.

Ids are packed as 0xBBGGRR, so a pixel is one integer and its three channels are added,
averaged and compared at once. Names and numbers follow the PNG specification, section 9.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuse.ops._jit import jit
from fuse.types import Int32Array, UInt8Array

SUB, UP, AVERAGE, PAETH = 1, 2, 3, 4  # 0 is no filter
NO_BAD_ROW = -1
# Nearly all filtered bytes of a map are zeros: looking at 16 pixels, six words of 8 bytes, at
# once makes undoing the filters twice as fast.
BLOCK = 16
BLOCK_BYTES = 3 * BLOCK


@jit
def filter_rows(panoptic_map: Int32Array) -> tuple[UInt8Array, int]:
    """The rows of an 8-bit RGB PNG of a panoptic map, each by the filter Up.

    Segments are taller than a row, so Up leaves mostly zeros, which need not be written.
    Choosing the best filter row by row took twice as long and made files no smaller.

    Args:
        panoptic_map: int32 (H, W), C-contiguous.

    Returns:
        uint8 (H, 1 + 3 W), and all ids or-ed together: more than 24 bits of it, or a sign,
        mean that some id does not fit three bytes.
    """
    height, width = panoptic_map.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    above = np.zeros(width, np.int32)
    seen = 0
    for y in range(height):
        ids, row = panoptic_map[y], rows[y]
        row[0] = UP
        for x in range(width):
            now, up = ids[x], above[x]
            seen |= now
            if now != up:
                row[1 + 3 * x] = now - up
                row[2 + 3 * x] = (now >> 8) - (up >> 8)
                row[3 + 3 * x] = (now >> 16) - (up >> 16)
        above = ids
    return rows, seen


def unfilter_rows(rows: UInt8Array) -> tuple[Int32Array, int]:
    """The panoptic map of an 8-bit RGB PNG's rows.

    Args:
        rows: uint8 (H, 1 + 3 W), C-contiguous: per row the number of its filter, then the
            filtered bytes.

    Returns:
        int32 (H, W), and the first row whose filter does not exist, or NO_BAD_ROW.
    """
    height, row_bytes = rows.shape
    blocks_in_row = (row_bytes - 1) // BLOCK_BYTES
    blocks = np.ndarray(
        (height, blocks_in_row, BLOCK_BYTES // 8),
        np.uint64,
        rows.data,
        offset=1 if blocks_in_row else 0,
        strides=(row_bytes, BLOCK_BYTES, 8),
    )
    return _unfilter(rows, blocks)


@jit
def _unfilter(rows: UInt8Array, blocks: npt.NDArray[np.uint64]) -> tuple[Int32Array, int]:
    """See unfilter_rows; blocks are the words of the whole blocks of each row."""
    height, width = rows.shape[0], (rows.shape[1] - 1) // 3
    panoptic_map = np.empty((height, width), np.int32)
    above = np.zeros(width, np.int32)
    for y in range(height):
        row, ids = rows[y, 1:], panoptic_map[y]
        if rows[y, 0] == 0:
            for x in range(width):
                ids[x] = _pixel(row, x)
        elif rows[y, 0] == SUB:
            _undo_sub(row, blocks[y], ids)
        elif rows[y, 0] == UP:
            _undo_up(row, blocks[y], above, ids)
        elif rows[y, 0] == AVERAGE:
            left = 0
            for x in range(width):
                left = _add(_pixel(row, x), _average(left, above[x]))
                ids[x] = left
        elif rows[y, 0] == PAETH:
            _undo_paeth(row, blocks[y], above, ids)
        else:
            return panoptic_map, y
        above = ids
    return panoptic_map, NO_BAD_ROW


@jit
def _undo_sub(row: UInt8Array, blocks: npt.NDArray[np.uint64], ids: Int32Array) -> None:
    """Fill ids with sums along the row; a block of zeros repeats the pixel before it."""
    left = 0
    for block in range(len(blocks) + 1):
        first = block * BLOCK
        if block < len(blocks) and _is_zero(blocks[block]):
            for x in range(first, first + BLOCK):
                ids[x] = left
            continue
        for x in range(first, min(first + BLOCK, len(ids))):
            left = _add(_pixel(row, x), left)
            ids[x] = left


@jit
def _undo_up(
    row: UInt8Array, blocks: npt.NDArray[np.uint64], above: Int32Array, ids: Int32Array
) -> None:
    """Fill ids with sums down the columns; a block of zeros repeats the pixels above it."""
    for block in range(len(blocks) + 1):
        first = block * BLOCK
        if block < len(blocks) and _is_zero(blocks[block]):
            for x in range(first, first + BLOCK):
                ids[x] = above[x]
            continue
        for x in range(first, min(first + BLOCK, len(ids))):
            ids[x] = _add(_pixel(row, x), above[x])


@jit
def _undo_paeth(
    row: UInt8Array, blocks: npt.NDArray[np.uint64], above: Int32Array, ids: Int32Array
) -> None:
    """Fill ids by Paeth's filter.

    A block of zeros repeats the pixels above it where that held for the pixel before it.
    """
    left, above_left = 0, 0
    for block in range(len(blocks) + 1):
        first = block * BLOCK
        if block < len(blocks) and left == above_left and _is_zero(blocks[block]):
            for x in range(first, first + BLOCK):
                ids[x] = above[x]
            left = above_left = above[first + BLOCK - 1]
            continue
        for x in range(first, min(first + BLOCK, len(ids))):
            left = _add(_pixel(row, x), _paeth(left, above[x], above_left))
            above_left = above[x]
            ids[x] = left


@jit
def _is_zero(block: npt.NDArray[np.uint64]) -> bool:
    """Whether a block's six words are all zero."""
    words = block[0] | block[1] | block[2] | block[3] | block[4] | block[5]
    return bool(words == 0)


@jit
def _pixel(row: UInt8Array, x: int) -> int:
    """The three bytes of a pixel as 0xBBGGRR."""
    red, green, blue = row[3 * x], row[3 * x + 1], row[3 * x + 2]
    return int(np.int32(red) | np.int32(green) << 8 | np.int32(blue) << 16)


@jit
def _add(a: int, b: int) -> int:
    """Channel by channel a + b, modulo 256: the highest bits are added apart, without carry."""
    return ((a & 0x7F7F7F) + (b & 0x7F7F7F)) ^ ((a ^ b) & 0x808080)


@jit
def _average(a: int, b: int) -> int:
    """Channel by channel (a + b) / 2, rounded down: common bits plus half of the others."""
    return (a & b) + (((a ^ b) & 0xFEFEFE) >> 1)


@jit
def _paeth(left: int, above: int, above_left: int) -> int:
    """Channel by channel the neighbour that is closest to left + above - above_left."""
    # Inside a segment and along straight borders the answer holds for all channels.
    if left == above_left:
        return above
    if above == above_left:
        return left
    predicted = 0
    for shift in (0, 8, 16):
        a, b, c = left >> shift & 255, above >> shift & 255, above_left >> shift & 255
        to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
        if to_a <= to_b and to_a <= to_c:
            predicted |= a << shift
        elif to_b <= to_c:
            predicted |= b << shift
        else:
            predicted |= c << shift
    return predicted
