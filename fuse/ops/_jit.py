"""Compiled kernels: one decorator, a cache on disk, and one line when something compiles."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core import event

from fuse.ops.kernel_cache import announce, use_temporary_cache

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

PACKAGE = __name__.split(".")[0] + "."


def jit(function: Kernel) -> Kernel:
    """Compile a kernel on its first call; it releases the GIL and is cached on disk.

    Kernels may call kernels of their own file only: numba's cache compiles anew when the file
    of a kernel changes, and does not look at the files of the kernels that it calls.

    The cache lies in ``NUMBA_CACHE_DIR`` or beside the module, else in the user's cache folder,
    else below the temporary folder. Where none of them is writable the kernel is compiled anew in
    each process.
    """
    try:
        return cast(Kernel, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba found no folder that it may write to
        folder = use_temporary_cache()
    try:
        kernel = numba.njit(cache=folder is not None, nogil=True)(function)
    except RuntimeError:
        return cast(Kernel, numba.njit(nogil=True)(function))
    announce(folder)
    return cast(Kernel, kernel)


class _CompileNotice(event.Listener):
    """Says once per process, on stderr, that kernels are being compiled."""

    def __init__(self) -> None:
        self._said = False

    def on_start(self, compile_event: event.Event) -> None:
        kernel = compile_event.data["dispatcher"].py_func
        if not self._said and kernel.__module__.startswith(PACKAGE):
            self._said = True
            print("fuse: compiling kernels for this processor (first use only)", file=sys.stderr)

    def on_end(self, compile_event: event.Event) -> None:
        """Nothing to do: numba asks for this method."""


# Kernels that come from the cache raise no such event.
event.register("numba:compile", _CompileNotice())  # type: ignore[no-untyped-call]
