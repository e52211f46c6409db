"""Which of several categories an instance is, where its own net cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fuse.ops.masks import mask_runs
from fuse.types import Float32Array, Instances, Int32Array, SemanticPrediction
from fuse.types.arrays import check_same_size

BoolArray = npt.NDArray[np.bool_]

# How a rider sits over what is ridden, in widths and heights of the latter's box. Chosen on 76
# pairs of a person and a (motor)cycle with overlapping boxes in images of COCO, judged by eye:
# of 37 riders 35 are found, of 39 others 2 are taken for riders (both mend a motorcycle).
CENTER_X = (0.2, 0.8)  # the rider's centre: a passer-by behind a wheel is at the edge
HEAD_Y = -0.2  # the rider's top is at least this far above: others lean into the image behind
FOOT_Y = (0.3, 1.1)  # the rider's bottom: pedals to ground; a passer-by in front stands lower


def choose_by_evidence(
    instances: Instances, semantic: SemanticPrediction, choices: Mapping[int, Sequence[int]]
) -> Instances:
    """Give instances the category that the semantic net sees on their pixels.

    A detector of COCO's people cannot tell a rider from a pedestrian, a semantic net of
    Cityscapes can. Of the category an instance has and those it may have instead, the one
    that most pixels of its mask carry wins; equal numbers, and so no evidence at all, leave
    it as it is.

    Args:
        instances: of an image, in the target space.
        semantic: of the same image, in the target space.
        choices: by category_id, the category ids that such an instance may have instead
            (`fuse.labels.LabelMap.choices`).

    Raises:
        ValueError: the image sizes differ.
    """
    check_same_size("the semantic map", semantic.size, "that of the instances", instances.size)
    unclear = np.flatnonzero(np.isin(instances.category_ids, list(choices)))
    if not len(unclear):
        return instances
    masks = mask_runs(instances, unclear)
    category_ids = instances.category_ids.copy()
    for position, index in enumerate(unclear.tolist()):
        runs = masks.runs[masks.offsets[position] : masks.offsets[position + 1]]
        labels = _labels_below(runs, semantic.label_map)
        own = int(category_ids[index])
        # max keeps the first of equals, so the own category comes first.
        category_ids[index] = max(
            (own, *choices[own]), key=lambda category_id: np.count_nonzero(labels == category_id)
        )
    return instances.select(np.ones(len(instances), dtype=np.bool_), category_ids)


def choose_by_overlap(
    instances: Instances,
    choices: Mapping[int, Sequence[int]],
    partners: Mapping[int, Sequence[int]],
    *,
    score_threshold: float,
) -> Instances:
    """Give instances the category that belongs to what they sit over: a rider, to a bicycle.

    An instance that may be something else becomes that where it sits over an instance of one
    of the partners of that category; of several such instances the one with the highest score
    decides. Only boxes are looked at, for a leg hides half a bicycle's mask.

    Args:
        instances: of an image, in the target space.
        choices: as in `choose_by_evidence`.
        partners: by category_id, the categories that it goes with
            (`fuse.labels.load_partners`).
        score_threshold: instances that score less are no partners; the rule drops them.
    """
    unclear = np.flatnonzero(np.isin(instances.category_ids, list(choices)))
    of_partners = np.isin(instances.category_ids, [i for ids in partners.values() for i in ids])
    found = np.flatnonzero(of_partners & (instances.scores >= score_threshold))
    if not len(unclear) or not len(found):
        return instances
    found = found[np.argsort(-instances.scores[found], kind="stable")]
    category_ids = instances.category_ids.copy()
    for index in unclear.tolist():
        below = found[sits_over(instances.boxes[index], instances.boxes[found]) & (found != index)]
        fitting = (
            category_id
            for partner_id in instances.category_ids[below].tolist()
            for category_id in choices[int(instances.category_ids[index])]
            if partner_id in partners.get(category_id, ())
        )
        category_ids[index] = next(fitting, category_ids[index])
    return instances.select(np.ones(len(instances), dtype=np.bool_), category_ids)


def sits_over(box: Float32Array, partners: Float32Array) -> BoolArray:
    """Whether a box lies as a rider's does over each of the partners': bool (P,).

    Args:
        box: float32 (4,), xyxy.
        partners: float32 (P, 4), xyxy; over one without area nothing sits.

    >>> bicycle = np.array([[0, 50, 100, 110]], dtype=np.float32)
    >>> rider, passer_by = np.array([[30, 0, 70, 100], [85, 0, 125, 100]], dtype=np.float32)
    >>> sits_over(rider, bicycle).tolist(), sits_over(passer_by, bicycle).tolist()
    ([True], [False])
    """
    left, top, right, bottom = partners.astype(np.float64).T
    width, height = right - left, bottom - top
    x_first, head, x_last, foot = box.astype(np.float64)
    # In products, for a box may have no area.
    center = (x_first + x_last) / 2 - left
    sits: BoolArray = (
        (width > 0)
        & (height > 0)
        & (center >= CENTER_X[0] * width)
        & (center <= CENTER_X[1] * width)
        & (head - top <= HEAD_Y * height)
        & (foot - top >= FOOT_Y[0] * height)
        & (foot - top <= FOOT_Y[1] * height)
    )
    return sits


def _labels_below(runs: Int32Array, label_map: Int32Array) -> Int32Array:
    """The label of each pixel of a mask: int32 (pixels,)."""
    lengths = runs[:, 2] - runs[:, 1]
    first = runs[:, 0].astype(np.int64) * label_map.shape[1] + runs[:, 1]
    # Pixel number within the mask, less that of its run's first pixel.
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    labels: Int32Array = label_map.ravel()[np.repeat(first, lengths) + within]
    return labels
