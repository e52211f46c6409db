"""Objects that hold much, in a line: sizes stand for arrays and for long lists."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from typing import Any

SHORT = 40  # characters of a value that is written out
FEW = 4  # values that are written out


class ShortRepr:
    """Base of dataclasses (with ``repr=False``) whose fields may be large; defaults are left out.

    >>> import numpy as np
    >>> from fuse.types import SemanticPrediction
    >>> SemanticPrediction(np.zeros((4, 6), dtype=np.int32))
    SemanticPrediction(label_map=int32 (4, 6))
    """

    __slots__ = ()

    def __repr__(self) -> str:
        shown = []
        for about in fields(self):  # type: ignore[arg-type]  # of a dataclass
            value = getattr(self, about.name)
            if about.default is MISSING or value is not about.default:
                shown.append(f"{about.name}={_shorten(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _shorten(value: Any) -> str:  # noqa: ANN401 - of any field
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        kinds = {type(one).__name__ for one in value}
        if not isinstance(value, Mapping) and len(value) <= FEW and kinds <= {"int", "float"}:
            return repr(value)
        kind = kinds.pop() if len(kinds) == 1 and not isinstance(value, Mapping) else "entries"
        return f"<{len(value)} {kind}>" if len(value) else repr(value)
    text = repr(value)
    return text if len(text) <= SHORT else f"{text[: SHORT - 4]} ..."
