"""The semantic net's say in what an instance is."""

from __future__ import annotations

import numpy as np

from fuse.fusion.checks import check_image
from fuse.fusion.overlap import fuse_by_overlap
from fuse.ops.mask_overlaps import majority_labels
from fuse.ops.masks import mask_runs
from fuse.types import Instances, LabelSpace, PanopticPrediction, SemanticPrediction

VOTE_AMONG = ("things", "supercategory")


def fuse_by_vote(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
    vote_among: str = "things",
) -> PanopticPrediction:
    """Fuse as `fuse_by_overlap` does, after the semantic net has voted on the classes.

    An instance becomes the thing class that more than half of its mask's pixels have in the
    semantic map, whatever lies on top of it. Without such a majority it stays what it was.
    UPSNet (Xiong et al. 2019, section 3) settles with the same majority whether a segment of
    its head is a thing; here it settles which one.

    Args:
        vote_among: ``things`` lets any thing class win, ``supercategory`` only those that the
            space files under the instance's own supercategory.
    """
    check_image(semantic, instances, space)
    chosen = instances.scores >= score_threshold
    indices = np.flatnonzero(chosen)
    majority = majority_labels(mask_runs(instances, indices), semantic.label_map)
    category_ids = instances.category_ids.copy()
    for index, voted in zip(indices.tolist(), majority.tolist(), strict=True):
        own = space.by_id[int(category_ids[index])]
        other = space.by_id.get(voted, own)
        if other.isthing and (vote_among == "things" or other.supercategory == own.supercategory):
            category_ids[index] = other.category_id
    return fuse_by_overlap(
        semantic,
        instances.select(chosen, category_ids),
        space,
        score_threshold=score_threshold,
        overlap_threshold=overlap_threshold,
        stuff_area=stuff_area,
    )
