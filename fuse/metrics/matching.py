"""Match the true and predicted segments of an image (Kirillov et al. 2019, section 4.1).

The pixels that pairs of segments have in common are counted once. Areas, IoUs, matches and errors
are sums over these pairs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fuse.labels import LabelMap, map_panoptic
from fuse.metrics.pq import PQStats
from fuse.ops.matching import (
    MATCH_IOU,
    SegmentPairs,
    SegmentTable,
    count_matches,
    find_matches,
    sum_by_row,
)
from fuse.types import Float64Array, PanopticPrediction, SegmentInfo
from fuse.types.label_space import id_to_file

Kind = Literal["tp", "fp", "fn", "excused"]


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
    return match_pairs(*SegmentPairs.of_maps(truth, pred), official=official)


def match_pairs(
    pairs: SegmentPairs,
    truth: SegmentTable,
    pred: SegmentTable,
    *,
    official: bool,
    threshold: float = MATCH_IOU,
    limits: Float64Array | None = None,
) -> PQStats:
    """`match_segments` on the pixel counts of segment pairs instead of the maps.

    Args:
        pairs: what the two have in common.
        truth: true segments; an id that is not among them is void (`official`: it is
            neither void nor a segment, as in panopticapi).
        pred: predicted segments; an id that is not among them is void.
        official: as in `match_segments`.
        threshold: IoU that a match must exceed, at least 0.5.
        limits: float64 (P,), what the IoU of each pair is at most; by default 1.

    Raises:
        ValueError: `official`, and a claimed area is so small that an IoU is above 1.
    """
    limits = no_limits(pairs) if limits is None else limits
    return PQStats(*count_matches(pairs, truth, pred, official, threshold, limits))


def no_limits(pairs: SegmentPairs) -> Float64Array:
    """The limits of pairs whose IoU is that of their pixels."""
    return np.ones(len(pairs.counts))


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
        """As plain values, category ids as in files."""
        other_id = self.other_category_id
        return asdict(self) | {
            "category_id": id_to_file(self.category_id),
            "other_category_id": None if other_id is None else id_to_file(other_id),
        }


def list_matches(truth: PanopticPrediction, pred: PanopticPrediction) -> tuple[SegmentMatch, ...]:
    """Say of each segment what `match_segments` counts it as.

    Args:
        truth: ground truth; its crowds are not listed.
        pred: prediction of the same (H, W).

    Returns:
        Matches and misses in the order of the true segments, then the other predicted ones.

    Raises:
        ValueError: the two maps differ in (H, W).
    """
    pairs, true_table, pred_table = SegmentPairs.of_maps(truth, pred)
    t, p, iou, _, wrong = find_matches(
        pairs, true_table, pred_table, False, MATCH_IOU, no_limits(pairs)
    )
    true_ids, pred_ids = true_table.category_ids[t], pred_table.category_ids[p]
    is_same, is_half = true_ids == pred_ids, iou > MATCH_IOU
    is_match, is_other = is_same & is_half, ~is_same & is_half
    best_of_true, best_of_pred = np.zeros(len(truth.segments_info)), np.zeros(len(wrong))
    np.maximum.at(best_of_true, t[is_same], iou[is_same])
    np.maximum.at(best_of_pred, p[is_same], iou[is_same])
    partner = dict(zip(t[is_match].tolist(), p[is_match].tolist(), strict=True))
    other_of_true = dict(zip(t[is_other].tolist(), pred_ids[is_other].tolist(), strict=True))
    other_of_pred = dict(zip(p[is_other].tolist(), true_ids[is_other].tolist(), strict=True))
    matches = []
    for row, (segment, best) in enumerate(
        zip(truth.segments_info, best_of_true.tolist(), strict=True)
    ):
        category_id, truth_id = segment.category_id, segment.segment_id
        if row in partner:
            pred_id = pred.segments_info[partner[row]].segment_id
            matches.append(SegmentMatch("tp", category_id, truth_id, pred_id, best))
        elif not segment.iscrowd:
            other_id = other_of_true.get(row)
            matches.append(SegmentMatch("fn", category_id, truth_id, None, best, other_id))
    matched = set(partner.values())
    for row, (segment, best) in enumerate(
        zip(pred.segments_info, best_of_pred.tolist(), strict=True)
    ):
        if row not in matched:
            kind: Kind = "fp" if wrong[row] else "excused"
            category_id, pred_id = segment.category_id, segment.segment_id
            other_id = other_of_pred.get(row)
            matches.append(SegmentMatch(kind, category_id, None, pred_id, best, other_id))
    return tuple(matches)
