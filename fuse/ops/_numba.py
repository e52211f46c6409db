"""How `fuse.ops._jit` has numba compile, cache and announce kernels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import numba
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

from fuse.ops._jit import announce_compiling
from fuse.ops.kernel_cache import announce, use_temporary_cache

Function = Callable[..., Any]

PACKAGE = __name__.split(".")[0] + "."


class _LeanCache(FunctionCache):
    """numba's cache on disk, from which kernels are loaded in a third of the time.

    Before numba looks there it imports all that it knows to compile, and SciPy: 0.15 s. Machine
    code needs the memory of numba's runtime alone, and to compile what is not there numba imports
    the rest all the same.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:  # noqa: ANN401 - numba's
        """The kernel of a signature, None where it is not in the cache."""
        try:
            rtsys.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except (AttributeError, TypeError):  # a numba that is built otherwise knows the way
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]


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
    kernel = numba.njit(**options)(function)
    if not hasattr(kernel, "enable_caching"):  # NUMBA_DISABLE_JIT leaves it a function
        return cast(Function, kernel)
    with suppress(RuntimeError):  # numba found no folder that it may write to
        kernel._cache = _LeanCache(function)  # type: ignore[no-untyped-call]
        return cast(Function, kernel)
    folder = use_temporary_cache()
    with suppress(RuntimeError):
        kernel._cache = _LeanCache(function)  # type: ignore[no-untyped-call]
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
