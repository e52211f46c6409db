"""Arrays and tensors of any library as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def to_numpy(values: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - of any library
    """A tensor on any device, with or without a gradient, or whatever NumPy takes."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        host = values.detach().cpu()
        # NumPy has no bfloat16, and float16 is slow there.
        return np.asarray(host.float() if host.is_floating_point() else host)
    return np.asarray(values)


def to_id_map(values: Any, what: str) -> npt.NDArray[np.int64]:  # noqa: ANN401
    """A map of ids as int64 (H, W).

    Raises:
        ValueError: it has another number of axes, or fractions.
    """
    array = to_numpy(values)
    if array.ndim != 2:
        raise ValueError(f"{what} must be (H, W), got shape {array.shape}")
    ids = array.astype(np.int64)
    if not np.issubdtype(array.dtype, np.integer) and (ids != array).any():
        raise ValueError(f"{what} must hold whole ids, got {array.dtype} with fractions")
    return ids


def get_field(output: Any, name: str, kind: str) -> Any:  # noqa: ANN401
    """A key of a mapping, or an attribute; TypeError where it has neither, naming the kind."""
    if hasattr(output, "keys"):
        if name in output:
            return output[name]
    elif hasattr(output, name):
        return getattr(output, name)
    hint = f"; it has {', '.join(map(str, output))}" if hasattr(output, "keys") else ""
    if isinstance(output, list | tuple):
        hint = "; give the output of one image, outputs[0]"
    raise TypeError(f"{kind} has {name!r}, got {type(output).__name__}{hint}")
