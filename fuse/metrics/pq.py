"""Panoptic quality: match the segments of images, add up the counts, take the means.

Kirillov et al., *Panoptic Segmentation* (CVPR 2019), section 4: a predicted and a true
segment of one category match when their IoU is above 0.5, and

    PQ = sum of IoU over matches / (TP + FP / 2 + FN / 2) = SQ * RQ

per category, averaged over the categories that occur.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fuse.labels import LabelMap, map_panoptic
from fuse.ops.contingency import count_pairs
from fuse.ops.matching import BoolArray, Int64Array, count_matches, find_rows, sum_by_row
from fuse.types import Float64Array, Int32Array, LabelSpace, PanopticPrediction, SegmentInfo


@dataclass(frozen=True, slots=True, eq=False)
class PQStats:
    """Matches and errors per category; those of several images add up.

    Attributes:
        category_ids: int32 (K,), ascending; categories without a row have no counts.
        iou_sum: float64 (K,), sum of IoU over the matches.
        tp: int64 (K,), matched pairs.
        fp: int64 (K,), predicted segments without a match that nothing excuses.
        fn: int64 (K,), true segments without a match.
    """

    category_ids: Int32Array
    iou_sum: Float64Array
    tp: Int64Array
    fp: Int64Array
    fn: Int64Array

    def __add__(self, other: PQStats) -> PQStats:
        return sum_stats((self, other))


@dataclass(frozen=True, slots=True, eq=False)
class SegmentTable:
    """The segments of one map as columns, in the order they are listed.

    Attributes:
        segment_ids: int32 (N,), each once, without 0.
        category_ids: int32 (N,).
        iscrowd: bool (N,).
        areas: float64 (N,) in pixels, as a file claims them. Only the official mode reads
            them, and only the truth's.
    """

    segment_ids: Int32Array
    category_ids: Int32Array
    iscrowd: BoolArray
    areas: Float64Array

    @classmethod
    def from_segments(cls, segments_info: Sequence[SegmentInfo]) -> SegmentTable:
        """The table of a panoptic map's segments."""
        return cls(
            np.array([s.segment_id for s in segments_info], dtype=np.int32),
            np.array([s.category_id for s in segments_info], dtype=np.int32),
            np.array([s.iscrowd for s in segments_info], dtype=np.bool_),
            np.array([s.area for s in segments_info], dtype=np.float64),
        )


def match_segments(
    truth: PanopticPrediction, pred: PanopticPrediction, *, official: bool = False
) -> PQStats:
    """Match the segments of one image and count them per category.

    A pair matches when both share a category_id and IoU > 0.5, which makes the match
    unique (Kirillov et al. 2019, section 4.1). Void pixels of the truth leave the union. A
    predicted segment without a match is no false positive when more than half of it lies
    on void and on crowds of its category.

    Args:
        truth: ground truth; crowd segments only excuse false positives.
        pred: prediction of the same (H, W); its void pixels still count in the union.
        official: do as COCO's panopticapi does where that differs: trust the areas in
            `truth.segments_info`, let only the last crowd of a category excuse, and count
            true segments without pixels as missed.

    Raises:
        ValueError: the two maps differ in (H, W); or `official`, and a claimed area is so
            small that an IoU is above 1.

    >>> truth = PanopticPrediction(
    ...     np.array([[1, 1, 1, 2]], dtype=np.int32),
    ...     (SegmentInfo(1, 17, 3, (0, 0, 3, 1)), SegmentInfo(2, 18, 1, (3, 0, 1, 1))),
    ... )
    >>> pred = PanopticPrediction(
    ...     np.array([[5, 5, 0, 0]], dtype=np.int32), (SegmentInfo(5, 17, 2, (0, 0, 2, 1)),)
    ... )
    >>> stats = match_segments(truth, pred)
    >>> stats.category_ids.tolist(), stats.iou_sum.round(3).tolist(), stats.fn.tolist()
    ([17, 18], [0.667, 0.0], [0, 1])
    """
    true_table = SegmentTable.from_segments(truth.segments_info)
    pred_table = SegmentTable.from_segments(pred.segments_info)
    counted = count_pairs(truth.panoptic_map, pred.panoptic_map)
    pairs = SegmentPairs.locate(*counted, true_table, pred_table)
    return match_pairs(pairs, true_table, pred_table, official=official)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentPairs:
    """The pixels that true and predicted segments of an image have in common; P pairs.

    Attributes:
        truth_ids: int32 (P,), with pred_ids each pair once, sorted; 0 is void.
        pred_ids: int32 (P,).
        counts: int64 (P,), pixels.
        true_rows: int64 (P,), where the true segment stands in its table, -1 where it does not.
        pred_rows: the same of the predicted segment.
    """

    truth_ids: Int32Array
    pred_ids: Int32Array
    counts: Int64Array
    true_rows: Int64Array
    pred_rows: Int64Array

    @classmethod
    def locate(
        cls,
        truth_ids: Int32Array,
        pred_ids: Int32Array,
        counts: Int64Array,
        truth: SegmentTable,
        pred: SegmentTable,
    ) -> SegmentPairs:
        """Pairs as `count_pairs` gives them, looked up in the tables."""
        true_rows = find_rows(truth_ids, truth.segment_ids)
        pred_rows = find_rows(pred_ids, pred.segment_ids)
        return cls(truth_ids, pred_ids, counts, true_rows, pred_rows)


def match_pairs(
    pairs: SegmentPairs, truth: SegmentTable, pred: SegmentTable, *, official: bool = False
) -> PQStats:
    """`match_segments` on the pixel counts of segment pairs instead of the maps.

    Args:
        pairs: what the two have in common.
        truth: true segments; an id that is not among them is void (`official`: it is
            neither void nor a segment, as in panopticapi).
        pred: predicted segments; an id that is not among them is void.
        official: as in `match_segments`.

    Raises:
        ValueError: `official`, and a claimed area is so small that an IoU is above 1.
    """
    return PQStats(
        *count_matches(
            (pairs.truth_ids, pairs.true_rows, pairs.pred_rows, pairs.counts),
            (truth.category_ids, truth.iscrowd, truth.areas),
            pred.category_ids,
            official,
        )
    )


def map_truth(
    pairs: SegmentPairs, truth: SegmentTable, pred: SegmentTable, label_map: LabelMap
) -> tuple[SegmentPairs, SegmentTable]:
    """Carry the truth of pair counts into another label space, before `match_pairs`.

    Mapping renames and joins ids, so the list of pairs stands in for the whole map. Claimed
    areas of joined segments add up.

    Args:
        pairs: what the two have in common.
        truth: true segments, their areas without NaN.
        pred: predicted segments.
        label_map: from the truth's label space.

    Returns:
        The pairs and the true segments in the other space.
    """
    columns = (truth.segment_ids, truth.category_ids, truth.areas.astype(np.int64), truth.iscrowd)
    segments = tuple(
        SegmentInfo(segment_id, category_id, area, (0, 0, 0, 0), iscrowd)
        for segment_id, category_id, area, iscrowd in zip(
            *(column.tolist() for column in columns), strict=True
        )
    )
    mapped = map_panoptic(PanopticPrediction(pairs.truth_ids[np.newaxis], segments), label_map)
    id_pairs = np.stack((mapped.panoptic_map[0], pairs.pred_ids), axis=1)
    joined, rows = np.unique(id_pairs, axis=0, return_inverse=True)
    truth_ids, pred_ids = joined[:, 0].copy(), joined[:, 1].copy()
    counts = sum_by_row(rows, pairs.counts, len(joined))
    table = SegmentTable.from_segments(mapped.segments_info)
    return SegmentPairs.locate(truth_ids, pred_ids, counts, table, pred), table


def sum_stats(stats: Iterable[PQStats]) -> PQStats:
    """Add up stats, image by image in the order given, so the sum is the same each time.

    No stats give stats without categories.
    """
    none = np.zeros(0, dtype=np.int64)
    parts = (PQStats(none.astype(np.int32), np.zeros(0), none, none, none), *stats)
    return sum_rows(
        PQStats(
            *(
                np.concatenate([getattr(part, column.name) for part in parts])
                for column in fields(PQStats)
            )
        )
    )


def sum_rows(stats: PQStats) -> PQStats:
    """Stats whose category_ids may repeat, in any order, with one row per category.

    Rows of a category are added in the order in which they stand.
    """
    category_ids, rows = np.unique(stats.category_ids, return_inverse=True)

    def add_up(values: Float64Array | Int64Array) -> Float64Array:
        return np.bincount(rows, values, len(category_ids)).astype(np.float64)

    return PQStats(
        category_ids,
        add_up(stats.iou_sum),
        add_up(stats.tp).astype(np.int64),
        add_up(stats.fp).astype(np.int64),
        add_up(stats.fn).astype(np.int64),
    )


def rename_categories(stats: PQStats, new_ids: Mapping[int, int]) -> PQStats:
    """The counts of chosen categories under other ids.

    Args:
        stats: counts.
        new_ids: by category_id what it is called instead, each name once; the counts of a
            category that is not in it are left out.
    """
    rows = [row for row, i in enumerate(stats.category_ids.tolist()) if i in new_ids]
    rows.sort(key=lambda row: new_ids[int(stats.category_ids[row])])
    renamed = [new_ids[i] for i in stats.category_ids[rows].tolist()]
    return PQStats(
        np.array(renamed, dtype=np.int32),
        stats.iou_sum[rows],
        stats.tp[rows],
        stats.fp[rows],
        stats.fn[rows],
    )


@dataclass(frozen=True, slots=True)
class PQScore:
    """Panoptic, segmentation and recognition quality in 0..1; all NaN where n is 0.

    Attributes:
        pq: panoptic quality.
        sq: mean IoU of the matches, 0 where nothing matched.
        rq: F1 of the matches.
        n: how many categories it is the mean of.
    """

    pq: float
    sq: float
    rq: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """As plain numbers; None where nothing was scored."""
        scored = {"pq": self.pq, "sq": self.sq, "rq": self.rq}
        return {**{key: value if self.n else None for key, value in scored.items()}, "n": self.n}


@dataclass(frozen=True, slots=True)
class CategoryPQ:
    """The counts of one category and its score (n is 1 or 0)."""

    name: str
    isthing: bool
    score: PQScore
    tp: int
    fp: int
    fn: int
    iou_sum: float

    def to_json(self) -> dict[str, Any]:
        """As plain values; None where nothing was scored."""
        score = self.score.to_json()
        return {
            "name": self.name,
            "isthing": self.isthing,
            "pq": score["pq"],
            "sq": score["sq"],
            "rq": score["rq"],
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
            "iou_sum": self.iou_sum,
        }


@dataclass(frozen=True, slots=True)
class PQResult:
    """PQ over all categories, over things and over stuff, and of each category.

    Attributes:
        all: mean over the categories that occur.
        things: mean over those that are things.
        stuff: mean over those that are stuff.
        per_category: by category_id, every category of the space in its order.
    """

    all: PQScore
    things: PQScore
    stuff: PQScore
    per_category: dict[int, CategoryPQ]

    def to_json(self) -> dict[str, Any]:
        """As ``{"pq": {"all", "things", "stuff"}, "per_class": {...}}`` of plain values."""
        return {
            "pq": {
                "all": self.all.to_json(),
                "things": self.things.to_json(),
                "stuff": self.stuff.to_json(),
            },
            "per_class": {
                str(category_id): category.to_json()
                for category_id, category in self.per_category.items()
            },
        }


def summarize(stats: PQStats, space: LabelSpace) -> PQResult:
    """Scores of counts: per category, and their means over those with tp + fp + fn > 0.

    Raises:
        ValueError: a counted category_id is not in the space.
    """
    unknown = set(stats.category_ids.tolist()) - set(space.by_id)
    if unknown:
        raise ValueError(f"category_ids {sorted(unknown)} are not in {space.name}")
    columns = (stats.iou_sum.tolist(), stats.tp.tolist(), stats.fp.tolist(), stats.fn.tolist())
    counts = dict(zip(stats.category_ids.tolist(), zip(*columns, strict=True), strict=True))
    per_category = {}
    for category_id, category in space.by_id.items():
        iou_sum, tp, fp, fn = counts.get(category_id, (0.0, 0, 0, 0))
        score = _score_category(iou_sum, tp, fp, fn)
        per_category[category_id] = CategoryPQ(
            category.name, category.isthing, score, tp, fp, fn, iou_sum
        )
    scored = list(per_category.values())
    return PQResult(
        all=_mean_score([c.score for c in scored]),
        things=_mean_score([c.score for c in scored if c.isthing]),
        stuff=_mean_score([c.score for c in scored if not c.isthing]),
        per_category=per_category,
    )


def _score_category(iou_sum: float, tp: int, fp: int, fn: int) -> PQScore:
    """The score of one category; NaN with n = 0 where it does not occur."""
    if tp + fp + fn == 0:
        return PQScore(float("nan"), float("nan"), float("nan"), 0)
    segments = tp + 0.5 * fp + 0.5 * fn
    return PQScore(iou_sum / segments, iou_sum / tp if tp else 0.0, tp / segments, 1)


def _mean_score(scores: Iterable[PQScore]) -> PQScore:
    """The mean over the categories that occur; NaN with n = 0 where none does."""
    scored = [score for score in scores if score.n]
    n = len(scored)
    if not n:
        return PQScore(float("nan"), float("nan"), float("nan"), 0)
    return PQScore(
        sum(score.pq for score in scored) / n,
        sum(score.sq for score in scored) / n,
        sum(score.rq for score in scored) / n,
        n,
    )
