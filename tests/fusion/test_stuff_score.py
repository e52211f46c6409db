"""Stuff that the semantic net is not sure of, against means taken pixel by pixel."""

import numpy as np
import pytest
import torch
from factories import TOY_SPACE, box_instances, target_logits
from hypothesis import given
from hypothesis import strategies as st

from fuse.errors import ConfigError
from fuse.fusion import FusionConfig, fuse_image
from fuse.fusion.class_logits import REACH
from fuse.fusion.stuff_score import drop_by_stuff_score, find_probabilities, score_stuff
from fuse.inference.prediction import ImagePrediction
from fuse.types import SemanticLogits, SemanticPrediction, TargetLogits

CAT, SKY, DOG, GRASS, ROAD = (category.category_id for category in TOY_SPACE.categories)
CLASSES = [0, SKY, GRASS, ROAD]


def fuse_noise(seed, size, cells, stuff_score=0.0, classes=CLASSES):
    """The map of random logits and instances, with what it was fused from."""
    rng = np.random.default_rng(seed)
    target = target_logits(rng, size, cells, classes)
    kept = ImagePrediction(target, box_instances(rng, size, 3))
    config = FusionConfig(score_threshold=0.3, stuff_area=0, stuff_score=stuff_score)
    semantic = kept.label()
    return fuse_image(semantic, kept.instances, TOY_SPACE, config, {}), semantic


def mean_slowly(prediction, target, segment):
    """The mean probability of a segment's class, with torch's softmax and nearest cell."""
    logits = torch.from_numpy(target.logits.logits.astype(np.float32))
    near = torch.where(logits > logits.amax(0) - REACH, logits, -torch.inf)
    plane = near.softmax(0)[target.category_ids.tolist().index(segment.category_id)].numpy()
    (scale_y, scale_x), (offset_y, offset_x) = target.logits.scale, target.logits.offset
    values = []
    for y, x in np.argwhere(prediction.panoptic_map == segment.segment_id):
        row, column = y * scale_y + offset_y, x * scale_x + offset_x
        row, column = np.clip([row, column], 0, np.array(plane.shape) - 1)
        # Of two cells that are as near the first counts; rounded, as 0.4 * 2 - 0.3 is not 0.5.
        nearest = [int(np.ceil(round(place - 0.5, 6))) for place in (row, column)]
        values.append(plane[*nearest])
    return np.mean(values)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    cells=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_a_segment_scores_the_mean_over_its_pixels(seed, size, cells):
    fused, semantic = fuse_noise(seed, size, cells)
    scores = score_stuff(fused, semantic.logits)
    stuff = [s for s in fused.segments_info if s.score is None]
    assert scores.keys() == {s.segment_id for s in stuff}
    for segment in stuff:
        expected = mean_slowly(fused, semantic.logits, segment)
        assert scores[segment.segment_id] == pytest.approx(expected, abs=1e-6)


@given(seed=st.integers(0, 2**32 - 1), stuff_score=st.sampled_from([0.3, 0.6, 0.9, 1.0]))
def test_what_scores_less_becomes_void_and_ids_close_up(seed, stuff_score):
    before, semantic = fuse_noise(seed, (9, 11), (3, 4))
    after, _ = fuse_noise(seed, (9, 11), (3, 4), stuff_score)
    scores = score_stuff(before, semantic.logits)
    kept = [s for s in before.segments_info if scores.get(s.segment_id, 1) >= stuff_score]
    assert [s.segment_id for s in after.segments_info] == list(range(1, len(kept) + 1))
    for new, old in zip(after.segments_info, kept, strict=True):
        assert (new.category_id, new.area, new.bbox, new.score) == (
            *(old.category_id, old.area, old.bbox, old.score),
        )
        np.testing.assert_array_equal(
            after.panoptic_map == new.segment_id, before.panoptic_map == old.segment_id
        )
    assert (after.panoptic_map > 0).sum() == sum(s.area for s in kept)


def test_a_net_without_logits_is_sure():
    fused, semantic = fuse_noise(1, (8, 8), (2, 2))
    assert drop_by_stuff_score(fused, SemanticPrediction(semantic.label_map), 1.0) is fused
    assert drop_by_stuff_score(fused, semantic, 0.0) is fused


def test_probabilities_are_those_of_the_classes_near_the_best():
    logits = np.array([5, 4, 0.99, -60], dtype=np.float16).reshape(4, 1, 1)
    target = TargetLogits(SemanticLogits.half_pixel(logits, (1, 1)), np.int32(CLASSES))
    near = 1 / (1 + np.exp(-1))
    expected = [near, 1 - near, 0, 0]
    np.testing.assert_allclose(find_probabilities(target).ravel(), expected, atol=1e-6)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan"), True, "much"])
def test_a_score_lies_between_0_and_1(wrong):
    with pytest.raises(ConfigError, match=r"fusion\.stuff_score must"):
        FusionConfig(stuff_score=wrong)
