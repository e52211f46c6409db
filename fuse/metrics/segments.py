"""What became of each segment of an image: matched, missed, false or excused."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from fuse.ops.contingency import count_pairs
from fuse.ops.matching import FORGIVEN_SHARE, MATCH_IOU, BoolArray, Int64Array, find_rows
from fuse.types import Float64Array, PanopticPrediction, SegmentInfo

Kind = Literal["tp", "fp", "fn", "excused"]


@dataclass(frozen=True, slots=True)
class SegmentMatch:
    """One match, or one segment without a match.

    Attributes:
        kind: ``tp``, ``fp``, ``fn``, or ``excused``: predicted, without a match, and mostly on
            void or on crowds of its category.
        category_id: of the segment.
        truth_id: the true segment; None for a predicted one without a match.
        pred_id: the predicted segment; None for a missed one.
        iou: of the match; else the largest IoU with a segment of the same category.
        other_category_id: without a match, the category of the segment of another category that
            it covers with IoU > 0.5; None where there is none.
    """

    kind: Kind
    category_id: int
    truth_id: int | None
    pred_id: int | None
    iou: float
    other_category_id: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def list_matches(truth: PanopticPrediction, pred: PanopticPrediction) -> tuple[SegmentMatch, ...]:
    """Say of each segment what `fuse.metrics.pq.match_segments` counts it as.

    Args:
        truth: ground truth; its crowds are not listed.
        pred: prediction of the same (H, W).

    Returns:
        Matches and misses in the order of the true segments, then the other predicted ones.

    Raises:
        ValueError: the two maps differ in (H, W).
    """
    shared, void = _share_pixels(truth, pred)
    true_areas = np.array([s.area for s in truth.segments_info], dtype=np.float64)
    pred_areas = np.array([s.area for s in pred.segments_info], dtype=np.float64)
    true_ids = np.array([s.category_id for s in truth.segments_info], dtype=np.int64)
    pred_ids = np.array([s.category_id for s in pred.segments_info], dtype=np.int64)
    iscrowd = np.array([s.iscrowd for s in truth.segments_info], dtype=np.bool_)
    same = true_ids[:, np.newaxis] == pred_ids
    excused = void + np.where(same & iscrowd[:, np.newaxis], shared, 0).sum(axis=0)
    union = true_areas[:, np.newaxis] + (pred_areas - void) - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    iou[iscrowd] = 0  # never matched
    matches = []
    for row, segment in enumerate(truth.segments_info):
        if segment.iscrowd:
            continue
        match = _describe("fn", iou[row], same[row], pred_ids, segment)
        if match.iou > MATCH_IOU:
            partner = pred.segments_info[int(np.where(same[row], iou[row], 0).argmax())]
            match = replace(match, kind="tp", pred_id=partner.segment_id, other_category_id=None)
        matches.append(match)
    for column, segment in enumerate(pred.segments_info):
        kind: Kind = "excused" if excused[column] > FORGIVEN_SHARE * segment.area else "fp"
        match = _describe(kind, iou[:, column], same[:, column], true_ids, segment)
        if match.iou <= MATCH_IOU:  # the others stand among the true segments
            matches.append(match)
    return tuple(matches)


def _describe(
    kind: Kind,
    iou: Float64Array,
    same: BoolArray,
    category_ids: Int64Array,
    segment: SegmentInfo,
) -> SegmentMatch:
    """A segment without a match, held against those of the other map (N,)."""
    unlike = np.flatnonzero(~same & (iou > MATCH_IOU))
    return SegmentMatch(
        kind=kind,
        category_id=segment.category_id,
        truth_id=segment.segment_id if kind == "fn" else None,
        pred_id=None if kind == "fn" else segment.segment_id,
        iou=float(np.where(same, iou, 0).max(initial=0)),
        other_category_id=int(category_ids[unlike[0]]) if len(unlike) else None,
    )


def _share_pixels(
    truth: PanopticPrediction, pred: PanopticPrediction
) -> tuple[Float64Array, Float64Array]:
    """Pixels that each true and predicted segment share (T, P), and void below the latter (P,)."""
    true_ids, pred_ids, counts = count_pairs(truth.panoptic_map, pred.panoptic_map)
    listed = [
        np.array([segment.segment_id for segment in side.segments_info], dtype=np.int32)
        for side in (truth, pred)
    ]
    true_rows, pred_rows = find_rows(true_ids, listed[0]), find_rows(pred_ids, listed[1])
    # The last row and column take what is void.
    table = np.zeros((len(listed[0]) + 1, len(listed[1]) + 1))
    np.add.at(table, (true_rows, pred_rows), counts)
    return table[:-1, :-1], table[-1, :-1]
