"""Runs of equal neighbours: what makes counting over maps cheap."""

from __future__ import annotations

import numpy as np

from fuse.ops._jit import jit
from fuse.types import Int32Array

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
    """One vector pass per row compares neighbours; then only words with a change are read."""
    height, width = first_map.shape
    words = (width + WORD - 1) // WORD
    flags = np.zeros(words * WORD, np.uint8)
    flags_by_word = flags.view(np.uint64)
    starts = np.empty(4 * height + 2 * len(flags), np.int32)
    count = 0
    for y in range(height):
        first, second = first_map[y], second_map[y]
        flags[0] = 1
        for x in range(1, width):
            flags[x] = ((first[x] ^ first[x - 1]) | (second[x] ^ second[x - 1])) != 0
        if count + len(flags) >= len(starts):
            larger = np.empty(2 * len(starts), np.int32)
            larger[:count] = starts[:count]
            starts = larger
        for word in range(words):
            if flags_by_word[word] == 0:
                continue
            for x in range(word * WORD, word * WORD + WORD):
                starts[count] = y * width + x
                count += flags[x]
    return starts[:count].copy()
