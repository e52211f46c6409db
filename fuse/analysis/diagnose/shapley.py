"""Shapley attribution: how much of the missing PQ each error accounts for, in every image and sum.

The share of an error is what fixing it gains, averaged over all orders in which the errors may
be fixed (Shapley 1953). There are too many orders to try, so some are drawn with a seed, each
with its reverse: that is exact where errors interact two at a time, and in every order the gains
add up to the whole gap, so the shares do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fuse.metrics.pq import GROUP_SCORES, score_counts
from fuse.types import BoolArray, Float64Array, Int64Array

PQ_COLUMNS = (0, 3, 6)  # PQ of all, things and stuff among the columns of `score_counts`


@dataclass(frozen=True, slots=True, eq=False)
class SwapPlan:
    """Which errors are fixed together.

    Attributes:
        errors: the names of all, E of them.
        orders: int64 (O, E), in which they are fixed one by one: places in `errors`.
        alone: by name, errors that are fixed together and with nothing else, A in number.
    """

    errors: tuple[str, ...]
    orders: Int64Array
    alone: Mapping[str, frozenset[str]]

    def list_fixed(self) -> list[frozenset[str]]:
        """What is fixed at each step of each order, then what is fixed alone: O (E + 1) + A."""
        steps = [
            frozenset(self.errors[place] for place in order[:step])
            for order in self.orders.tolist()
            for step in range(len(order) + 1)
        ]
        return [*steps, *self.alone.values()]


def draw_orders(
    errors: Sequence[str], alone: Mapping[str, frozenset[str]], *, pairs: int, seed: int
) -> SwapPlan:
    """Draw orders, each followed by its reverse."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(len(errors)) for _ in range(pairs)]
    return SwapPlan(tuple(errors), np.array([o for d in drawn for o in (d, d[::-1])]), alone)


def evaluate_swaps(
    plan: SwapPlan, present: frozenset[str], count: Callable[[frozenset[str]], Float64Array]
) -> Float64Array:
    """Score one image with each set of errors fixed: float64 (O (E + 1) + A, 3, K).

    These counts add up over images. The same set is scored once.

    Args:
        plan: the sets.
        present: the errors that occur in this image; fixing others changes nothing.
        count: PQ counts (3, K) of the image with these errors fixed.
    """
    known: dict[frozenset[str], Float64Array] = {}
    fixed_sets = [fixed & present for fixed in plan.list_fixed()]
    for fixed in fixed_sets:
        if fixed not in known:
            known[fixed] = count(fixed)
    return np.array([known[fixed] for fixed in fixed_sets])


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """The missing PQ, attributed to errors; fractions in 0..1.

    The last axis holds 3 + K scores: PQ of all, of things, of stuff, then of each category.

    Attributes:
        before: float64 (3 + K,), PQ as it is; 1 where nothing occurs that could be lost.
        shares: float64 (E, 3 + K); with `rest` they add up to 1 - before.
        rest: float64 (3 + K,), what is missing with every error fixed.
        by_pair: float64 (O / 2, E), the shares of PQ of all by each order and its reverse.
        alone: float64 (A, 3 + K), the gain of what is fixed alone.
    """

    before: Float64Array
    shares: Float64Array
    rest: Float64Array
    by_pair: Float64Array
    alone: Float64Array

    def standard_error(self, places: Sequence[int]) -> float:
        """Of the sum of some shares, for the orders that were not drawn."""
        sums = self.by_pair[:, places].sum(axis=1)
        return float(sums.std(ddof=1) / np.sqrt(len(sums))) if len(sums) > 1 else 0.0


def attribute_gap(counts: Float64Array, plan: SwapPlan, isthing: BoolArray) -> Attribution:
    """Attribute the missing PQ of what `evaluate_swaps` counted, or of sums over images."""
    orders, errors = plan.orders.shape
    steps, alone = np.split(counts, [orders * (errors + 1)])
    pq = _read_pq(steps.reshape(orders, errors + 1, *counts.shape[1:]), isthing)
    gains = np.empty_like(pq[:, 1:])
    for gained, step, order in zip(gains, np.diff(pq, axis=1), plan.orders, strict=True):
        gained[order] = step
    return Attribution(
        before=pq[0, 0],
        shares=gains.mean(axis=0),
        rest=1 - pq[0, -1],
        by_pair=gains[:, :, 0].reshape(-1, 2, errors).mean(axis=1),
        alone=_read_pq(alone, isthing) - pq[0, 0],
    )


def _read_pq(counts: Float64Array, isthing: BoolArray) -> Float64Array:
    """PQ (..., 3 + K) of counts; 1 where nothing occurs, so nothing is missing."""
    scores = score_counts(counts, isthing)
    pq = np.concatenate([scores[..., PQ_COLUMNS], scores[..., GROUP_SCORES:]], axis=-1)
    return np.where(np.isnan(pq), 1.0, pq)
