"""Matching of true and predicted segments from the pixels that each pair has in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fuse.ops._jit import jit_brief
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


@jit_brief
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


@jit_brief
def _index_ids(listed_ids: Int32Array) -> Int32Array:
    """A hash table of the first places of ids (open addressing, linear probing); -1 is free.

    Sorting and searching take five times as long with 65,000 ids.
    """
    slots = 2
    while slots < 2 * len(listed_ids):
        slots *= 2
    table = np.empty(slots, np.int32)
    table[:] = -1
    for row, listed_id in enumerate(listed_ids):
        slot = _find_slot(table, listed_ids, listed_id)
        if table[slot] == -1:
            table[slot] = row
    return table


@jit_brief
def _find_slot(table: Int32Array, listed_ids: Int32Array, wanted_id: int) -> int:
    """The slot of an id, a free one where it is not listed."""
    mask = len(table) - 1
    slot = ((np.int64(wanted_id) * HASH_FACTOR) >> HASH_SHIFT) & mask
    while table[slot] != -1 and listed_ids[table[slot]] != wanted_id:
        slot = (slot + 1) & mask
    return slot  # type: ignore[return-value]


@jit_brief
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
    areas, unlisted = _sum_areas(segment_ids, rows, counts, length)
    return areas, np.unique(unlisted) if len(unlisted) else unlisted


@jit_brief
def _sum_areas(
    segment_ids: Int32Array, rows: Int64Array, counts: Int64Array, length: int
) -> tuple[Int64Array, Int32Array]:
    """`count_areas`, but for ids without a segment that stand several times."""
    unlisted, found = np.empty(len(rows), np.int32), 0
    for index, row in enumerate(rows):
        if row == -1 and segment_ids[index] != 0:
            unlisted[found] = segment_ids[index]
            found += 1
    return sum_by_row(rows, counts, length), unlisted[:found]


@jit_brief
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
    true_areas = sum_by_row(pairs.true_rows, pairs.counts, len(truth.category_ids))
    pred_areas = sum_by_row(pairs.pred_rows, pairs.counts, len(pred.category_ids))
    void_areas, missed, wrong = _find_errors(pairs, truth, pred, true_areas, pred_areas, official)
    t, p = np.empty(len(pairs.counts), np.int64), np.empty(len(pairs.counts), np.int64)
    iou = np.zeros(len(pairs.counts))
    both = 0
    for pair, shared in enumerate(pairs.counts):
        row, column = pairs.true_rows[pair], pairs.pred_rows[pair]
        if row < 0 or column < 0:
            continue
        t[both], p[both] = row, column
        if not truth.iscrowd[row]:
            is_same = truth.category_ids[row] == pred.category_ids[column]
            true_area = truth.areas[row] if official else float(true_areas[row])
            union = pred_areas[column] + true_area - shared - void_areas[column]
            if is_same and 0 <= union < shared:
                raise ValueError("the claimed area of a true segment makes an IoU above 1")
            if union > 0:
                iou[both] = min(shared / union, limits[pair])
            if is_same and iou[both] > threshold:
                missed[row] = wrong[column] = False
        both += 1
    return t[:both], p[:both], iou[:both], missed, wrong


@jit_brief
def _find_errors(
    pairs: SegmentPairs,
    truth: SegmentTable,
    pred: SegmentTable,
    true_areas: Int64Array,
    pred_areas: Int64Array,
    official: bool,
) -> tuple[Int64Array, BoolArray, BoolArray]:
    """What counts as missed and as wrong unless it matches, and predicted areas on void."""
    excusing = _last_of_category(truth) if official else truth.iscrowd
    void_areas, crowd_areas = (
        np.zeros(len(pred_areas), np.int64),
        np.zeros(len(pred_areas), np.int64),
    )
    for pair, shared in enumerate(pairs.counts):
        row, column = pairs.true_rows[pair], pairs.pred_rows[pair]
        if column < 0:
            continue
        # To panopticapi an id that no segment lists is no void; to us it is, as it has no category.
        if (pairs.truth_ids[pair] == 0) if official else (row < 0):
            void_areas[column] += shared
        if row >= 0 and excusing[row] and truth.category_ids[row] == pred.category_ids[column]:
            crowd_areas[column] += shared
    missed = np.empty(len(true_areas), np.bool_)
    for row, area in enumerate(true_areas):
        missed[row] = not truth.iscrowd[row] and (official or area > 0)
    wrong = np.empty(len(pred_areas), np.bool_)
    for row, area in enumerate(pred_areas):
        excused = void_areas[row] + crowd_areas[row]
        wrong[row] = area > 0 and excused <= FORGIVEN_SHARE * area
    return void_areas, missed, wrong


@jit_brief
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
    category_ids = _list_distinct(truth.category_ids, pred.category_ids)
    t, p, iou, missed, wrong = find_matches(pairs, truth, pred, official, threshold, limits)
    true_class = find_rows(truth.category_ids, category_ids)
    pred_class = find_rows(pred.category_ids, category_ids)
    iou_sum = np.zeros(len(category_ids))
    tp, fp, fn = (
        np.zeros(len(category_ids), np.int64),
        np.zeros(len(category_ids), np.int64),
        np.zeros(len(category_ids), np.int64),
    )
    for pair in range(len(iou)):
        row = true_class[t[pair]]
        if row == pred_class[p[pair]] and iou[pair] > threshold:
            iou_sum[row] += iou[pair]
            tp[row] += 1
    for segment, row in enumerate(pred_class):
        fp[row] += wrong[segment]
    for segment, row in enumerate(true_class):
        fn[row] += missed[segment]
    # With np.flatnonzero numba would import a tenth of a second of itself to load this.
    kept = 0
    for row in range(len(category_ids)):
        if tp[row] + fp[row] + fn[row] > 0:
            category_ids[kept], iou_sum[kept] = category_ids[row], iou_sum[row]
            tp[kept], fp[kept], fn[kept] = tp[row], fp[row], fn[row]
            kept += 1
    return category_ids[:kept], iou_sum[:kept], tp[:kept], fp[:kept], fn[:kept]


@jit_brief
def _list_distinct(first: Int32Array, second: Int32Array) -> Int32Array:
    """What stands in either, ascending and once: few values, each put where it belongs."""
    distinct, length = np.empty(len(first) + len(second), np.int32), 0
    for values in (first, second):
        for value in values:
            place = length
            while place > 0 and distinct[place - 1] > value:
                place -= 1
            if place > 0 and distinct[place - 1] == value:
                continue
            for later in range(length, place, -1):
                distinct[later] = distinct[later - 1]
            distinct[place] = value
            length += 1
    return distinct[:length]


@jit_brief
def _last_of_category(truth: SegmentTable) -> BoolArray:
    """Of the crowds of each category only the last one: bool (T,)."""
    first_rows = find_rows(truth.category_ids, truth.category_ids)
    last, is_found = np.zeros(len(first_rows), np.bool_), np.zeros(len(first_rows), np.bool_)
    for row in range(len(first_rows) - 1, -1, -1):
        if truth.iscrowd[row] and not is_found[first_rows[row]]:
            last[row] = is_found[first_rows[row]] = True
    return last
