"""An id map as its changes: the pixels whose id is not that of the pixel above.

Few pixels of a map are, as segments are taller than a row, and PNG's filters give them away.
What only needs to count pixels works on changes and never makes the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fuse.ops._jit import jit
from fuse.types import Int32Array

Int64Array = npt.NDArray[np.int64]

BLOCK = 16  # pixels compared at once
FIRST_ROWS = 8  # room for changes at first, in rows; it doubles when full


@dataclass(frozen=True, slots=True, eq=False)
class MapChanges:
    """An id map, row by row; above its first row all ids are 0.

    Attributes:
        changes: int32 (C, 2), column and new id of each change, row after row, columns
            ascending.
        row_ends: int64 (H,), how many changes there are up to and with a row.
        width: pixels of a row.
    """

    changes: Int32Array
    row_ends: Int64Array
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the map."""
        return len(self.row_ends), self.width

    def to_map(self) -> Int32Array:
        """The map: int32 (H, W)."""
        return _fill_map(self.changes, self.row_ends, self.width)


def find_changes(id_map: Int32Array) -> MapChanges:
    """The changes of an id map: int32 (H, W).

    >>> found = find_changes(np.array([[0, 5, 5], [0, 5, 8]], dtype=np.int32))
    >>> found.changes.tolist(), found.row_ends.tolist()
    ([[1, 5], [2, 5], [2, 8]], [2, 3])
    """
    return MapChanges(*_find_changes(np.ascontiguousarray(id_map)), id_map.shape[1])


@jit
def _find_changes(id_map: Int32Array) -> tuple[Int32Array, Int64Array]:
    """The changes and the row ends of a C-contiguous map."""
    height, width = id_map.shape
    above = np.zeros(width, np.int32)
    changes = np.empty((FIRST_ROWS * width, 2), np.int32)
    row_ends = np.zeros(height, np.int64)
    count = 0
    for y in range(height):
        if count + width > len(changes):
            changes = np.concatenate((changes, np.empty_like(changes)))
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
                    changes[count, 0], changes[count, 1] = x, ids[x]
                    count += 1
        above = ids
        row_ends[y] = count
    return changes[:count].copy(), row_ends


@jit
def _fill_map(changes: Int32Array, row_ends: Int64Array, width: int) -> Int32Array:
    """See MapChanges.to_map."""
    id_map = np.empty((len(row_ends), width), np.int32)
    above = np.zeros(width, np.int32)
    first = 0
    for y in range(len(row_ends)):
        id_map[y] = above
        above = id_map[y]
        for index in range(first, row_ends[y]):
            above[changes[index, 0]] = changes[index, 1]
        first = row_ends[y]
    return id_map
