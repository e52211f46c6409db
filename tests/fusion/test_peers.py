"""The paper's rule as detectron2 and mmdetection have it, and where they differ from it."""

import numpy as np
import pytest
from factories import TOY_SPACE, full_masks, rle_masks, semantic_prediction
from hypothesis import given
from hypothesis import strategies as st
from reference.peers import fuse_as_detectron2, fuse_as_mmdetection

from fuse.fusion import fuse_by_overlap
from fuse.types import Instances, SemanticPrediction

THINGS, STUFF = list(TOY_SPACE.thing_ids), list(TOY_SPACE.stuff_ids)
workload = {
    "seed": st.integers(0, 2**32),
    "size": st.tuples(st.integers(1, 14), st.integers(1, 14)),
    "count": st.integers(0, 12),
    "overlap_threshold": st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9]),
    "stuff_area": st.sampled_from([0, 1, 4, 9, 4096]),
}


def draw_workload(seed, size, count, lowest_score=0.0):
    """Masks, scores without ties, category ids, and stuff labels with 0 for things."""
    rng = np.random.default_rng(seed)
    masks = full_masks(rng, size, count)
    scores = lowest_score + (1 - lowest_score) * rng.permutation(count) / max(count, 1)
    labels = semantic_prediction(rng, size).label_map
    return masks, scores, rng.choice(THINGS, count), np.where(np.isin(labels, STUFF), labels, 0)


def fuse(masks, scores, category_ids, labels, **thresholds):
    instances = Instances(
        boxes=np.zeros((len(masks), 4), np.float32),
        scores=np.asarray(scores, np.float64),
        category_ids=np.asarray(category_ids, np.int32),
        masks=rle_masks(masks),
        size=labels.shape,
    )
    semantic = SemanticPrediction(labels.astype(np.int32))
    return fuse_by_overlap(semantic, instances, TOY_SPACE, **thresholds)


@given(**workload, score_threshold=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_detectron2(seed, size, count, overlap_threshold, stuff_area, score_threshold):
    masks, scores, category_ids, labels = draw_workload(seed, size, count)
    fused = fuse(
        *(masks, scores, category_ids, labels),
        overlap_threshold=overlap_threshold,
        stuff_area=stuff_area,
        score_threshold=score_threshold,
    )
    expected = fuse_as_detectron2(
        masks, scores, labels, overlap_threshold, stuff_area, score_threshold
    )
    # Where a stuff class has no free pixel it gives an empty segment its number.
    _, expected = np.unique(expected, return_inverse=True)
    _, found = np.unique(fused.panoptic_map, return_inverse=True)
    assert (found.reshape(size) == expected.reshape(size)).all()


@given(**workload)
def test_mmdetection(seed, size, count, overlap_threshold, stuff_area):
    masks, scores, category_ids, labels = draw_workload(seed, size, count, lowest_score=0.5)
    fused = fuse(
        *(masks, scores, category_ids, labels),
        overlap_threshold=overlap_threshold,
        stuff_area=stuff_area,
    )
    categories, numbers = fuse_as_mmdetection(
        masks, scores, category_ids, labels, overlap_threshold, stuff_area
    )
    own = np.zeros(1 + len(fused.segments_info), int)
    own[1:] = [segment.category_id for segment in fused.segments_info]
    assert (own[fused.panoptic_map] == categories).all()
    is_thing = np.isin(categories, THINGS)
    assert (fused.panoptic_map[is_thing] == numbers[is_thing]).all()


def test_detectron2_keeps_a_hidden_mask_at_an_overlap_of_one():
    masks = np.ones((2, 1, 4), bool)
    labels = np.full((1, 4), STUFF[0])
    expected = fuse_as_detectron2(masks, np.array([0.9, 0.8]), labels, 1.0, 0, 0.5)
    fused = fuse(masks, [0.9, 0.8], THINGS[:1] * 2, labels, overlap_threshold=1.0)
    assert (fused.panoptic_map == expected).all()
    assert len(fused.segments_info) == 1  # theirs lists the second one too, without a pixel


@pytest.mark.parametrize(("score", "is_kept"), [(0.5, True), (0.49, False)])
def test_a_score_at_the_threshold_counts_as_in_coco_and_detectron2(score, is_kept):
    masks, labels = np.ones((1, 1, 4), bool), np.zeros((1, 4), int)
    fused = fuse(masks, [score], THINGS[:1], labels)
    assert fused.panoptic_map.any() == is_kept
    assert fuse_as_detectron2(masks, np.array([score]), labels, 0.5, 0, 0.5).any() == is_kept
