"""What trainers put beside tensors: options and paths, read as data; figures, not read at all."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

# Paths, of whatever system they were saved on; Python 3.13 and others have them in two places.
PATHS: dict[str, type] = {
    "PosixPath": PurePosixPath,
    "PurePosixPath": PurePosixPath,
    "WindowsPath": PureWindowsPath,
    "PureWindowsPath": PureWindowsPath,
}
PATH_MODULES = ("pathlib", "pathlib._local")
# Numbers and arrays of NumPy, before its version 2 and since.
ARRAYS = (
    *("numpy.dtype", "numpy.ndarray"),
    *("numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct"),
    *("numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct"),
)


class Unread:
    """Stands where a checkpoint has a number or an array of NumPy: nothing of it is made.

    NumPy believes what a pickle says of an array's numbers, also that they are addresses.
    """

    def __init__(self, *_arguments: object) -> None:
        """Nothing is kept."""

    def __setstate__(self, state: object) -> None:
        """Nothing is kept."""


def list_data_classes() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What `torch.load` may make besides tensors, some under the name by which it was saved."""
    return [
        Namespace,
        *((path, f"{module}.{name}") for module in PATH_MODULES for name, path in PATHS.items()),
        *((Unread, name) for name in ARRAYS),
    ]
