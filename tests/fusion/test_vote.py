"""The rule ``vote``: classes by the semantic net's majority, then the paper's rule."""

from dataclasses import replace

import numpy as np
import pytest
from factories import TOY_SPACE, box_instances, rle_instances, rle_masks, semantic_prediction
from hypothesis import given
from hypothesis import strategies as st
from reference.masks import full_frame_masks

from fuse.fusion import fuse_by_overlap
from fuse.fusion.vote import fuse_by_vote
from fuse.types import Category, Instances, LabelSpace, SemanticPrediction

CAT, SKY, DOG, GRASS, ROAD = (category.category_id for category in TOY_SPACE.categories)
ZOO = LabelSpace(
    "zoo",
    (
        Category(1, "cat", True, "pet"),
        Category(2, "dog", True, "pet"),
        Category(3, "car", True, "vehicle"),
        Category(4, "sky", False, "pet"),
    ),
)


@pytest.mark.parametrize(
    ("labels", "vote_among", "expected"),
    [
        ([2, 2, 2, 1], "things", 2),
        ([2, 2, 1, 1], "things", 1),  # half is no majority
        ([3, 3, 3, 1], "things", 3),
        ([3, 3, 3, 1], "supercategory", 1),
        ([2, 2, 2, 1], "supercategory", 2),
        ([4, 4, 4, 4], "things", 1),  # stuff does not count
        ([4, 4, 4, 4], "supercategory", 1),
        ([0, 0, 0, 2], "things", 1),
        ([2, 2, 3, 3], "things", 1),
    ],
)
def test_more_than_half_of_the_pixels_decide(labels, vote_among, expected):
    cat = Instances(
        np.zeros((1, 4), np.float32),
        np.array([0.9]),
        np.array([1], np.int32),
        rle_masks(np.array([[[True] * 4 + [False] * 2]])),
        (1, 6),
    )
    semantic = SemanticPrediction(np.array([[*labels, 2, 2]], np.int32))
    fused = fuse_by_vote(semantic, cat, ZOO, vote_among=vote_among)
    assert [s.category_id for s in fused.segments_info] == [expected]


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    count=st.integers(0, 6),
    make=st.sampled_from([rle_instances, box_instances]),
)
def test_equals_counting_in_full_masks(seed, size, count, make):
    rng = np.random.default_rng(seed)
    semantic, instances = semantic_prediction(rng, size), make(rng, size, count)
    category_ids = instances.category_ids.copy()
    for index, mask in enumerate(full_frame_masks(instances)):
        for thing in TOY_SPACE.thing_ids:
            if 2 * (semantic.label_map[mask] == thing).sum() > mask.sum():
                category_ids[index] = thing
    voted = replace(instances, category_ids=category_ids)
    fused = fuse_by_vote(semantic, instances, TOY_SPACE, stuff_area=4)
    expected = fuse_by_overlap(semantic, voted, TOY_SPACE, stuff_area=4)
    assert (fused.panoptic_map == expected.panoptic_map).all()
    assert fused.segments_info == expected.segments_info
