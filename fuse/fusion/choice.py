"""Which of several categories an instance is, where its own net cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fuse.ops.masks import mask_runs
from fuse.types import Instances, Int32Array, SemanticPrediction


def choose_by_evidence(
    instances: Instances, semantic: SemanticPrediction, choices: Mapping[int, Sequence[int]]
) -> Instances:
    """Give instances the category that the semantic net sees on their pixels.

    A detector of COCO's people cannot tell a rider from a pedestrian, a semantic net of
    Cityscapes can. Of the category an instance has and those it may have instead, the one
    that most pixels of its mask carry wins; equal numbers, and so no evidence at all, leave
    it as it is.

    Args:
        instances: of a photo, in the target space.
        semantic: of the same photo, in the target space.
        choices: by category_id, the category ids that such an instance may have instead
            (`fuse.labels.LabelMap.choices`).

    Raises:
        ValueError: the photo sizes differ.
    """
    if semantic.size != instances.size:
        raise ValueError(f"the semantic map is {semantic.size}, the instances {instances.size}")
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


def _labels_below(runs: Int32Array, label_map: Int32Array) -> Int32Array:
    """The label of each pixel of a mask: int32 (pixels,)."""
    lengths = runs[:, 2] - runs[:, 1]
    first = runs[:, 0].astype(np.int64) * label_map.shape[1] + runs[:, 1]
    # Pixel number within the mask, less that of its run's first pixel.
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    labels: Int32Array = label_map.ravel()[np.repeat(first, lengths) + within]
    return labels
