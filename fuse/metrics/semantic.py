"""Mean IoU of a semantic branch against panoptic ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, fields
from math import isnan
from typing import Any

import numpy as np

from fuse.metrics.pq import none_if_nan
from fuse.ops.contingency import count_pairs
from fuse.ops.matching import find_rows, sum_by_row
from fuse.types import Int32Array, Int64Array, LabelSpace, PanopticPrediction, SemanticPrediction
from fuse.types.label_space import id_to_file


@dataclass(frozen=True, slots=True, eq=False)
class SemanticStats:
    """Pixels per category; those of several images add up. Void of the truth counts nowhere.

    Attributes:
        category_ids: int32 (K,), ascending; categories without a row have no pixels.
        right: int64 (K,), pixels predicted as what they are.
        true: int64 (K,), pixels of the ground truth.
        predicted: int64 (K,), pixels of the prediction.
    """

    category_ids: Int32Array
    right: Int64Array
    true: Int64Array
    predicted: Int64Array

    def __add__(self, other: SemanticStats) -> SemanticStats:
        return sum_semantic_stats((self, other))


def count_semantic(truth: PanopticPrediction, pred: SemanticPrediction) -> SemanticStats:
    """Count one image's pixels per category.

    Every true segment stands for its category, crowds too. A void pixel of the prediction
    is wrong, but no category's.

    Raises:
        ValueError: the two differ in (H, W).

    >>> from fuse.types import SegmentInfo
    >>> truth = PanopticPrediction(
    ...     np.array([[1, 1, 2, 0]], dtype=np.int32),
    ...     (SegmentInfo(1, 17, 2, (0, 0, 2, 1)), SegmentInfo(2, 18, 1, (2, 0, 1, 1))),
    ... )
    >>> stats = count_semantic(truth, SemanticPrediction(np.array([[17, 18, 18, 18]], np.int32)))
    >>> stats.right.tolist(), stats.true.tolist(), stats.predicted.tolist()
    ([1, 1], [2, 1], [1, 2])
    """
    truth_ids, pred_categories, counts = count_pairs(truth.panoptic_map, pred.label_map)
    listed_ids = np.array([s.segment_id for s in truth.segments_info], dtype=np.int32)
    categories = np.array([s.category_id for s in truth.segments_info], dtype=np.int32)
    rows = find_rows(truth_ids, listed_ids)
    labelled = rows >= 0
    true_categories = categories[rows[labelled]]
    pred_categories, counts = pred_categories[labelled], counts[labelled]
    category_ids = np.union1d(true_categories, pred_categories[pred_categories > 0])
    true_rows = find_rows(true_categories, category_ids)
    pred_rows = find_rows(pred_categories, category_ids)
    length = len(category_ids)
    return SemanticStats(
        category_ids,
        sum_by_row(np.where(true_rows == pred_rows, true_rows, -1), counts, length),
        sum_by_row(true_rows, counts, length),
        sum_by_row(pred_rows, counts, length),
    )


def sum_semantic_stats(stats: Iterable[SemanticStats]) -> SemanticStats:
    """Add up stats; none give stats without categories."""
    none = np.zeros(0, dtype=np.int64)
    parts = (SemanticStats(none.astype(np.int32), none, none, none), *stats)
    every_id, *columns = (
        np.concatenate([getattr(part, column.name) for part in parts])
        for column in fields(SemanticStats)
    )
    category_ids, rows = np.unique(every_id, return_inverse=True)
    sums = (sum_by_row(rows, column, len(category_ids)) for column in columns)
    return SemanticStats(category_ids, *sums)


@dataclass(frozen=True, slots=True)
class SemanticResult:
    """Quality of a semantic branch, fractions in 0..1; NaN where nothing was scored.

    Attributes:
        miou: mean of `per_category` over the categories that occur in either.
        pixel_accuracy: share of labelled pixels that are right.
        per_category: IoU by category_id, NaN for a category that does not occur.
    """

    miou: float
    pixel_accuracy: float
    per_category: dict[int, float]

    def describe_classes(self, known_ids: Set[int] | None = None) -> str:
        """``over 19 classes, of which the net knows 12``: it can have no IoU but 0 on the others.

        Args:
            known_ids: what the net can say, None where that is not known.
        """
        counted = {c for c, iou in self.per_category.items() if not isnan(iou)}
        words = f"over {len(counted)} {'class' if len(counted) == 1 else 'classes'}"
        if known_ids is None or counted <= known_ids:
            return words
        return f"{words}, of which the net knows {len(counted & known_ids)}"

    def to_json(self) -> dict[str, Any]:
        """As plain values; None where nothing was scored."""
        return {
            "miou": none_if_nan(self.miou),
            "pixel_accuracy": none_if_nan(self.pixel_accuracy),
            "per_class": {
                str(id_to_file(c)): none_if_nan(iou) for c, iou in self.per_category.items()
            },
        }


def summarize_semantic(stats: SemanticStats, space: LabelSpace) -> SemanticResult:
    """IoU = right / (true + predicted - right) per category of the space, and the mean.

    Raises:
        ValueError: a counted category_id is not in the space.
    """
    unknown = set(stats.category_ids.tolist()) - set(space.by_id)
    if unknown:
        raise ValueError(f"category_ids {sorted(unknown)} are not in {space.name}")
    iou = stats.right / (stats.true + stats.predicted - stats.right)
    by_id = dict(zip(stats.category_ids.tolist(), iou.tolist(), strict=True))
    labelled = int(stats.true.sum())
    return SemanticResult(
        miou=float(iou.mean()) if len(iou) else float("nan"),
        pixel_accuracy=int(stats.right.sum()) / labelled if labelled else float("nan"),
        per_category={
            category_id: by_id.get(category_id, float("nan")) for category_id in space.by_id
        },
    )
