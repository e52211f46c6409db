"""Mask AP of an instance branch against the things of panoptic ground truth.

COCO's rules (https://cocodataset.org/#detection-eval), in two steps: detections are matched with
true instances image by image, and what became of each is kept. AP of all images, or of any
choice of them, is then a pass over the matched detections.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fuse.metrics.pq import none_if_nan
from fuse.ops._jit import jit
from fuse.ops.mask_overlaps import count_in_segments
from fuse.ops.masks import mask_runs
from fuse.types import (
    BoolArray,
    Float32Array,
    Float64Array,
    Instances,
    Int64Array,
    LabelSpace,
    PanopticPrediction,
)
from fuse.types.label_space import id_to_file

Int8Array = npt.NDArray[np.int8]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AT_50, AT_75 = 0, 5
RECALL_LEVELS = np.linspace(0, 1, 101)
_NO_CURVES = np.empty((0, len(IOU_THRESHOLDS), len(RECALL_LEVELS)))
MOST_DETECTIONS = 100  # per image and category
# Pixels of all instances, small, medium and large ones; both ends are inside.
SIZES = np.array([[0, np.inf], [0, 32**2], [32**2, 96**2], [96**2, np.inf]])
ALL, SMALL, MEDIUM, LARGE = range(len(SIZES))
RIGHT, WRONG, IGNORED = 1, 0, -1


@dataclass(frozen=True, slots=True)
class MaskAP:
    """COCO's mask AP, fractions in 0..1; NaN where no true instance counts.

    Attributes:
        ap: mean over IoU .50:.05:.95 and over the categories with true instances.
        ap50: at IoU .50.
        ap75: at IoU .75.
        ap_small: of instances below 32 x 32 pixels.
        ap_medium: of those in between.
        ap_large: of instances above 96 x 96 pixels.
        per_category: `ap` by category_id of things.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    per_category: dict[int, float]

    def to_json(self) -> dict[str, Any]:
        """As plain values; None where nothing was scored."""
        keys = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
        per_class = {str(id_to_file(c)): none_if_nan(ap) for c, ap in self.per_category.items()}
        return {**{key: none_if_nan(getattr(self, key)) for key in keys}, "per_class": per_class}


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Matched detections of a set of images, by category and from the highest score down.

    Attributes:
        category_ids: int64 (K,), the things, ascending.
        first: int64 (K + 1,), where the detections of each category begin.
        images: int64 (D,), the place of each detection's image.
        outcome: int8 (4, D, 10), by size (`SIZES`) and IoU threshold RIGHT, WRONG or IGNORED: on
            a crowd, or on an instance or of a mask of another size.
        true_counts: int64 (P, 4, K), true instances of each image and size, crowds left out.
    """

    category_ids: Int64Array
    first: Int64Array
    images: Int64Array
    outcome: Int8Array
    true_counts: Int64Array


def mask_ap(images: Iterable[tuple[PanopticPrediction, Instances]], space: LabelSpace) -> MaskAP:
    """Mask AP of detections over a set of images.

    True instances are the things of a panoptic map, crowds as crowds. Small, medium and
    large go by the pixels of a mask, for detections too.

    Args:
        images: ground truth and detections of each image; read once.
        space: the label space of both.
    """
    detections = match_detections(images, space)
    # Means are of (IoU thresholds, recall levels, categories), as COCO's tools take them.
    precision = [np.moveaxis(_trace_curves(detections, size), 0, -1) for size in range(len(SIZES))]
    return MaskAP(
        ap=_mean(precision[ALL]),
        ap50=_mean(precision[ALL][AT_50]),
        ap75=_mean(precision[ALL][AT_75]),
        ap_small=_mean(precision[SMALL]),
        ap_medium=_mean(precision[MEDIUM]),
        ap_large=_mean(precision[LARGE]),
        per_category={
            category_id: _mean(precision[ALL][..., column])
            for column, category_id in enumerate(detections.category_ids.tolist())
        },
    )


def mean_ap(detections: Detections, category_ids: Sequence[int]) -> float:
    """Mask AP over some of the things, in 0..1; NaN where there is no true instance of them."""
    everyone = np.ones(len(detections.true_counts))
    ap = _trace_ap(detections, everyone, ALL, _NO_CURVES)
    return _mean(ap[np.isin(detections.category_ids, category_ids)])


def weighted_ap(detections: Detections, weights: Float32Array) -> Float64Array:
    """Mask AP over sets of images that hold each image any number of times.

    Args:
        detections: of all images.
        weights: float32 (R, P), how often each image is in each set.

    Returns:
        float64 (R, K), AP over the IoU thresholds by category in 0..1; NaN where a set has no
        true instance of it.
    """
    ap = np.empty((len(weights), len(detections.category_ids)))
    for row, of_image in zip(ap, weights.astype(np.float64), strict=True):
        row[:] = _trace_ap(detections, of_image, ALL, _NO_CURVES)
    return ap


def _trace_curves(detections: Detections, size: int) -> Float64Array:
    """Precision (K, 10, 101) of instances of a size, as `_trace` has it; NaN where none is true."""
    everyone = np.ones(len(detections.true_counts))
    curves = np.full((len(detections.category_ids), *_NO_CURVES.shape[1:]), np.nan)
    _trace_ap(detections, everyone, size, curves)
    return curves


def _trace_ap(
    detections: Detections, weights: Float64Array, size: int, curves: Float64Array
) -> Float64Array:
    """AP (K,) of instances of a size, in images of some weight (P,); fills curves if there are."""
    return _trace(
        detections.first,
        detections.images,
        detections.outcome[size],
        weights @ detections.true_counts[:, size],
        weights,
        curves,
    )


def _mean(values: Float64Array) -> float:
    """Mean of what is not NaN."""
    occurs = ~np.isnan(values)
    return float(np.mean(values[occurs])) if occurs.any() else float("nan")


def match_detections(
    images: Iterable[tuple[PanopticPrediction, Instances]], space: LabelSpace
) -> Detections:
    """Match detections with true instances as COCO does.

    Args:
        images: ground truth and detections of each image; read once.
        space: the label space of both.
    """
    category_ids = np.array(sorted(space.thing_ids), dtype=np.int64)
    none = np.zeros(0, np.int64)
    columns, scores, places = [none], [np.zeros(0)], [none]
    outcomes = [np.zeros((len(SIZES), 0, len(IOU_THRESHOLDS)), np.int8)]
    true_counts = []
    for place, (truth, found) in enumerate(images):
        order, classes = _choose_detections(found, category_ids)
        outcome, counts = _match_image(truth, found, order, classes, category_ids)
        columns.append(classes)
        scores.append(found.scores[order])
        places.append(np.full(len(order), place))
        outcomes.append(outcome)
        true_counts.append(counts)
    every_column = np.concatenate(columns)
    order = np.lexsort((-np.concatenate(scores), every_column))
    counts_shape = (len(true_counts), len(SIZES), len(category_ids))
    return Detections(
        category_ids=category_ids,
        first=np.searchsorted(every_column[order], np.arange(len(category_ids) + 1)),
        images=np.concatenate(places)[order],
        outcome=np.concatenate(outcomes, axis=1)[:, order],
        true_counts=np.array(true_counts, np.int64).reshape(counts_shape),
    )


def _choose_detections(found: Instances, category_ids: Int64Array) -> tuple[Int64Array, Int64Array]:
    """The best detections of each thing in an image by index, and their columns; best first."""
    order = np.lexsort((-found.scores, found.category_ids))
    order = order[np.isin(found.category_ids[order], category_ids)]
    columns = np.searchsorted(category_ids, found.category_ids[order])
    rank = np.arange(len(order)) - np.searchsorted(columns, columns)
    return order[rank < MOST_DETECTIONS], columns[rank < MOST_DETECTIONS]


def _match_image(
    truth: PanopticPrediction,
    found: Instances,
    order: Int64Array,
    columns: Int64Array,
    category_ids: Int64Array,
) -> tuple[Int8Array, Int64Array]:
    """Outcome (4, D, 10) of an image's chosen detections, and true instances (4, K)."""
    things = [s for s in truth.segments_info if s.category_id in category_ids]
    true_columns = np.searchsorted(category_ids, [s.category_id for s in things])
    true_areas = np.array([s.area for s in things], dtype=np.int64)
    iscrowd = np.array([s.iscrowd for s in things], dtype=np.bool_)
    masks = mask_runs(found, order)
    segment_ids = np.array([s.segment_id for s in things], dtype=np.int32)
    shared = count_in_segments(masks, truth.panoptic_map, segment_ids)
    areas = masks.areas
    # What is on a crowd may be a part of it.
    union = areas[:, np.newaxis] + np.where(iscrowd, 0, true_areas - shared)
    iou = np.divide(shared, union, out=np.zeros(shared.shape), where=shared > 0)
    iou[columns[:, np.newaxis] != true_columns] = -1
    counted = ~(iscrowd | _is_outside(true_areas))
    outcome = _match(iou, iscrowd, counted, _is_outside(areas))
    length = len(category_ids)
    true_counts = [np.bincount(true_columns[of_size], minlength=length) for of_size in counted]
    return outcome, np.array(true_counts)


def _is_outside(areas: Int64Array) -> BoolArray:
    """Which areas (N,) in pixels are of another size: (4, N)."""
    return (areas < SIZES[:, :1]) | (areas > SIZES[:, 1:])


@jit
def _match(
    iou: Float64Array, iscrowd: BoolArray, counted: BoolArray, is_outside: BoolArray
) -> Int8Array:
    """Give each detection, the best first, the free true instance that it covers best.

    Those that do not count, as crowds, are taken only where none that does is free.

    Args:
        iou: float64 (D, G), below 0 where the categories differ.
        iscrowd: bool (G,); crowds are never taken up.
        counted: bool (4, G), by size.
        is_outside: bool (4, D), of another size.

    Returns:
        int8 (4, D, 10), as in `Detections`.
    """
    outcome = np.empty((len(counted), len(iou), len(IOU_THRESHOLDS)), np.int8)
    for size in range(len(counted)):
        for t in range(len(IOU_THRESHOLDS)):
            is_free = np.ones(len(iscrowd), np.bool_)
            for d in range(len(iou)):
                best, match = IOU_THRESHOLDS[t], -1
                for counts in (True, False):
                    if match >= 0:
                        break
                    for g in range(len(iscrowd)):
                        if counted[size, g] == counts and is_free[g] and iou[d, g] >= best:
                            best, match = iou[d, g], g
                if match >= 0:
                    is_free[match] = iscrowd[match]
                    outcome[size, d, t] = RIGHT if counted[size, match] else IGNORED
                else:
                    outcome[size, d, t] = IGNORED if is_outside[size, d] else WRONG
    return outcome


@jit
def _trace(
    first: Int64Array,
    images: Int64Array,
    outcome: Int8Array,
    true_counts: Float64Array,
    weights: Float64Array,
    curves: Float64Array,
) -> Float64Array:
    """AP (K,).

    Curves (K or 0, 10, 101), unless there are none of them, become the largest precision at each
    recall level or beyond, for each thing that has true instances.
    """
    thresholds, levels = outcome.shape[1], len(RECALL_LEVELS)
    ap = np.full(len(true_counts), np.nan)
    recall, precision = np.empty(len(images)), np.empty(len(images))
    for k in range(len(ap)):
        if true_counts[k] == 0:
            continue
        if len(curves):
            curves[k] = 0
        total = 0.0
        for t in range(thresholds):
            right, wrong, count = 0.0, 0.0, 0
            for d in range(first[k], first[k + 1]):
                weight = weights[images[d]]
                if weight == 0 or outcome[d, t] == IGNORED:
                    continue
                if outcome[d, t] == RIGHT:
                    right += weight
                else:
                    wrong += weight
                recall[count], precision[count] = right / true_counts[k], right / (right + wrong)
                count += 1
            for d in range(count - 2, -1, -1):
                precision[d] = max(precision[d], precision[d + 1])
            d = 0
            for level in range(levels):
                while d < count and recall[d] < RECALL_LEVELS[level]:
                    d += 1
                if d == count:
                    break
                if len(curves):
                    curves[k, t, level] = precision[d]
                total += precision[d]
        ap[k] = total / (thresholds * levels)
    return ap
