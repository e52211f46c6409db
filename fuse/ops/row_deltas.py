"""A map of ids as row deltas: the pixels whose id is not that of the pixel above.

They are few, as segments are taller than a row, and PNG's filters give them away. What only
counts pixels works on the deltas and never makes the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuse.ops._jit import jit
from fuse.types import Int32Array, Int64Array

BLOCK = 16  # pixels compared at once
FIRST_ROWS = 8  # room for deltas at first, in rows; it doubles when full


@dataclass(frozen=True, slots=True, eq=False)
class RowDeltas:
    """A map of ids, row by row; above its first row all ids are 0.

    Attributes:
        deltas: int32 (D, 2), column and new id of each delta, row after row, columns ascending.
        row_ends: int64 (H,), how many deltas there are up to and with a row.
        width: pixels of a row.

    >>> found = RowDeltas.from_map(np.array([[0, 5, 5], [0, 5, 8]], dtype=np.int32))
    >>> found.deltas.tolist(), found.row_ends.tolist()
    ([[1, 5], [2, 5], [2, 8]], [2, 3])
    """

    deltas: Int32Array
    row_ends: Int64Array
    width: int

    @classmethod
    def from_map(cls, id_map: Int32Array) -> RowDeltas:
        """The deltas of an int32 (H, W) map."""
        return cls(*_find_deltas(np.ascontiguousarray(id_map)), id_map.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the map."""
        return len(self.row_ends), self.width

    @property
    def packed(self) -> Int64Array:
        """Each delta as one number: int64 (D,), its id << 32 | its column."""
        return self.deltas.view(np.int64).reshape(-1)

    def to_map(self) -> Int32Array:
        """The map: int32 (H, W)."""
        return _fill_map(self.deltas, self.row_ends, self.width)


@jit
def _find_deltas(id_map: Int32Array) -> tuple[Int32Array, Int64Array]:
    """Deltas and row ends of a C-contiguous map."""
    height, width = id_map.shape
    above = np.zeros(width, np.int32)
    deltas = np.empty((FIRST_ROWS * width, 2), np.int32)
    row_ends = np.empty(height, np.int64)
    count = 0
    for y in range(height):
        if count + width > len(deltas):
            deltas = np.concatenate((deltas, np.empty_like(deltas)))
        ids = id_map[y]
        for first in range(0, width, BLOCK):
            stop = min(first + BLOCK, width)
            different = 0
            for x in range(first, stop):
                different |= ids[x] ^ above[x]
            if different == 0:
                continue
            for x in range(first, stop):
                if ids[x] != above[x]:
                    deltas[count, 0], deltas[count, 1] = x, ids[x]
                    count += 1
        above = ids
        row_ends[y] = count
    return deltas[:count].copy(), row_ends


@jit
def _fill_map(deltas: Int32Array, row_ends: Int64Array, width: int) -> Int32Array:
    """See RowDeltas.to_map."""
    id_map = np.empty((len(row_ends), width), np.int32)
    above = np.zeros(width, np.int32)
    first = 0
    for y in range(len(row_ends)):
        for x in range(width):  # a slice takes seconds to compile
            id_map[y, x] = above[x]
        above = id_map[y]
        for index in range(first, row_ends[y]):
            above[deltas[index, 0]] = deltas[index, 1]
        first = row_ends[y]
    return id_map
