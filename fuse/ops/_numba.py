"""How `fuse.ops._jit` has numba compile, cache and announce kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
from numba.core import event

from fuse.ops._jit import announce_compiling
from fuse.ops.kernel_cache import announce, use_temporary_cache

Function = Callable[..., Any]

PACKAGE = __name__.split(".")[0] + "."


def build_kernel(function: Function, *, nogil: bool) -> Function:
    """What compiles a function on its first call, and caches it on disk.

    The cache lies in ``NUMBA_CACHE_DIR`` or beside the module, else in the user's cache folder,
    else below the temporary folder. Where none of them is writable the kernel is compiled anew in
    each process.

    Args:
        function: the kernel in Python.
        nogil: release the GIL while it runs.
    """
    # No kernel is called from C, so what would do that need not be compiled.
    options: Any = {"nogil": nogil, "no_cfunc_wrapper": True}
    try:
        return cast(Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # numba found no folder that it may write to
        folder = use_temporary_cache()
    try:
        kernel = numba.njit(cache=folder is not None, **options)(function)
    except RuntimeError:
        return cast(Function, numba.njit(**options)(function))
    announce(folder)
    return cast(Function, kernel)


class _CompileNotice(event.Listener):
    """Says that kernels are being compiled."""

    def on_start(self, compile_event: event.Event) -> None:
        if compile_event.data["dispatcher"].py_func.__module__.startswith(PACKAGE):
            announce_compiling()

    def on_end(self, compile_event: event.Event) -> None:
        """Nothing to do: numba asks for this method."""


# Kernels that come from the cache raise no such event.
event.register("numba:compile", _CompileNotice())  # type: ignore[no-untyped-call]
