"""What masks share, against full-frame masks."""

import numpy as np
from factories import TOY_SPACE, box_instances, rle_instances, semantic_prediction
from hypothesis import given
from hypothesis import strategies as st
from reference.masks import full_frame_masks

from fuse.ops.mask_overlaps import count_shared, majority_labels
from fuse.ops.masks import mask_runs

SIZES = st.tuples(st.integers(1, 14), st.integers(1, 14))


@given(st.integers(0, 2**32 - 1), SIZES, st.integers(0, 6), st.booleans())
def test_counts_equal_full_frames(seed, size, count, soft):
    rng = np.random.default_rng(seed)
    labels = semantic_prediction(rng, size).label_map
    instances = (box_instances if soft else rle_instances)(rng, size, count)
    order = rng.permutation(count)
    category_ids = instances.category_ids[order]
    shared, own = count_shared(mask_runs(instances, order), category_ids, labels)
    masks = full_frame_masks(instances)[order]
    for i in range(count):
        for j in range(count):
            both = masks[i] & masks[j]
            assert shared[i, j] == both.sum()
            assert own[i, j] == (labels[both] == category_ids[i]).sum()


@given(st.integers(0, 2**32 - 1), SIZES, st.integers(0, 6), st.booleans())
def test_majorities_equal_full_frames(seed, size, count, soft):
    rng = np.random.default_rng(seed)
    labels = semantic_prediction(rng, size).label_map
    instances = (box_instances if soft else rle_instances)(rng, size, count)
    found = majority_labels(mask_runs(instances, np.arange(count)), labels)
    for mask, label in zip(full_frame_masks(instances), found.tolist(), strict=True):
        majorities = [i for i in TOY_SPACE.by_id if 2 * (labels[mask] == i).sum() > mask.sum()]
        assert label == (majorities[0] if majorities else 0)
