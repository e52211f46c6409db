"""PNG's row filters between segment ids and the bytes that are compressed, in one pass.

Ids are packed as 0xBBGGRR, so a pixel is one integer and its three channels are added,
averaged and compared at once. Names and numbers follow the PNG specification, section 9.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuse.ops._jit import jit
from fuse.ops.row_deltas import FIRST_ROWS, RowDeltas
from fuse.types import Int32Array, Int64Array, UInt8Array, UInt64Array

UInt32Array = npt.NDArray[np.uint32]

SUB, UP, AVERAGE, PAETH = 1, 2, 3, 4  # 0 is no filter
NO_BAD_ROW = -1
# Nearly all filtered bytes of a map are zeros: they are looked at 8 pixels, three words, at a
# time. Blocks of 16 pixels took a fifth longer, as more of them have a border inside.
BLOCK = 8
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


def unfilter_rows(rows: UInt8Array) -> tuple[RowDeltas, int]:
    """The panoptic map of an 8-bit RGB PNG's rows, as row deltas.

    Args:
        rows: uint8 (H, 1 + 3 W), C-contiguous: per row the number of its filter, then the
            filtered bytes.

    Returns:
        the map, and the first row whose filter does not exist, or NO_BAD_ROW.
    """
    height, row_bytes = rows.shape
    width, blocks_in_row = (row_bytes - 1) // 3, (row_bytes - 1) // BLOCK_BYTES
    # A pixel is three bytes: one word that begins a byte before them is read in one step.
    pixels = np.ndarray((height, width), "<u4", rows.data, strides=(row_bytes, 3))
    blocks = np.ndarray(
        (height, blocks_in_row, BLOCK_BYTES // 8),
        np.uint64,
        rows.data,
        offset=1 if blocks_in_row else 0,
        strides=(row_bytes, BLOCK_BYTES, 8),
    )
    packed, row_ends, bad_row = _unfilter(rows, pixels, blocks)
    return RowDeltas(packed.view(np.int32).reshape(-1, 2), row_ends, width), bad_row


@jit
def _unfilter(
    rows: UInt8Array, pixels: UInt32Array, blocks: UInt64Array
) -> tuple[Int64Array, Int64Array, int]:
    """Packed deltas, row ends and the first bad row.

    A delta is one number, its id above its column, which in memory are the two of `RowDeltas`: two
    stores for each delta took twice as long.

    Args:
        rows: as in unfilter_rows.
        pixels: uint32 (H, W), the filtered bytes of each pixel, shifted up by 8 bits.
        blocks: uint64 (H, B, 3), the words of the whole blocks of each row.
    """
    height, width = pixels.shape
    ids = np.zeros(width, np.int32)
    deltas = np.empty(FIRST_ROWS * width, np.int64)
    row_ends = np.zeros(height, np.int64)
    count = int(np.int64(0))
    for y in range(height):
        if count + width >= len(deltas):
            deltas = np.concatenate((deltas, np.empty_like(deltas)))
        kind = rows[y, 0]
        if kind == UP:
            count = _undo_up(pixels, blocks, y, ids, deltas, count)
        elif kind == SUB:
            count = _undo_sub(pixels, blocks, y, ids, deltas, count)
        elif kind <= PAETH:
            count = _undo_other(kind, pixels, blocks, y, ids, deltas, count)
        else:
            return deltas[:0], row_ends, y
        row_ends[y] = count
    return deltas[:count].copy(), row_ends, NO_BAD_ROW


# Each of these turns ids of the row above into those of row y and appends its deltas. They take all
# rows: the views of one are counted in and out, which took a fifth of the time.


@jit
def _undo_up(
    pixels: UInt32Array,
    blocks: UInt64Array,
    y: int,
    ids: Int32Array,
    deltas: Int64Array,
    count: int,
) -> int:
    """Sums down the columns; a block of zeros changes nothing."""
    for block in range(blocks.shape[1] + 1):
        if block < blocks.shape[1] and _is_zero(blocks, y, block):
            continue
        for x in range(block * BLOCK, block * BLOCK + BLOCK):
            if x >= len(ids):
                break
            step = pixels[y, x] >> 8
            now = _add(step, ids[x])
            ids[x] = now
            deltas[count] = np.int64(now) << 32 | x  # kept where it counts: no branch to mispredict
            count += step != 0
    return count


@jit
def _undo_sub(
    pixels: UInt32Array,
    blocks: UInt64Array,
    y: int,
    ids: Int32Array,
    deltas: Int64Array,
    count: int,
) -> int:
    """Sums along the row; a block of zeros repeats the pixel before it."""
    left = int(np.int64(0))  # a plain 0 has a type of its own to compile for
    for block in range(blocks.shape[1] + 1):
        if block < blocks.shape[1] and _is_zero(blocks, y, block):
            different = 0
            for x in range(block * BLOCK, block * BLOCK + BLOCK):
                different |= ids[x] ^ left
            if different == 0:
                continue
        for x in range(block * BLOCK, block * BLOCK + BLOCK):
            if x >= len(ids):
                break
            left = _add(pixels[y, x] >> 8, left)
            if left != ids[x]:
                ids[x] = left
                deltas[count] = np.int64(left) << 32 | x
                count += 1
    return count


@jit
def _undo_other(
    kind: int,
    pixels: UInt32Array,
    blocks: UInt64Array,
    y: int,
    ids: Int32Array,
    deltas: Int64Array,
    count: int,
) -> int:
    """Paeth, average or no filter, pixel by pixel.

    In Paeth a block of zeros changes nothing where the pixel before it did not change.
    """
    left, above_left = int(np.int64(0)), int(np.int64(0))
    for block in range(blocks.shape[1] + 1):
        is_kept = kind == PAETH and left == above_left and block < blocks.shape[1]
        if is_kept and _is_zero(blocks, y, block):
            left = above_left = ids[block * BLOCK + BLOCK - 1]
            continue
        for x in range(block * BLOCK, block * BLOCK + BLOCK):
            if x >= len(ids):
                break
            above = ids[x]
            predicted = int(np.int64(0))
            if kind == PAETH:
                predicted = _paeth(left, above, above_left)
            elif kind == AVERAGE:
                predicted = _average(left, above)
            left, above_left = _add(pixels[y, x] >> 8, predicted), above
            if left != above:
                ids[x] = left
                deltas[count] = np.int64(left) << 32 | x
                count += 1
    return count


@jit
def _is_zero(blocks: UInt64Array, y: int, block: int) -> bool:
    """Whether all bytes of a block are zero."""
    return bool(blocks[y, block, 0] | blocks[y, block, 1] | blocks[y, block, 2] == 0)


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
