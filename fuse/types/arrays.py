"""The dtypes of arrays by name, and the check that an array is what a type says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuse.errors import describe_misfit

BoolArray = npt.NDArray[np.bool_]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float16Array = npt.NDArray[np.float16]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]
UInt64Array = npt.NDArray[np.uint64]


def check_array(name: str, array: object, dtype: type[np.generic], *, ndim: int) -> None:
    """Raise TypeError unless array is a NumPy array of that dtype, ValueError unless of ndim."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be a NumPy array of {np.dtype(dtype)}, got {got}")
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {array.shape}")


def check_same_size(first: str, size: tuple[int, int], second: str, other: tuple[int, int]) -> None:
    """Raise ValueError unless two things, in words, are of one (height, width)."""
    if size != other:
        misfit = describe_misfit(first, size, second, other)
        raise ValueError(f"{misfit}; both must be of the image's size")
