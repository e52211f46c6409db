"""One of two maps per pixel, by a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuse.ops._jit import jit
from fuse.types import Int32Array, UInt8Array


@jit
def choose_by_code(
    first: Int32Array,
    second: Int32Array,
    codes: UInt8Array,
    takes_second: npt.NDArray[np.bool_],
) -> Int32Array:
    """Take pixels whose code says so from the second map, the others from the first.

    Args:
        first: int32 (H, W).
        second: int32 (H, W).
        codes: uint8 (H, W), each below the length of takes_second.
        takes_second: bool, by code.

    >>> ones = np.ones((1, 3), dtype=np.int32)
    >>> codes = np.array([[0, 1, 1]], dtype=np.uint8)
    >>> choose_by_code(ones, 5 * ones, codes, np.array([False, True])).tolist()
    [[1, 5, 5]]
    """
    chosen = np.empty(first.shape, np.int32)
    height, width = first.shape
    for y in range(height):
        for x in range(width):
            chosen[y, x] = second[y, x] if takes_second[codes[y, x]] else first[y, x]
    return chosen
