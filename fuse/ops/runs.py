"""Runs of equal neighbours: what makes counting over maps cheap."""

from __future__ import annotations

import numpy as np

from fuse.ops._jit import jit
from fuse.types import Int32Array, UInt8Array

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
    return _find_starts(first_map, second_map)


@jit
def _find_starts(first_map: Int32Array, second_map: Int32Array) -> Int32Array:
    """All starts, with room for them that grows."""
    height, width = first_map.shape
    flags = np.zeros((width + WORD - 1) // WORD * WORD, np.uint8)
    starts = np.empty(4 * height + 2 * len(flags), np.int32)
    y, count = _find_until_full(first_map, second_map, 0, 0, flags, starts)
    while y < height:
        starts = np.concatenate((starts, np.empty_like(starts)))
        y, count = _find_until_full(first_map, second_map, y, count, flags, starts)
    return starts[:count].copy()


@jit
def _find_until_full(
    first_map: Int32Array,
    second_map: Int32Array,
    y: int,
    count: int,
    flags: UInt8Array,
    starts: Int32Array,
) -> tuple[int, int]:
    """Append the starts of rows from y on; returns the first row without room, and the count.

    One vector pass per row compares neighbours; then only words with a change are read.
    flags is room to work in: zeros, one per pixel of a row, filled up to whole words.
    """
    height, width = first_map.shape
    flags_by_word = flags.view(np.uint64)
    while y < height and count + len(flags) < len(starts):
        first, second = first_map[y], second_map[y]
        flags[0] = 1
        for x in range(1, width):
            flags[x] = ((first[x] ^ first[x - 1]) | (second[x] ^ second[x - 1])) != 0
        for word in range(len(flags_by_word)):
            if flags_by_word[word] == 0:
                continue
            for x in range(word * WORD, word * WORD + WORD):
                starts[count] = y * width + x
                count += np.int64(flags[x])
        y += 1
    return y, count
