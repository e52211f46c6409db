"""Matching of true and predicted segments from the pixels that each pair has in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuse.ops._jit import jit
from fuse.types import Float64Array, Int32Array

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MATCH_IOU = 0.5  # strictly above it a match is unique
FORGIVEN_SHARE = 0.5  # of a segment on void and crowd, strictly above it is no false positive


@jit
def find_rows(segment_ids: Int32Array, listed_ids: Int32Array) -> Int64Array:
    """Where each id (P,) stands in listed_ids (N,): int64 (P,), -1 for an id that does not.

    >>> ids, listed = np.array([0, 5, 7], dtype=np.int32), np.array([7, 5], dtype=np.int32)
    >>> find_rows(ids, listed).tolist()
    [-1, 1, 0]
    """
    order = np.argsort(listed_ids)
    positions = np.searchsorted(listed_ids[order], segment_ids)
    rows = np.full(len(segment_ids), -1, np.int64)
    for index, position in enumerate(positions):
        if position < len(order) and listed_ids[order[position]] == segment_ids[index]:
            rows[index] = order[position]
    return rows


@jit
def sum_by_row(rows: Int64Array, counts: Int64Array, length: int) -> Int64Array:
    """Sums of counts (P,) by row (P,): int64 (length,); row -1 goes nowhere.

    >>> sum_by_row(np.array([1, -1, 1]), np.array([10, 20, 30]), 2).tolist()
    [0, 40]
    """
    sums = np.zeros(length, np.int64)
    for index, row in enumerate(rows):
        if row >= 0:
            sums[row] += counts[index]
    return sums


@jit
def count_matches(
    truth_ids: Int32Array,
    pred_ids: Int32Array,
    counts: Int64Array,
    truth: tuple[Int32Array, Int32Array, BoolArray, Float64Array],
    pred: tuple[Int32Array, Int32Array],
    official: bool,
) -> tuple[Int32Array, Float64Array, Int64Array, Int64Array, Int64Array]:
    """Count matches and errors per category; `fuse.metrics.pq.match_segments` has the rules.

    Args:
        truth_ids: int32 (P,), with pred_ids each pair once, in a fixed order; 0 = void.
        pred_ids: int32 (P,).
        counts: int64 (P,), pixels that a pair has in common.
        truth: columns of the true segments: segment_ids, category_ids, iscrowd and
            areas as claimed, which only the official mode reads.
        pred: columns of the predicted segments: segment_ids and category_ids.
        official: do as panopticapi.

    Returns:
        category_ids int32 (K,), ascending, each with a count; iou_sum float64 (K,); tp, fp
        and fn, int64 (K,) each.

    Raises:
        ValueError: `official`, and a claimed area makes a union of 0 pixels.
    """
    _, true_categories, iscrowd, claimed_areas = truth
    predicted_categories = pred[1]
    true_rows, pred_rows = find_rows(truth_ids, truth[0]), find_rows(pred_ids, pred[0])
    counted_areas = sum_by_row(true_rows, counts, len(true_categories))
    pred_areas = sum_by_row(pred_rows, counts, len(predicted_categories))
    # To panopticapi an id that no segment lists is no void; to us it is, as it has no category.
    void = truth_ids == 0 if official else true_rows == -1
    void_areas = sum_by_row(np.where(void, pred_rows, -1), counts, len(pred_areas))

    category_ids = np.unique(np.concatenate((true_categories, predicted_categories)))
    true_class = np.searchsorted(category_ids, true_categories)
    pred_class = np.searchsorted(category_ids, predicted_categories)
    excusing = _last_of_class(iscrowd, true_class, len(category_ids)) if official else iscrowd
    true_areas = claimed_areas if official else counted_areas.astype(np.float64)

    iou_sum = np.zeros(len(category_ids))
    tp, fp, fn = (np.zeros(len(category_ids), np.int64) for _ in range(3))
    missed = ~iscrowd if official else ~iscrowd & (counted_areas > 0)
    wrong = pred_areas > 0
    excused_areas = void_areas.copy()
    for index in range(len(counts)):
        t, p, shared = true_rows[index], pred_rows[index], counts[index]
        if t < 0 or p < 0 or true_class[t] != pred_class[p]:
            continue
        if iscrowd[t]:
            excused_areas[p] += shared * excusing[t]
            continue
        union = pred_areas[p] + true_areas[t] - shared - void_areas[p]
        if union == 0:
            raise ValueError("the claimed area of a true segment makes a union of 0 pixels")
        iou = shared / union
        if iou > MATCH_IOU:
            tp[true_class[t]] += 1
            iou_sum[true_class[t]] += iou
            missed[t] = wrong[p] = False
    wrong &= excused_areas <= FORGIVEN_SHARE * pred_areas
    fp = sum_by_row(pred_class, wrong.astype(np.int64), len(category_ids))
    fn = sum_by_row(true_class, missed.astype(np.int64), len(category_ids))
    kept = tp + fp + fn > 0
    return category_ids[kept], iou_sum[kept], tp[kept], fp[kept], fn[kept]


@jit
def _last_of_class(chosen: BoolArray, classes: Int64Array, class_count: int) -> BoolArray:
    """Of the chosen rows of each class only the last one: bool (N,)."""
    last = np.full(class_count, -1, np.int64)
    for row in range(len(chosen)):
        if chosen[row]:
            last[classes[row]] = row
    return np.arange(len(chosen)) == last[classes]
