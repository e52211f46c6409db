"""Boundary IoU of segment pairs (Cheng et al., *Boundary IoU*, CVPR 2021, section 6).

Boundary PQ takes for the IoU of two segments the smaller one of their pixels' and of their
bands', which are the pixels close to the segment's border. All else is as in PQ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fuse.metrics.matching import match_pairs
from fuse.metrics.pq import PQStats
from fuse.ops.boundaries import band_width, keep_bands
from fuse.ops.contingency import ID_BITS, count_delta_pairs
from fuse.ops.matching import SegmentPairs, SegmentTable
from fuse.ops.row_deltas import RowDeltas
from fuse.types import MAX_SEGMENT_ID, Float64Array, Int32Array, Int64Array, PanopticPrediction


def match_boundaries(
    truth: PanopticPrediction, pred: PanopticPrediction, *, official: bool = False
) -> PQStats:
    """Match the segments of one image for Boundary PQ, as `match_segments` does for PQ.

    Raises:
        ValueError: as `match_segments`.

    >>> from fuse.types import SegmentInfo
    >>> square, ring = np.zeros((2, 9, 9), dtype=np.int32)
    >>> square[:], ring[:] = 1, 1
    >>> ring[1:8, 1] = 0
    >>> truth = PanopticPrediction(square, (SegmentInfo(1, 17, 81, (0, 0, 9, 9)),))
    >>> pred = PanopticPrediction(ring, (SegmentInfo(1, 17, 74, (0, 0, 9, 9)),))
    >>> match_boundaries(truth, pred).iou_sum.round(3).tolist()  # 32 / 39, not 74 / 81
    [0.821]
    """
    true_deltas = RowDeltas.from_map(truth.panoptic_map)
    pred_deltas = RowDeltas.from_map(pred.panoptic_map)
    true_table = SegmentTable.from_segments(truth.segments_info)
    pred_table = SegmentTable.from_segments(pred.segments_info)
    counted = count_delta_pairs(true_deltas, pred_deltas)
    pairs = SegmentPairs.locate(*counted, true_table, pred_table)
    limits = boundary_ious(true_deltas, pred_deltas, pairs, official=official)
    return match_pairs(pairs, true_table, pred_table, official=official, limits=limits)


def boundary_ious(
    truth: RowDeltas, pred: RowDeltas, pairs: SegmentPairs, *, official: bool = False
) -> Float64Array:
    """IoU of the bands of each pair: float64 (P,).

    Args:
        truth: the map that the pairs are of.
        pred: the same.
        pairs: what the two have in common.
        official: what is void, as in `match_pairs`.
    """
    if not official:
        truth = _join_void(truth, pairs)
    width = band_width(truth.size)
    truth_ids, pred_ids, counts = count_delta_pairs(
        keep_bands(truth, width, _find_free_id(pairs.truth_ids)),
        keep_bands(pred, width, _find_free_id(pairs.pred_ids)),
    )
    is_void = truth_ids == 0
    true_areas = _look_up(truth_ids, counts, pairs.truth_ids)
    pred_areas = _look_up(pred_ids, counts, pairs.pred_ids)
    void_areas = _look_up(pred_ids[is_void], counts[is_void], pairs.pred_ids)
    shared = _look_up(
        _make_keys(truth_ids, pred_ids), counts, _make_keys(pairs.truth_ids, pairs.pred_ids)
    )
    union = true_areas + pred_areas - shared - void_areas
    ious: Float64Array = np.divide(shared, union, out=np.zeros(len(shared)), where=union > 0)
    return ious


def _join_void(truth: RowDeltas, pairs: SegmentPairs) -> RowDeltas:
    """The map with 0 for the ids that no segment lists."""
    unlisted = np.unique(pairs.truth_ids[(pairs.true_rows == -1) & (pairs.truth_ids != 0)])
    if not len(unlisted):
        return truth
    deltas = truth.deltas.copy()
    deltas[np.isin(deltas[:, 1], unlisted), 1] = 0
    return replace(truth, deltas=deltas)


def _find_free_id(ids: Int32Array) -> int:
    """The largest number of three bytes that is not among the ids."""
    used = set(ids.tolist())
    return next(free for free in range(MAX_SEGMENT_ID, 0, -1) if free not in used)


def _make_keys(truth_ids: Int32Array, pred_ids: Int32Array) -> Int64Array:
    return truth_ids.astype(np.int64) << ID_BITS | pred_ids


def _look_up(
    keys: Int32Array | Int64Array, counts: Int64Array, wanted: Int32Array | Int64Array
) -> Int64Array:
    """The counts of each wanted key, added up; 0 for one that is not there."""
    known, rows = np.unique(keys, return_inverse=True)
    if not len(known):
        return np.zeros(len(wanted), np.int64)
    sums = np.bincount(rows, counts, len(known)).astype(np.int64)
    places = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    found: Int64Array = np.where(known[places] == wanted, sums[places], 0)
    return found
