"""Kernels: functions that are compiled when they are first called.

numba is loaded with the first of them, as it takes a third of a second: commands that look at no
pixels do without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache, update_wrapper
from subprocess import Popen, TimeoutExpired  # nosec B404
from threading import Lock
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

PATIENCE = 60.0  # seconds for a process that compiles; it takes 10

_building = Lock()
_compilers: list[tuple[Popen[bytes], frozenset[str]]] = []


@cache
def announce_compiling() -> None:
    """Say once per process, on stderr, that kernels are being compiled."""
    print("fuse: compiling kernels for this processor (first use only)", file=sys.stderr)


def expect(compiler: Popen[bytes], modules: Iterable[str]) -> None:
    """Have the first call of a kernel of these modules wait for a process that compiles them."""
    _compilers.append((compiler, frozenset(modules)))


def is_compiling() -> bool:
    """Whether such a process is at work."""
    return any(compiler.poll() is None for compiler, _modules in _compilers)


def jit(function: Function) -> Function:
    """Make a function a kernel; `fuse.ops._numba.build_kernel` says how it is compiled.

    Kernels may call kernels of their own file only: numba's cache compiles anew when the file
    of a kernel changes, and does not look at the files of the kernels that it calls.
    """
    return cast(Function, _Kernel(function, nogil=True))


def jit_brief(function: Function) -> Function:
    """`jit` for what takes microseconds: to hand the GIL to another thread would take longer."""
    return cast(Function, _Kernel(function, nogil=False))


class _Kernel:
    """A kernel before its first call, and ever after for modules that imported it."""

    def __init__(self, function: Callable[..., Any], *, nogil: bool) -> None:
        self._function = function
        self._nogil = nogil
        self._built: Callable[..., Any] | None = None
        update_wrapper(self, function)

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the function's own
        """The function's answer."""
        return (self._built or self._build())(*arguments, **named)

    def _build(self) -> Callable[..., Any]:
        """Hand all kernels of the module to numba, which looks up by name those that one calls."""
        from fuse.ops._numba import build_kernel

        for compiler, modules in _compilers:
            if self._function.__module__ in modules:
                try:
                    compiler.wait(PATIENCE)
                except TimeoutExpired:
                    compiler.kill()
        names = self._function.__globals__
        with _building:
            kernels = {
                name: value
                for name, value in names.items()
                if isinstance(value, _Kernel) and value._function.__globals__ is names
            }
            built = {
                name: build_kernel(kernel._function, nogil=kernel._nogil)
                for name, kernel in kernels.items()
            }
            names.update(built)
            for name, kernel in kernels.items():
                kernel._built = built[name]
        return self._built or build_kernel(self._function, nogil=self._nogil)
