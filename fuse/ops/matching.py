"""Matching of true and predicted segments from the pixels that each pair has in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fuse.ops._jit import jit
from fuse.ops.contingency import count_pairs
from fuse.types import (
    BoolArray,
    Float64Array,
    Int32Array,
    Int64Array,
    PanopticPrediction,
    SegmentInfo,
)

# Knuth's multiplicative hashing: 2**32 / phi, and the bits of the product above the first 12.
HASH_FACTOR = 2654435769
HASH_SHIFT = 12
MATCH_IOU = 0.5  # strictly above it a match is unique
FORGIVEN_SHARE = 0.5  # of a segment on void and crowd, strictly above it is no false positive


class SegmentTable(NamedTuple):
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


class SegmentPairs(NamedTuple):
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

    @classmethod
    def of_maps(
        cls, truth: PanopticPrediction, pred: PanopticPrediction
    ) -> tuple[SegmentPairs, SegmentTable, SegmentTable]:
        """The pairs of two maps, and the tables of their segments."""
        true_table = SegmentTable.from_segments(truth.segments_info)
        pred_table = SegmentTable.from_segments(pred.segments_info)
        counted = count_pairs(truth.panoptic_map, pred.panoptic_map)
        return cls.locate(*counted, true_table, pred_table), true_table, pred_table


@jit
def find_rows(segment_ids: Int32Array, listed_ids: Int32Array) -> Int64Array:
    """Where each id (P,) stands in listed_ids (N,): int64 (P,), -1 for an id that does not.

    Of an id that is listed several times it is the first place.

    >>> ids, listed = np.array([0, 5, 7], dtype=np.int32), np.array([7, 5], dtype=np.int32)
    >>> find_rows(ids, listed).tolist()
    [-1, 1, 0]
    """
    table = _index_ids(listed_ids)
    rows = np.empty(len(segment_ids), np.int64)
    for index, segment_id in enumerate(segment_ids):
        rows[index] = table[_find_slot(table, listed_ids, segment_id)]
    return rows


@jit
def _index_ids(listed_ids: Int32Array) -> Int32Array:
    """A hash table of the first places of ids (open addressing, linear probing); -1 is free.

    Sorting and searching take five times as long with 65,000 ids.
    """
    slots = 2
    while slots < 2 * len(listed_ids):
        slots *= 2
    table = np.full(slots, -1, np.int32)
    for row, listed_id in enumerate(listed_ids):
        slot = _find_slot(table, listed_ids, listed_id)
        if table[slot] == -1:
            table[slot] = row
    return table


@jit
def _find_slot(table: Int32Array, listed_ids: Int32Array, wanted_id: int) -> int:
    """The slot of an id, a free one where it is not listed."""
    mask = len(table) - 1
    slot = ((np.int64(wanted_id) * HASH_FACTOR) >> HASH_SHIFT) & mask
    while table[slot] != -1 and listed_ids[table[slot]] != wanted_id:
        slot = (slot + 1) & mask
    return slot  # type: ignore[return-value]


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
def count_areas(
    segment_ids: Int32Array, rows: Int64Array, counts: Int64Array, length: int
) -> tuple[Int64Array, Int32Array]:
    """Areas of listed segments, and the ids without a segment, from pixel counts.

    Args:
        segment_ids: int32 (P,), an id may stand several times; 0 = void.
        rows: int64 (P,), where they are listed, as `find_rows` says.
        counts: int64 (P,), pixels.
        length: how many segments are listed.

    Returns:
        areas int64 (length,), and the ids that are neither listed nor 0: int32, ascending.
    """
    unlisted = np.unique(segment_ids[(rows == -1) & (segment_ids != 0)])
    return sum_by_row(rows, counts, length), unlisted


@jit
def find_matches(
    pairs: SegmentPairs,
    truth: SegmentTable,
    pred: SegmentTable,
    official: bool,
    threshold: float,
    limits: Float64Array,
) -> tuple[Int64Array, Int64Array, Float64Array, BoolArray, BoolArray]:
    """IoU of the segments that meet, and which stay unmatched.

    `fuse.metrics.matching.match_pairs` has the rules and the arguments.

    Returns:
        true_rows, pred_rows and iou of the pairs of listed segments, 0 on crowds; two of one
        category match above the threshold. Then which true segments are missed and which
        predicted ones are wrong: bool (T,) and bool (N,).

    Raises:
        ValueError: `official`, and a claimed area is so small that an IoU is above 1.
    """
    true_rows, pred_rows, counts = pairs.true_rows, pairs.pred_rows, pairs.counts
    iscrowd = truth.iscrowd
    counted_areas = sum_by_row(true_rows, counts, len(truth.category_ids))
    pred_areas = sum_by_row(pred_rows, counts, len(pred.category_ids))
    # To panopticapi an id that no segment lists is no void; to us it is, as it has no category.
    on_void = pairs.truth_ids == 0 if official else true_rows == -1
    void_areas = sum_by_row(np.where(on_void, pred_rows, -1), counts, len(pred_areas))

    both = np.flatnonzero((true_rows >= 0) & (pred_rows >= 0))
    t, p, shared = true_rows[both], pred_rows[both], counts[both]
    is_same = truth.category_ids[t] == pred.category_ids[p]
    excusing = _last_of_category(iscrowd, truth.category_ids) if official else iscrowd
    excused_rows = np.where(is_same & excusing[t], p, -1)
    excused_areas = void_areas + sum_by_row(excused_rows, shared, len(pred_areas))

    missed = ~iscrowd if official else ~iscrowd & (counted_areas > 0)
    wrong = (pred_areas > 0) & (excused_areas <= FORGIVEN_SHARE * pred_areas)
    true_areas = truth.areas if official else counted_areas.astype(np.float64)
    iou = np.zeros(len(both))
    for pair in np.flatnonzero(~iscrowd[t]):
        union = pred_areas[p[pair]] + true_areas[t[pair]] - shared[pair] - void_areas[p[pair]]
        if is_same[pair] and 0 <= union < shared[pair]:
            raise ValueError("the claimed area of a true segment makes an IoU above 1")
        if union > 0:
            iou[pair] = min(shared[pair] / union, limits[both[pair]])
        if is_same[pair] and iou[pair] > threshold:
            missed[t[pair]] = wrong[p[pair]] = False
    return t, p, iou, missed, wrong


@jit
def count_matches(
    pairs: SegmentPairs,
    truth: SegmentTable,
    pred: SegmentTable,
    official: bool,
    threshold: float,
    limits: Float64Array,
) -> tuple[Int32Array, Float64Array, Int64Array, Int64Array, Int64Array]:
    """Count matches and errors per category, as `find_matches` finds them.

    Returns:
        category_ids int32 (K,), ascending, each with a count; iou_sum float64 (K,); tp, fp
        and fn, int64 (K,) each.
    """
    t, p, iou, missed, wrong = find_matches(pairs, truth, pred, official, threshold, limits)
    category_ids = _sort_distinct(np.concatenate((truth.category_ids, pred.category_ids)))
    true_class = find_rows(truth.category_ids, category_ids)
    pred_class = find_rows(pred.category_ids, category_ids)
    iou_sum, tp = np.zeros(len(category_ids)), np.zeros(len(category_ids), np.int64)
    for pair in range(len(iou)):
        row = true_class[t[pair]]
        if row == pred_class[p[pair]] and iou[pair] > threshold:
            iou_sum[row] += iou[pair]
            tp[row] += 1
    fp = sum_by_row(pred_class, wrong.astype(np.int64), len(category_ids))
    fn = sum_by_row(true_class, missed.astype(np.int64), len(category_ids))
    kept = tp + fp + fn > 0
    return category_ids[kept], iou_sum[kept], tp[kept], fp[kept], fn[kept]


@jit
def _sort_distinct(ids: Int32Array) -> Int32Array:
    """Each id once, ascending; quick where few ids repeat often."""
    return np.sort(ids[find_rows(ids, ids) == np.arange(len(ids))])


@jit
def _last_of_category(chosen: BoolArray, category_ids: Int32Array) -> BoolArray:
    """Of the chosen rows of each category only the last one: bool (N,)."""
    last = np.zeros(len(chosen), np.bool_)
    backwards = np.flatnonzero(chosen)[::-1]
    ids = category_ids[backwards]
    last[backwards[find_rows(ids, ids) == np.arange(len(ids))]] = True
    return last
