"""The measures beside PQ over a set of images, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuse.metrics.bootstrap import bootstrap_scores
from fuse.metrics.calibration import CalibrationResult, calibrate
from fuse.metrics.measures import (
    CALIBRATION,
    PQ_MEASURES,
    ScoredSegments,
    average_results,
)
from fuse.metrics.pq import GROUP_SCORES, GROUPS, SCORES, PQResult, PQStats, sum_stats, summarize
from fuse.types import Float64Array, LabelSpace
from fuse.types.label_space import id_to_file

RESAMPLES = 1000
INTERVAL_EDGES = (0.025, 0.975)  # of a 95 % interval

Interval = tuple[float, float] | None
LayerStats = Mapping[str, Sequence[PQStats]]  # of each image, by layer


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPQ:
    """A measure that is PQ with something changed.

    Attributes:
        result: its scores; over thresholds their means, with the counts at the lowest.
        intervals: by group and score, 95 % of bootstrap resamples; None where nothing is scored.
        class_intervals: the same of its PQ by category_id.
        layers: the result of each layer, where it has several.
    """

    result: PQResult
    intervals: Mapping[str, Mapping[str, Interval]]
    class_intervals: Mapping[int, Interval]
    layers: Mapping[str, PQResult]

    def to_json(self) -> dict[str, Any]:
        """As plain values, fractions in 0..1."""
        scores = self.result.to_json()
        for group, by_score in self.intervals.items():
            scores["pq"][group]["interval"] = {k: v and list(v) for k, v in by_score.items()}
        for category_id, interval in self.class_intervals.items():
            scores["per_class"][str(id_to_file(category_id))]["interval"] = interval and list(
                interval
            )
        if self.layers:
            scores["layers"] = {name: r.to_json()["pq"] for name, r in self.layers.items()}
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The measures that were asked for.

    Attributes:
        pq: by key of `PQ_MEASURES`, PQ itself first.
        calibration: of the segments' scores, where asked for.
        resamples: of the intervals.
    """

    pq: Mapping[str, MeasuredPQ]
    calibration: CalibrationResult | None
    resamples: int = RESAMPLES

    def to_json(self) -> dict[str, Any]:
        """As plain values, fractions in 0..1."""
        return {
            "resamples": self.resamples,
            **{name: measured.to_json() for name, measured in self.pq.items()},
            **({CALIBRATION: self.calibration.to_json()} if self.calibration else {}),
        }


def measure_images(
    stats: Sequence[PQStats],
    layers: LayerStats,
    scored: Sequence[ScoredSegments],
    space: LabelSpace,
    *,
    seed: int = 0,
) -> Measured | None:
    """Scores and intervals of the counts of images; None where nothing was asked for.

    Args:
        stats: the counts of PQ of each image.
        layers: the further counts.
        scored: the segments by score of each image.
        space: the categories.
        seed: of the bootstrap.
    """
    if not layers and not scored:
        return None
    counts: dict[str, Sequence[PQStats]] = {"pq": stats, **layers}
    found = {
        measure: summarize_measure(measure, counts, space, seed=seed)
        for measure, names in PQ_MEASURES.items()
        if set(names) <= counts.keys()
    }
    return Measured(found, calibrate(scored, space, seed=seed) if scored else None)


def summarize_measure(
    measure: str, counts: LayerStats, space: LabelSpace, *, seed: int = 0
) -> MeasuredPQ:
    """Scores and intervals of one measure."""
    names = PQ_MEASURES[measure]
    results = {name: summarize(sum_stats(counts[name]), space) for name in names}
    intervals, class_intervals = _find_intervals(draw_measure(measure, counts, space, seed), space)
    return MeasuredPQ(
        average_results(list(results.values())),
        intervals,
        class_intervals,
        results if len(results) > 1 else {},
    )


def draw_measure(measure: str, counts: LayerStats, space: LabelSpace, seed: int) -> Float64Array:
    """The scores of bootstrap resamples as `bootstrap_scores` has them: (RESAMPLES, 9 + K)."""
    names = PQ_MEASURES[measure]
    if not len(counts[names[0]]):
        return np.full((1, GROUP_SCORES + len(space.categories)), np.nan)
    draws: Float64Array = sum(
        bootstrap_scores([counts[name]], space, resamples=RESAMPLES, seed=seed)[0] for name in names
    )
    return draws / len(names)


def _find_intervals(
    draws: Float64Array, space: LabelSpace
) -> tuple[dict[str, dict[str, Interval]], dict[int, Interval]]:
    """95 % of the draws of each group's scores, and of each class."""
    edges = [find_interval(column) for column in draws.T]
    columns = iter(edges[:GROUP_SCORES])
    by_group = {group: {score: next(columns) for score in SCORES} for group in GROUPS}
    return by_group, dict(zip(space.by_id, edges[GROUP_SCORES:], strict=True))


def find_interval(draws: Float64Array) -> Interval:
    """Where 95 % of some draws lie; None where none of them is a number."""
    occurs = draws[~np.isnan(draws)]
    if not len(occurs):
        return None
    low, high = np.quantile(occurs, INTERVAL_EDGES).tolist()
    return low, high
