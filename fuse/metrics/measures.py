"""Measures beside PQ that answer what PQ is blind to; docs/measures.md says which and when.

All but the calibration of scores are PQ with something changed: the IoU, the threshold, the
segments that count. So each is a list of `PQStats` per image (its layers), which add up, are
averaged over classes and resampled as those of PQ are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fuse.metrics.boundary import boundary_ious
from fuse.metrics.matching import match_pairs, no_limits
from fuse.metrics.pq import CategoryPQ, PQResult, PQScore, PQStats, sum_rows
from fuse.ops.matching import (
    MATCH_IOU,
    SegmentPairs,
    SegmentTable,
    find_matches,
    sum_by_row,
)
from fuse.ops.row_deltas import RowDeltas
from fuse.types import BoolArray, Float64Array, Int32Array, LabelSpace, PanopticPrediction

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
SIZES = ("small", "medium", "large")
SIZE_EDGES = (32**2, 96**2)  # COCO's areas; here a size begins at its edge, so they add up
CALIBRATION = "calibration"
# What a user may ask for, and what it is made of; the PQ of a measure is the mean of its layers'.
PQ_MEASURES: dict[str, tuple[str, ...]] = {
    "pq": ("pq",),
    "boundary": ("boundary",),
    "dagger": ("dagger",),
    **{size: (size,) for size in SIZES},
    "thresholds": tuple(f"{threshold:.2f}" for threshold in THRESHOLDS),
}
TITLES = {
    "pq": "PQ",
    "boundary": "Boundary PQ",
    "dagger": "PQ-dagger",
    "small": "PQ, small",
    "medium": "PQ, medium",
    "large": "PQ, large",
    "thresholds": "PQ, IoU 0.5 to 0.95",
}
# Names of options; the three sizes go together.
CHOICES = ("boundary", "dagger", "size", "thresholds", CALIBRATION, "all")


def expand_measures(chosen: Sequence[str]) -> tuple[str, ...]:
    """The measures that some of CHOICES stand for, in one order, each once.

    Raises:
        ValueError: a choice is none.

    >>> expand_measures(["size", "boundary"])
    ('boundary', 'small', 'medium', 'large')
    """
    unknown = [choice for choice in chosen if choice not in CHOICES]
    if unknown:
        raise ValueError(f"no measure {unknown[0]!r}; known are {', '.join(CHOICES)}")
    wanted = set(CHOICES if "all" in chosen else chosen)
    return tuple(
        measure
        for measure in (*PQ_MEASURES, CALIBRATION)
        if measure in wanted or (measure in SIZES and "size" in wanted)
    )


@dataclass(frozen=True, slots=True, eq=False)
class ComparedMaps:
    """A true and a predicted map, and what their segments have in common.

    Attributes:
        truth: the map, in the label space that is scored.
        pred: the same.
        pairs: of the two.
        true_table: the true segments.
        pred_table: the predicted ones.
        pred_scores: float64 (N,), of the predicted ones; NaN where there is none.
    """

    truth: RowDeltas
    pred: RowDeltas
    pairs: SegmentPairs
    true_table: SegmentTable
    pred_table: SegmentTable
    pred_scores: Float64Array

    @classmethod
    def of(cls, truth: PanopticPrediction, pred: PanopticPrediction) -> ComparedMaps:
        """Of two maps in memory."""
        pairs, true_table, pred_table = SegmentPairs.of_maps(truth, pred)
        scores = [np.nan if s.score is None else s.score for s in pred.segments_info]
        return cls(
            RowDeltas.from_map(truth.panoptic_map),
            RowDeltas.from_map(pred.panoptic_map),
            pairs,
            true_table,
            pred_table,
            np.array(scores, dtype=np.float64),
        )


def count_measures(
    maps: ComparedMaps, measures: Sequence[str], space: LabelSpace, *, official: bool = False
) -> dict[str, PQStats]:
    """Matches and errors of one image by layer, for each of some measures.

    Args:
        maps: of the image.
        measures: keys of PQ_MEASURES; others are passed over.
        space: says which categories are stuff.
        official: as in `match_segments`.

    Raises:
        ValueError: as `match_pairs`.
    """
    pairs, truth, pred = maps.pairs, maps.true_table, maps.pred_table
    layers: dict[str, PQStats] = {}
    if "pq" in measures:
        layers["pq"] = match_pairs(pairs, truth, pred, official=official)
    if "boundary" in measures:
        limits = boundary_ious(maps.truth, maps.pred, pairs, official=official)
        layers["boundary"] = match_pairs(pairs, truth, pred, official=official, limits=limits)
    if "dagger" in measures:
        stuff_ids = np.array(space.stuff_ids, dtype=np.int32)
        layers["dagger"] = _count_dagger(pairs, truth, pred, stuff_ids, official)
    if any(size in measures for size in SIZES):
        sizes = _count_sizes(pairs, truth, pred, official)
        layers |= {size: stats for size, stats in sizes.items() if size in measures}
    if "thresholds" in measures:
        for name, threshold in zip(PQ_MEASURES["thresholds"], THRESHOLDS, strict=True):
            layers[name] = match_pairs(pairs, truth, pred, official=official, threshold=threshold)
    return layers


def _count_dagger(
    pairs: SegmentPairs,
    truth: SegmentTable,
    pred: SegmentTable,
    stuff_ids: Int32Array,
    official: bool,
) -> PQStats:
    """PQ-dagger (Porzi et al., CVPR 2019): stuff needs no threshold, and is no detection.

    Of a stuff class tp is the number of its true segments and iou_sum that of all segments of
    the class that meet, so that iou_sum / tp is the measure; fp and fn are 0.
    """
    of_things = match_pairs(pairs, truth, pred, official=official)
    is_thing = ~np.isin(of_things.category_ids, stuff_ids)
    t, p, iou, _, _ = find_matches(pairs, truth, pred, official, MATCH_IOU, no_limits(pairs))
    same = (truth.category_ids[t] == pred.category_ids[p]) & (iou > 0)
    areas = sum_by_row(pairs.true_rows, pairs.counts, len(truth.category_ids))
    counts = ~truth.iscrowd & (official | (areas > 0))
    true_ids = truth.category_ids[counts & np.isin(truth.category_ids, stuff_ids)]
    met_ids, met_iou = truth.category_ids[t[same]], iou[same]
    is_stuff = np.isin(met_ids, stuff_ids)
    parts = [
        PQStats(of_things.category_ids[is_thing], *(c[is_thing] for c in of_things.columns)),
        _make_rows(true_ids, tp=1),
        _make_rows(met_ids[is_stuff], iou=met_iou[is_stuff]),
    ]
    return _join(parts)


def _count_sizes(
    pairs: SegmentPairs, truth: SegmentTable, pred: SegmentTable, official: bool
) -> dict[str, PQStats]:
    """PQ of the true segments of each size; a false positive counts where its own size is."""
    t, p, iou, missed, wrong = find_matches(
        pairs, truth, pred, official, MATCH_IOU, no_limits(pairs)
    )
    counted = sum_by_row(pairs.true_rows, pairs.counts, len(truth.category_ids))
    true_sizes = np.searchsorted(SIZE_EDGES, truth.areas if official else counted, side="right")
    pred_areas = sum_by_row(pairs.pred_rows, pairs.counts, len(pred.category_ids))
    pred_sizes = np.searchsorted(SIZE_EDGES, pred_areas, side="right")
    matched = (truth.category_ids[t] == pred.category_ids[p]) & (iou > MATCH_IOU)
    of_sizes = {}
    for number, size in enumerate(SIZES):
        of_size = matched & (true_sizes[t] == number)
        parts = [
            _make_rows(truth.category_ids[t[of_size]], tp=1, iou=iou[of_size]),
            _make_rows(pred.category_ids[wrong & (pred_sizes == number)], fp=1),
            _make_rows(truth.category_ids[missed & (true_sizes == number)], fn=1),
        ]
        of_sizes[size] = _join(parts)
    return of_sizes


def _make_rows(
    category_ids: Int32Array,
    *,
    tp: int = 0,
    fp: int = 0,
    fn: int = 0,
    iou: Float64Array | None = None,
) -> PQStats:
    """A row for each segment."""
    length = len(category_ids)
    counts = (np.full(length, number, np.int64) for number in (tp, fp, fn))
    return PQStats(category_ids, np.zeros(length) if iou is None else iou, *counts)


def _join(parts: Sequence[PQStats]) -> PQStats:
    """The rows of several stats, added up by category."""
    category_ids = np.concatenate([part.category_ids for part in parts])
    columns = zip(*(part.columns for part in parts), strict=True)
    return sum_rows(PQStats(category_ids.astype(np.int32), *map(np.concatenate, columns)))


def average_results(results: Sequence[PQResult]) -> PQResult:
    """The mean of the scores of several results, as over IoU thresholds; counts of the first."""
    if len(results) == 1:
        return results[0]
    per_category: dict[int, CategoryPQ] = {}
    for category_id, first in results[0].per_category.items():
        scores = [result.per_category[category_id].score for result in results]
        per_category[category_id] = replace(first, score=_mean_score(scores))
    return PQResult(
        all=_mean_score([result.all for result in results]),
        things=_mean_score([result.things for result in results]),
        stuff=_mean_score([result.stuff for result in results]),
        per_category=per_category,
    )


def _mean_score(scores: Sequence[PQScore]) -> PQScore:
    """The mean of scores over the same categories."""
    count = len(scores)
    pq, sq, rq = (sum(getattr(s, key) for s in scores) / count for key in ("pq", "sq", "rq"))
    return PQScore(pq, sq, rq, scores[0].n)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSegments:
    """Predicted segments and whether they were right, to hold their scores against.

    Attributes:
        category_ids: int32 (D,).
        scores: float64 (D,) in 0..1.
        correct: bool (D,), whether it matched a true segment.
        unscored: how many segments had no score, or one outside 0..1.
    """

    category_ids: Int32Array
    scores: Float64Array
    correct: BoolArray
    unscored: int = 0


def list_scored(maps: ComparedMaps, *, official: bool = False) -> ScoredSegments:
    """The predicted segments of an image that are right or wrong; excused ones are neither."""
    pairs, truth, pred = maps.pairs, maps.true_table, maps.pred_table
    t, p, iou, _, wrong = find_matches(pairs, truth, pred, official, MATCH_IOU, no_limits(pairs))
    matched = (truth.category_ids[t] == pred.category_ids[p]) & (iou > MATCH_IOU)
    correct = np.zeros(len(wrong), np.bool_)
    correct[p[matched]] = True
    judged = correct | wrong
    scores = maps.pred_scores
    usable = judged & (scores >= 0) & (scores <= 1)
    return ScoredSegments(
        pred.category_ids[usable],
        scores[usable],
        correct[usable],
        int(judged.sum() - usable.sum()),
    )


def choose_categories(scored: ScoredSegments, new_ids: Mapping[int, int]) -> ScoredSegments:
    """The segments of chosen categories under other ids; see `rename_categories`."""
    chosen = np.isin(scored.category_ids, list(new_ids))
    renamed = [new_ids[i] for i in scored.category_ids[chosen].tolist()]
    return replace(
        scored,
        category_ids=np.array(renamed, dtype=np.int32),
        scores=scored.scores[chosen],
        correct=scored.correct[chosen],
    )
