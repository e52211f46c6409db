"""All segments of a map as run lengths in one pass: COCO's RLE, and Label Studio's brush code."""

from __future__ import annotations

import numpy as np

from fuse.errors import describe_size
from fuse.ops._jit import jit
from fuse.types import Int32Array, Int64Array, UInt8Array

MAX_CODE_BYTES = 7  # of one length: 5 bits each, up to 2**31
BRUSH_BITS = (3, 4, 8, 16)  # what a length in a brush code may take, the smallest that fits
BRUSH_CHANNELS = 4  # red, green, blue, alpha
BRUSH_WORD = 8  # bits of a value


def encode_segments(panoptic_map: Int32Array, segment_ids: Int32Array) -> list[bytes]:
    """COCO's compressed ``counts`` of each segment over the whole map.

    Args:
        panoptic_map: int32 (H, W).
        segment_ids: int32 (N,), in any order, each once.

    >>> encode_segments(np.array([[7, 7], [0, 7]], dtype=np.int32), np.array([7], dtype=np.int32))
    [b'0111']
    """
    order = np.argsort(segment_ids)
    columns = np.ascontiguousarray(panoptic_map.T).reshape(-1)
    starts, firsts = _find_runs(columns, segment_ids[order].astype(np.int32))
    codes: list[bytes] = [b""] * len(order)
    for place, row in enumerate(order.tolist()):
        runs = starts[firsts[place] : firsts[place + 1]]
        codes[row] = _compress(runs, columns.size).tobytes()
    return codes


def encode_brushes(panoptic_map: Int32Array, segment_ids: Int32Array) -> list[UInt8Array]:
    """Label Studio's brush code of each segment: uint8 numbers of an RGBA picture, row by row.

    Its pixels are 255 in all four channels where the segment is, else 0. The code: 32 bits with
    the number of values, 5 with the bits of a value and 4 times 4 with those of a length, each
    less one; then runs: a bit that is 1, two that choose the length's bits, the length less one,
    the value.
    """
    order = np.argsort(segment_ids)
    rows = np.ascontiguousarray(panoptic_map).reshape(-1)
    starts, firsts = _find_runs(rows, segment_ids[order].astype(np.int32))
    codes: list[UInt8Array] = [np.zeros(0, np.uint8)] * len(order)
    for place, row in enumerate(order.tolist()):
        runs = starts[firsts[place] : firsts[place + 1]]
        codes[row] = _pack_brush(runs, rows.size)
    return codes


@jit
def _find_runs(flat: Int32Array, sorted_ids: Int32Array) -> tuple[Int64Array, Int64Array]:
    """Start and stop of each run, id by id: int64 (R, 2), and where each id's begin."""
    counts = np.zeros(len(sorted_ids), np.int64)
    for fill in (False, True):
        if fill:
            firsts = np.zeros(len(sorted_ids) + 1, np.int64)
            firsts[1:] = np.cumsum(counts)
            runs = np.empty((firsts[-1], 2), np.int64)
            placed = firsts[:-1].copy()
        start = 0
        for index in range(1, len(flat) + 1):
            if index < len(flat) and flat[index] == flat[start]:
                continue
            place = np.searchsorted(sorted_ids, flat[start])
            if place < len(sorted_ids) and sorted_ids[place] == flat[start]:
                if fill:
                    runs[placed[place], 0], runs[placed[place], 1] = start, index
                    placed[place] += 1
                else:
                    counts[place] += 1
            start = index
    return runs, firsts


@jit
def _compress(runs: Int64Array, pixels: int) -> UInt8Array:
    """Runs (R, 2) of a mask as compressed counts, background first; see `fuse.ops.rle`."""
    code = np.empty(MAX_CODE_BYTES * (2 * len(runs) + 1), np.uint8)
    size, end = 0, 0
    before, two_before = 0, 0
    for index in range(2 * len(runs) + 1):
        if index == 2 * len(runs):
            if end == pixels:
                break
            length = pixels - end
        else:
            edge = runs[index // 2, index % 2]
            length, end = edge - end, edge
        value = length - two_before if index > 2 else length
        two_before, before = before, length
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            code[size] = bits + 48 + (32 if more else 0)
            size += 1
    return code[:size].copy()


@jit
def _write_bits(code: UInt8Array, position: int, value: int, bits: int) -> int:
    """Write a number, highest bit first; returns where the next one begins."""
    for bit in range(bits - 1, -1, -1):
        if value >> bit & 1:
            code[position >> 3] |= np.uint8(128 >> (position & 7))
        position += 1
    return position


@jit
def _write_run(code: UInt8Array, position: int, length: int, value: int) -> int:
    """Write a run of values, cut where it is longer than the longest length."""
    while length > 0:
        part = min(length, 1 << BRUSH_BITS[3])
        length -= part
        choice = 0
        while part > 1 << BRUSH_BITS[choice]:
            choice += 1
        position = _write_bits(code, position, 1, 1)
        position = _write_bits(code, position, choice, 2)
        position = _write_bits(code, position, part - 1, BRUSH_BITS[choice])
        position = _write_bits(code, position, value, BRUSH_WORD)
    return position


@jit
def _pack_brush(runs: Int64Array, pixels: int) -> UInt8Array:
    """Runs (R, 2) of a mask along its rows as a brush code."""
    values = pixels * BRUSH_CHANNELS
    longest = 2 * len(runs) + 2 + values // (1 << BRUSH_BITS[3]) + 1
    code = np.zeros(8 + 4 * longest, np.uint8)
    position = _write_bits(code, 0, values, 32)
    position = _write_bits(code, position, BRUSH_WORD - 1, 5)
    for bits in BRUSH_BITS:
        position = _write_bits(code, position, bits - 1, 4)
    end = 0
    for index in range(len(runs)):
        position = _write_run(code, position, (runs[index, 0] - end) * BRUSH_CHANNELS, 0)
        end = runs[index, 1]
        position = _write_run(code, position, (end - runs[index, 0]) * BRUSH_CHANNELS, 255)
    position = _write_run(code, position, (pixels - end) * BRUSH_CHANNELS, 0)
    return code[: (position + 7) // 8].copy()


def decode_brush(code: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """The alpha of each pixel of a brush code over an image of (height, width): uint8 (H, W).

    Raises:
        ValueError: the code is cut short, or of another number of values than the image has.
    """
    height, width = size
    values = height * width * BRUSH_CHANNELS
    alpha = np.zeros(height * width, np.uint8)
    found = _unpack_brush(np.ascontiguousarray(code), values, alpha)
    if found != values:
        fault = "is cut short or damaged" if found < 0 else f"has {found} values"
        raise ValueError(f"the brush code {fault}; the image, {describe_size(size)}, has {values}")
    return alpha.reshape(height, width)


@jit
def _read_bits(code: UInt8Array, position: int, bits: int) -> int:
    """A number, highest bit first; the caller sees to it that the bits are there."""
    value = 0
    for index in range(position, position + bits):
        value = value << 1 | (int(code[index >> 3]) >> (7 - (index & 7)) & 1)
    return value


@jit
def _unpack_brush(code: UInt8Array, values: int, alpha: UInt8Array) -> int:
    """Fill alpha; returns how many values the code says it has, -1 where it is cut short."""
    bits = 8 * len(code)
    if bits < 53:
        return -1
    said = _read_bits(code, 0, 32)
    if said != values:
        return said
    word = _read_bits(code, 32, 5) + 1
    lengths = np.empty(4, np.int64)
    for choice in range(4):
        lengths[choice] = _read_bits(code, 37 + 4 * choice, 4) + 1
    position, done = 53, 0
    while done < values:
        if position + 3 > bits:
            return -1
        is_run = _read_bits(code, position, 1)
        choice = _read_bits(code, position + 1, 2)
        position += 3
        if position + lengths[choice] > bits:
            return -1
        length = _read_bits(code, position, lengths[choice]) + 1
        position += lengths[choice]
        if done + length > values or position + word * (1 if is_run else length) > bits:
            return -1
        value = 0
        for index in range(done, done + length):
            if not is_run or index == done:
                value = _read_bits(code, position, word)
                position += word
            if index % BRUSH_CHANNELS == BRUSH_CHANNELS - 1:
                alpha[index // BRUSH_CHANNELS] = min(value, 255)
        done += length
    return said
