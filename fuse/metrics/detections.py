"""Which detections are right, kept so that mask AP of any choice of images is quick to have."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fuse.metrics.instances import describe_detections
from fuse.ops._jit import jit
from fuse.types import Float32Array, Float64Array, Instances, LabelSpace, PanopticPrediction

Int64Array = npt.NDArray[np.int64]
Int8Array = npt.NDArray[np.int8]

# COCO's own, https://cocodataset.org/#detection-eval.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_LEVELS = np.linspace(0, 1, 101)
MOST_DETECTIONS = 100  # per image and category
RIGHT, WRONG, IGNORED = 1, 0, -1


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The detections of a set of images, by category and from the highest score down.

    Attributes:
        category_ids: int64 (K,), the things, ascending.
        first: int64 (K + 1,), where the detections of each category begin.
        images: int64 (D,), the place of each detection's image.
        outcome: int8 (D, 10), by IoU threshold RIGHT, WRONG or IGNORED (on a crowd).
        true_counts: int64 (P, K), true instances of each image, crowds left out.
    """

    category_ids: Int64Array
    first: Int64Array
    images: Int64Array
    outcome: Int8Array
    true_counts: Int64Array


def match_detections(
    images: Iterable[tuple[PanopticPrediction, Instances]], space: LabelSpace
) -> Detections:
    """Match detections with true instances as COCO does.

    Args:
        images: ground truth and detections of each image; read once.
        space: the label space of both.
    """
    described = describe_detections(images, space)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _index(described.truth)
        found = (
            truth.loadRes(described.detections)
            if described.detections
            else _index({**described.truth, "annotations": []})  # loadRes needs a first one
        )
        scorer = COCOeval(truth, found, "segm")
        scorer.params.areaRng, scorer.params.areaRngLbl = [[0, np.inf]], ["all"]
        scorer.params.maxDets = [MOST_DETECTIONS]
        scorer.evaluate()
    image_ids, category_ids = scorer.params.imgIds, np.array(scorer.params.catIds, dtype=np.int64)
    by_category = np.empty((len(category_ids), len(image_ids)), dtype=object)
    by_category.ravel()[:] = scorer.evalImgs
    true_counts = np.zeros((len(image_ids), len(category_ids)), dtype=np.int64)
    places, outcomes = [], []
    for column, of_category in enumerate(by_category):
        scores, image_of, outcome = [np.zeros(0)], [np.zeros(0, np.int64)], [_outcome(None)]
        for image, found in enumerate(of_category):
            if found is not None:
                true_counts[image, column] = np.count_nonzero(found["gtIgnore"] == 0)
                scores.append(np.array(found["dtScores"], dtype=np.float64))
                image_of.append(np.full(len(found["dtScores"]), image))
                outcome.append(_outcome(found))
        order = np.argsort(-np.concatenate(scores), kind="stable")
        places.append(np.concatenate(image_of)[order])
        outcomes.append(np.concatenate(outcome)[order])
    first = np.cumsum([0, *map(len, places)])
    none = np.zeros(0, np.int64)
    return Detections(
        category_ids,
        first,
        np.concatenate([none, *places]),
        np.concatenate([_outcome(None), *outcomes]),
        true_counts,
    )


def _index(dataset: dict[str, list[dict[str, Any]]]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _outcome(found: dict[str, npt.NDArray[np.float64]] | None) -> Int8Array:
    """int8 (detections, 10) of what COCOeval found in an image."""
    if found is None:
        return np.zeros((0, len(IOU_THRESHOLDS)), dtype=np.int8)
    is_right = np.where(found["dtMatches"] > 0, RIGHT, WRONG)
    return np.where(found["dtIgnore"], IGNORED, is_right).astype(np.int8).T


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
        _weigh(
            detections.first,
            detections.images,
            np.ascontiguousarray(detections.outcome),
            of_image @ detections.true_counts,
            of_image,
            row,
        )
    return ap


def mean_ap(detections: Detections, category_ids: Sequence[int]) -> float:
    """Mask AP over some of the things, in 0..1; NaN where there is no true instance of them."""
    everyone = np.ones((1, len(detections.true_counts)), dtype=np.float32)
    ap = weighted_ap(detections, everyone)[0, np.isin(detections.category_ids, category_ids)]
    return float(np.mean(ap[~np.isnan(ap)])) if not np.isnan(ap).all() else float("nan")


@jit
def _weigh(
    first: Int64Array,
    images: Int64Array,
    outcome: Int8Array,
    true_counts: Float64Array,
    weights: Float64Array,
    ap: Float64Array,
) -> None:
    """AP of each category for one set of images, into ap (K,)."""
    thresholds, levels = outcome.shape[1], len(RECALL_LEVELS)
    longest = 0
    for k in range(len(ap)):
        longest = max(longest, first[k + 1] - first[k])
    recall, precision = np.empty(longest), np.empty(longest)
    for k in range(len(ap)):
        if true_counts[k] == 0:
            ap[k] = np.nan
            continue
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
                total += precision[d]
        ap[k] = total / (thresholds * levels)
