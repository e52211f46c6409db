"""Who owes how much of the missing PQ: a fair split over swaps, image by image and in sum.

The split is the Shapley value: a part's share is what making it right gains, averaged over all
orders in which the parts may be made right (Shapley 1953). There are too many orders to try, so
some are drawn with a seed, each with its reverse: that is exact where mistakes meddle with one
another two at a time, and in every order the gains add up to the whole gap, so the shares do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fuse.metrics.counts import GROUP_SCORES, score_counts
from fuse.types import Float64Array

Parts = frozenset[str]
PQ_COLUMNS = (0, 3, 6)  # PQ of all, things and stuff among the columns of `score_counts`


@dataclass(frozen=True, slots=True, eq=False)
class Orders:
    """Orders in which parts are made right, and sets of parts that are tried alone.

    Attributes:
        parts: all of them.
        orders: int64 (O, parts), places in `parts`.
        alone: by name the parts that are made right together, with nothing else.
    """

    parts: tuple[str, ...]
    orders: npt.NDArray[np.int64]
    alone: Mapping[str, Parts]


def draw_orders(
    parts: Sequence[str], alone: Mapping[str, Parts], *, pairs: int, seed: int
) -> Orders:
    """Draw orders, each followed by its reverse."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(len(parts)) for _ in range(pairs)]
    return Orders(tuple(parts), np.array([o for d in drawn for o in (d, d[::-1])]), alone)


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Counts of an image, or summed over images, with parts made right.

    Attributes:
        paths: float64 (O, parts + 1, 3, K), after each step of each order.
        alone: float64 (A, 3, K), of each set that is tried alone.
    """

    paths: Float64Array
    alone: Float64Array

    def __add__(self, other: Trials) -> Trials:
        return Trials(self.paths + other.paths, self.alone + other.alone)


def try_orders(orders: Orders, present: Parts, count: Callable[[Parts], Float64Array]) -> Trials:
    """Fuse and score one image along all orders; the same set of parts is fused once.

    Args:
        orders: what to try.
        present: the parts that change anything in this image; others cost nothing.
        count: PQ counts (3, K) of the image with these parts right.
    """
    known: dict[Parts, Float64Array] = {}

    def recall(parts: Parts) -> Float64Array:
        if parts not in known:
            known[parts] = count(parts)
        return known[parts]

    paths = []
    for order in orders.orders.tolist():
        right: Parts = frozenset()
        steps = [recall(right)]
        for place in order:
            right |= {orders.parts[place]} & present
            steps.append(recall(right))
        paths.append(steps)
    alone = [recall(parts & present) for parts in orders.alone.values()]
    return Trials(np.array(paths), np.array(alone))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The missing PQ, split over parts; fractions in 0..1.

    The last axis holds 3 + K scores: PQ of all, of things, of stuff, then of each category.

    Attributes:
        before: float64 (3 + K,), PQ as it is; 1 where nothing occurs that could be lost.
        shares: float64 (parts, 3 + K); with `rest` they add up to 1 - before.
        rest: float64 (3 + K,), what is missing with every part right.
        by_pair: float64 (O / 2, parts), the shares of PQ of all by each order and its reverse.
        alone: float64 (A, 3 + K), what each set gains alone.
    """

    before: Float64Array
    shares: Float64Array
    rest: Float64Array
    by_pair: Float64Array
    alone: Float64Array

    def error(self, places: Sequence[int]) -> float:
        """Standard error of the sum of some shares, for the orders that were not drawn."""
        sums = self.by_pair[:, places].sum(axis=1)
        return float(sums.std(ddof=1) / np.sqrt(len(sums))) if len(sums) > 1 else 0.0


def split_loss(trials: Trials, orders: Orders, isthing: npt.NDArray[np.bool_]) -> Split:
    """Split the missing PQ of counts.

    Args:
        trials: of one image, or summed over images.
        orders: what was tried.
        isthing: bool (K,).
    """
    paths = _read_pq(trials.paths, isthing)
    gains = np.empty_like(paths[:, 1:])
    for gained, step, order in zip(gains, np.diff(paths, axis=1), orders.orders, strict=True):
        gained[order] = step
    return Split(
        before=paths[0, 0],
        shares=gains.mean(axis=0),
        rest=1 - paths[0, -1],
        by_pair=gains[:, :, 0].reshape(-1, 2, len(orders.parts)).mean(axis=1),
        alone=_read_pq(trials.alone, isthing) - paths[0, 0],
    )


def _read_pq(counts: Float64Array, isthing: npt.NDArray[np.bool_]) -> Float64Array:
    """PQ (..., 3 + K) of counts; 1 where nothing occurs, so nothing is missing."""
    scores = score_counts(counts, isthing)
    pq = np.concatenate([scores[..., PQ_COLUMNS], scores[..., GROUP_SCORES:]], axis=-1)
    return np.where(np.isnan(pq), 1.0, pq)
