"""Names that a module offers of others, each loaded when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def offer(module: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """A module's ``__getattr__``, which finds a name in the module where it lives.

    So a program pays for what it uses: to score files takes no torch, which alone takes two
    seconds and half a gigabyte.

    Args:
        module: the ``__name__`` of the module that offers them.
        homes: names by the module where they live.

    >>> find = offer("fuse", {"math": ["pi"]})
    >>> round(find("pi"), 2)
    3.14
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:  # noqa: ANN401 - the type is that of the name
        if name not in home_of:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(home_of[name]), name)

    return find
