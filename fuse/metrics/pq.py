"""Panoptic quality: counts of matches and errors, their sums, and the scores they make.

Kirillov et al., *Panoptic Segmentation* (CVPR 2019), section 4: per category,

    PQ = sum of IoU over matches / (TP + FP / 2 + FN / 2) = SQ * RQ

averaged over the categories that occur. `fuse.metrics.matching` makes the counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from fuse.types import BoolArray, Float64Array, Int32Array, Int64Array, LabelSpace
from fuse.types.label_space import id_to_file
from fuse.types.short_repr import ShortRepr

GROUPS = ("all", "things", "stuff")
SCORES = ("pq", "sq", "rq")
GROUP_SCORES = len(GROUPS) * len(SCORES)  # columns of `score_counts` before the categories


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PQStats(ShortRepr):
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

    @property
    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """All but the category_ids."""
        return self.iou_sum, self.tp, self.fp, self.fn


def sum_stats(stats: Iterable[PQStats]) -> PQStats:
    """Add up stats, image by image in the order given, so the sum is the same each time.

    No stats give stats without categories.
    """
    none = np.zeros(0, dtype=np.int64)
    parts = (PQStats(none.astype(np.int32), np.zeros(0), none, none, none), *stats)
    category_ids = np.concatenate([part.category_ids for part in parts])
    columns = zip(*(part.columns for part in parts), strict=True)
    return sum_rows(PQStats(category_ids, *map(np.concatenate, columns)))


def sum_rows(stats: PQStats) -> PQStats:
    """Stats whose category_ids may repeat, in any order, with one row per category.

    Rows of a category are added in the order in which they stand.
    """
    category_ids, rows = np.unique(stats.category_ids, return_inverse=True)
    sums = (
        np.bincount(rows, column, len(category_ids)).astype(column.dtype)
        for column in stats.columns
    )
    return PQStats(category_ids, *sums)


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
    columns = (column[rows] for column in stats.columns)
    return PQStats(np.array(renamed, dtype=np.int32), *columns)


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
        scores = {score: none_if_nan(getattr(self, score)) for score in SCORES}
        return {**scores, "n": self.n}


def none_if_nan(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return None if isnan(value) else value


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
            **{key: score[key] for key in SCORES},
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
            "iou_sum": self.iou_sum,
        }


@dataclass(frozen=True, slots=True, repr=False)
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

    def __repr__(self) -> str:
        groups = ", ".join(
            f"{group} PQ {100 * score.pq:.1f} SQ {100 * score.sq:.1f} RQ {100 * score.rq:.1f}"
            for group, score in ((group, getattr(self, group)) for group in GROUPS)
        )
        return f"PQResult({groups}, {self.all.n} of {len(self.per_category)} categories)"

    def to_json(self) -> dict[str, Any]:
        """As ``{"pq": {"all", "things", "stuff"}, "per_class": {...}}`` of plain values."""
        return {
            "pq": {group: getattr(self, group).to_json() for group in GROUPS},
            "per_class": {
                str(id_to_file(category_id)): category.to_json()
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


def stack_counts(images: Sequence[PQStats], space: LabelSpace) -> Float64Array:
    """The counts of each image: float64 (P, 3, K)."""
    column_of = {category_id: index for index, category_id in enumerate(space.by_id)}
    counts = np.zeros((len(images), 3, len(column_of)))
    for row, stats in zip(counts, images, strict=True):
        columns = [column_of[category_id] for category_id in stats.category_ids.tolist()]
        row[:, columns] = stats.iou_sum, stats.tp, 0.5 * (stats.fp + stats.fn)
    return counts


def score_counts(counts: Float64Array, isthing: BoolArray) -> Float64Array:
    """Scores of summed counts.

    Args:
        counts: float64 (..., 3, K).
        isthing: bool (K,).

    Returns:
        float64 (..., 9 + K): PQ, SQ, RQ of all, of things, of stuff (means over the categories
        that occur), then PQ of each category; NaN where nothing occurs.
    """
    iou_sum, tp, wrong = np.moveaxis(counts, -2, 0)
    segments = tp + wrong
    occurs = segments > 0
    by_category = [
        np.divide(above, below, out=np.zeros_like(segments), where=below > 0)
        for above, below in ((iou_sum, segments), (iou_sum, tp), (tp, segments))
    ]
    means = []
    for chosen in (np.ones_like(isthing), isthing, ~isthing):
        # A product with 0 and 1 sums over a group; what does not occur is 0 in it.
        n = occurs @ chosen.astype(np.float64)
        for scores in by_category:
            total = scores @ chosen.astype(np.float64)
            means.append(np.divide(total, n, out=np.full_like(n, np.nan), where=n > 0))
    pq = np.where(occurs, by_category[0], np.nan)
    return np.concatenate([np.stack(means, axis=-1), pq], axis=-1)
