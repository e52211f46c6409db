"""Shapley values as Shapley wrote them: the mean gain of a part over every order there is."""

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np


def shapley_values(
    parts: Sequence[str], worth: Callable[[frozenset[str]], float]
) -> dict[str, float]:
    """The share of each part; worth is of a set of parts."""
    gains: dict[str, list[float]] = {part: [] for part in parts}
    for order in permutations(parts):
        for place, part in enumerate(order):
            before = frozenset(order[:place])
            gains[part].append(worth(before | {part}) - worth(before))
    return {part: float(np.mean(values)) for part, values in gains.items()}
