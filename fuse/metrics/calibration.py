"""How far the scores of segments are from how often they are right (Guo et al., ICML 2017).

The expected calibration error: segments in bins of equal width by score, and over the bins the
mean distance of mean score and share of right ones, weighted by segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuse.metrics.bootstrap import RESAMPLES, draw_weights
from fuse.metrics.measures import ScoredSegments
from fuse.metrics.pq import none_if_nan
from fuse.types import Float64Array, Int64Array, LabelSpace
from fuse.types.label_space import id_to_file

BINS = 15
EDGES = np.linspace(0, 1, BINS + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Calibration of the scores of some segments.

    Attributes:
        ece: expected calibration error in 0..1; NaN without segments.
        interval: 95 % of bootstrap resamples lie in it; None without segments.
        counts: int64 (15,), segments by bin; a bin holds its lower edge, the last one 1 too.
        scores: float64 (15,), the mean score of each; NaN in an empty one.
        correct: float64 (15,), the share that is right; NaN in an empty one.
    """

    ece: float
    interval: tuple[float, float] | None
    counts: Int64Array
    scores: Float64Array
    correct: Float64Array

    def to_json(self) -> dict[str, Any]:
        """As plain values; empty bins are left out."""
        bins = zip(self.counts.tolist(), self.scores.tolist(), self.correct.tolist(), strict=True)
        return {
            "ece": none_if_nan(self.ece),
            "interval": self.interval and list(self.interval),
            "n": int(self.counts.sum()),
            "bins": [
                {"from": low, "to": high, "n": count, "score": score, "correct": correct}
                for low, high, (count, score, correct) in zip(
                    EDGES[:-1].tolist(), EDGES[1:].tolist(), bins, strict=True
                )
                if count
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationResult:
    """Calibration of things and of stuff, which have scores of different kinds, and by class.

    Attributes:
        things: of all of them together.
        stuff: the same.
        per_category: by category_id, those with scored segments.
        unscored: segments that had no score to hold against anything.
    """

    things: Calibration
    stuff: Calibration
    per_category: dict[int, Calibration]
    unscored: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "things": self.things.to_json(),
            "stuff": self.stuff.to_json(),
            "per_class": {str(id_to_file(i)): c.to_json() for i, c in self.per_category.items()},
            "unscored": self.unscored,
        }


def calibrate(
    images: Sequence[ScoredSegments],
    space: LabelSpace,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> CalibrationResult:
    """Calibration of the scores over a set of images, with bootstrap intervals over them."""
    used = sorted({i for image in images for i in image.category_ids.tolist()})
    groups = [space.thing_ids, space.stuff_ids, *((i,) for i in used)]
    counts = [count_bins(images, category_ids) for category_ids in groups]
    drawn = bootstrap_ece(counts, resamples=resamples, seed=seed)
    things, stuff, *of_classes = map(_summarize, counts, drawn)
    return CalibrationResult(
        things,
        stuff,
        per_category=dict(zip(used, of_classes, strict=True)),
        unscored=sum(image.unscored for image in images),
    )


def _summarize(counts: Float64Array, drawn: Float64Array) -> Calibration:
    """Calibration of counts (P, 3, 15) and of the resamples' errors (R,)."""
    total = counts.sum(axis=0)
    segments, scores, correct = total
    means = [
        np.divide(column, segments, out=np.full(BINS, np.nan), where=segments > 0)
        for column in (scores, correct)
    ]
    interval = None
    if segments.any():
        low, high = np.nanquantile(drawn, (0.025, 0.975)).tolist()
        interval = (low, high)
    return Calibration(float(_ece(total)), interval, segments.astype(np.int64), *means)


def count_bins(images: Sequence[ScoredSegments], category_ids: Sequence[int]) -> Float64Array:
    """Segments, sum of scores and right ones by image and bin: float64 (P, 3, 15).

    Args:
        images: P of them.
        category_ids: the segments that count.
    """
    counts = np.zeros((len(images), 3, BINS))
    for row, image in zip(counts, images, strict=True):
        chosen = np.isin(image.category_ids, category_ids)
        scores, correct = image.scores[chosen], image.correct[chosen]
        bins = (np.searchsorted(EDGES, scores, side="right") - 1).clip(max=BINS - 1)
        for column, weights in zip(row, (None, scores, correct), strict=True):
            column[:] = np.bincount(bins, weights, BINS)
    return counts


def bootstrap_ece(
    counts: Sequence[Float64Array], *, resamples: int = RESAMPLES, seed: int = 0
) -> Float64Array:
    """The errors of each set of images, see `fuse.metrics.bootstrap`.

    Args:
        counts: of G groups of segments what `count_bins` gives, of the same P images.
        resamples: how many sets.
        seed: of the draws.

    Returns:
        float64 (G, resamples), NaN where a set has no segment of the group.
    """
    occupied = [np.flatnonzero(group.any(axis=(1, 2))) for group in counts]
    rows = [
        group[places].reshape(len(places), 3 * BINS)
        for group, places in zip(counts, occupied, strict=True)
    ]
    errors = np.empty((len(counts), resamples))
    done = 0
    for weights in draw_weights(len(counts[0]), resamples=resamples, seed=seed):
        for row, places, group in zip(errors, occupied, rows, strict=True):
            sums = weights[:, places].astype(np.float64) @ group
            row[done : done + len(weights)] = _ece(sums.reshape(-1, 3, BINS))
        done += len(weights)
    return errors


def _ece(counts: Float64Array) -> Float64Array:
    """The error of counts (..., 3, 15): float64 (...), NaN without segments."""
    segments, scores, correct = np.moveaxis(counts, -2, 0)
    n = segments.sum(axis=-1)
    distance: Float64Array = np.abs(scores - correct).sum(axis=-1)
    errors: Float64Array = np.divide(distance, n, out=np.full(n.shape, np.nan), where=n > 0)
    return errors
