"""Errors and oracle swaps: with all fixed any two nets give the truth, and one by one."""

from dataclasses import replace

import numpy as np
import pytest
from factories import (
    TOY_SPACE,
    box_instances,
    panoptic_truth,
    rle_instances,
    rle_masks,
    semantic_prediction,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from panoptic_maps import panoptic

from fuse.analysis.diagnose.error_types import (
    ERROR_TYPES,
    SUBTYPES,
    Vocabulary,
    classify_errors,
)
from fuse.analysis.diagnose.matching import (
    TrueSegments,
    count_occluding_pixels,
    crop_masks,
    match_instances,
    measure_error_depths,
    order_by_occlusion,
)
from fuse.analysis.diagnose.oracle_swaps import fuse_fixed, swap
from fuse.fusion import FusionConfig, fuse_image
from fuse.inference.prediction import ImagePrediction
from fuse.labels import LabelMap, map_panoptic
from fuse.metrics.matching import match_segments
from fuse.ops.masks import paste_mask
from fuse.types import Instances, SemanticPrediction

CAT, DOG, SKY = 3, 8, 5
SIZE = (24, 30)
EVERYTHING = Vocabulary(frozenset(TOY_SPACE.thing_ids), frozenset(TOY_SPACE.by_id))


def join_stuff(truth):
    """The same truth with one segment per stuff class, as in every dataset."""
    same = LabelMap(TOY_SPACE, TOY_SPACE, {i: i for i in TOY_SPACE.by_id})
    return map_panoptic(truth, same)


def classify_random(seed, vocabulary=EVERYTHING, make_instances=box_instances):
    """The errors of two nets that know nothing of a random truth."""
    fusion = FusionConfig(stuff_area=30)
    rng = np.random.default_rng(seed)
    truth = join_stuff(panoptic_truth(rng, SIZE, segments=10, block=6))
    semantic = semantic_prediction(rng, SIZE)
    instances = make_instances(rng, SIZE, 8)
    errors = classify_errors(
        ImagePrediction(semantic, instances),
        truth,
        TOY_SPACE,
        vocabulary,
        score_threshold=fusion.score_threshold,
        stuff_pixels=fusion.stuff_area,
    )
    return errors, truth, semantic, instances, fusion


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([box_instances, rle_instances]),
    st.sampled_from([EVERYTHING, Vocabulary(frozenset([CAT]), frozenset([SKY]))]),
)
def test_with_every_error_fixed_the_rule_gives_the_truth(seed, make_instances, vocabulary):
    errors, truth, _, _, fusion = classify_random(seed, vocabulary, make_instances)
    stats = match_segments(truth, fuse_fixed(errors, SUBTYPES, truth, TOY_SPACE, fusion))
    assert (stats.fp.sum(), stats.fn.sum()) == (0, 0)
    assert stats.iou_sum.sum() == pytest.approx(stats.tp.sum())


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_with_no_error_fixed_nothing_changes(seed):
    errors, truth, semantic, instances, fusion = classify_random(seed)
    scores, labels = instances.scores.copy(), semantic.label_map.copy()
    ours = fuse_fixed(errors, (), truth, TOY_SPACE, fusion)
    theirs = fuse_image(semantic, instances, TOY_SPACE, fusion, {})
    np.testing.assert_array_equal(ours.panoptic_map, theirs.panoptic_map)
    assert ours.segments_info == theirs.segments_info
    swap(errors, SUBTYPES)
    np.testing.assert_array_equal(instances.scores, scores)
    np.testing.assert_array_equal(semantic.label_map, labels)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_stuff_that_is_too_small_is_listed_where_keeping_it_changes_anything(seed):
    errors, truth, _, _, fusion = classify_random(seed)
    assume("void/too-small" not in errors.subtypes)
    listed = replace(errors, subtypes=errors.subtypes | {"void/too-small"})
    before, after = (
        match_segments(truth, fuse_fixed(e, ["void/too-small"], truth, TOY_SPACE, fusion))
        for e in (errors, listed)
    )
    assert before.iou_sum.tolist() == after.iou_sum.tolist()
    assert before.fp.tolist() == after.fp.tolist()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_each_swap_touches_its_own_net_alone(seed):
    errors, _, semantic, _, _ = classify_random(seed)
    untouched = swap(errors, ()).instances
    for subtype in errors.subtypes:
        fixed = swap(errors, [subtype])
        is_of_labels = subtype.startswith(("stuff-", "void/", "label-map"))
        if not is_of_labels:
            assert fixed.semantic.label_map is semantic.label_map, subtype
        elif subtype != "label-map":
            assert fixed.instances.category_ids.tolist() == untouched.category_ids.tolist()


def instances_of(masks, category_ids, scores):
    masks = np.array(masks, dtype=bool)
    return Instances(
        np.zeros((len(masks), 4), np.float32),
        np.array(scores, dtype=np.float64),
        np.array(category_ids, dtype=np.int32),
        rle_masks(masks),
        masks.shape[1:],
    )


def classify(semantic, instances, truth, vocabulary=EVERYTHING):
    prediction = ImagePrediction(semantic, instances)
    return classify_errors(
        prediction, truth, TOY_SPACE, vocabulary, score_threshold=0.5, stuff_pixels=1
    )


def test_matches_prefer_the_same_class_and_then_the_larger_iou():
    truth = TrueSegments.of(
        panoptic([[1, 1, 1, 1, 2, 2, 2, 2, 0, 9]], {1: CAT, 2: DOG, 9: SKY}), TOY_SPACE
    )
    masks = [
        [[1, 1, 1, 1, 0, 0, 0, 0, 1, 0]],  # the cat, and void, under the name of dog
        [[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]],  # the cat, a little worse, as cat
        [[0, 0, 0, 0, 1, 0, 0, 0, 0, 0]],  # a bit of the dog as cat
        [[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],  # stuff
    ]
    found = instances_of(masks, [DOG, CAT, CAT, CAT], [0.9, 0.8, 0.7, 0.6])
    assert match_instances(crop_masks(found), found.category_ids, truth).tolist() == [0, 1, 2, 0]


def test_which_object_is_in_front_is_told_by_the_pixels_of_both_masks():
    truth = TrueSegments.of(panoptic([[1, 1, 1, 2, 2, 1, 1, 0]], {1: CAT, 2: DOG}), TOY_SPACE)
    whole_cat, dog = [[1, 1, 1, 1, 1, 1, 1, 0]], [[0, 0, 0, 1, 1, 0, 0, 0]]
    crops = crop_masks(instances_of([whole_cat, dog], [CAT, DOG], [0.9, 0.8]))
    matches = np.array([1, 2], dtype=np.int32)
    border = np.zeros((1, 8), dtype=bool)
    assert count_occluding_pixels(crops, matches, truth, border).tolist() == [[0, 0], [2, 0]]
    border[0, 3] = True  # the other pixel counts alone
    assert count_occluding_pixels(crops, matches, truth, border).tolist() == [[0, 0], [1, 0]]
    assert count_occluding_pixels(crops, matches, truth, ~np.zeros_like(border)).tolist() == [
        [0, 0],
        [2, 0],
    ]


def test_a_ring_of_occlusions_is_cut_where_the_fewest_pixels_are_against_it():
    ring = np.array([[0, 9, 0], [0, 0, 9], [2, 0, 0]])
    assert order_by_occlusion(ring) == [0, 1, 2]
    assert order_by_occlusion(np.zeros((3, 3), dtype=int)) == [0, 1, 2]


def test_how_far_a_mask_is_wrong_is_told_by_segment():
    truth = TrueSegments.of(
        panoptic([[5, 5, 1, 1, 1, 1, 2, 2, 2, 0]] * 3, {1: CAT, 2: DOG, 5: SKY}), TOY_SPACE
    )
    mask = [[0, 1, 0, 0, 0, 1, 1, 1, 0, 0]] * 3
    (crop,) = crop_masks(instances_of([mask], [CAT], [0.9]))
    # no void, the cat without its first three columns, two columns of the dog, one of the sky
    assert measure_error_depths(crop, 1, truth).tolist() == [0, 2, 2, 1]


@pytest.mark.parametrize(
    ("left", "right", "is_hidden"),
    [
        *((3, 3, False), (3, 6, True), (9, 6, False), (0, 2, False), (0, 12, True)),
        *((9, 10, False), (9, 11, True)),  # over ten and eleven twelfths of the dog
    ],
)
def test_a_mask_that_spills_as_far_elsewhere_hides_nothing(left, right, is_hidden):
    """A cat between sky and dog; its mask spills over both."""
    truth = panoptic([[5] * 10 + [1] * 12 + [2] * 12] * 12, {1: CAT, 2: DOG, 5: SKY})
    columns = np.arange(34)
    cat = np.tile((10 - left <= columns) & (columns < 22 + right), (12, 1))
    dog = np.tile(columns >= 22, (12, 1))
    labels = SemanticPrediction(np.full((12, 34), SKY, dtype=np.int32))
    errors = classify(labels, instances_of([cat, dog], [CAT, DOG], [0.9, 0.8]), truth)
    assert errors.occludes.tolist() == [[False, False], [is_hidden, False]]
    fixed = swap(errors, ERROR_TYPES["order" if is_hidden else "masks"])
    assert paste_mask(fixed.instances, 0)[0].sum() == 12 * (12 + left * is_hidden)


def test_a_right_mask_still_covers_what_is_in_front_of_it():
    """Which of two masks gets the pixels of both is an error of order and not of the mask."""
    truth = panoptic([[1, 1, 1, 1, 1, 2, 2, 1, 5, 5]], {1: CAT, 2: DOG, 5: SKY})
    found = instances_of(
        [[[1, 1, 1, 1, 1, 1, 1, 0, 1, 0]], [[0, 0, 0, 0, 0, 1, 1, 0, 0, 0]]],
        [CAT, DOG],
        [0.9, 0.8],
    )
    labels = SemanticPrediction(np.array([[CAT] * 8 + [SKY] * 2], dtype=np.int32))
    errors = classify(labels, found, truth)
    assert errors.subtypes == {"order", "masks/2px"}

    def mask_of_cat(*subtypes):
        crop, (_, left) = paste_mask(swap(errors, subtypes).instances, 0)
        return [left + x for x in np.flatnonzero(crop[0]).tolist()]

    assert mask_of_cat("masks/2px") == [0, 1, 2, 3, 4, 5, 6, 7]
    assert mask_of_cat("order") == [0, 1, 2, 3, 4, 8]
    assert mask_of_cat("order", "masks/2px") == [0, 1, 2, 3, 4, 7]


@pytest.mark.parametrize(
    ("width", "subtype"), [(5, "missed/unseen"), (6, "missed/low-score")], ids=["half", "more"]
)
def test_a_detection_below_the_threshold_must_cover_more_than_half(width, subtype):
    truth = panoptic([[1] * 10], {1: CAT})
    low = instances_of([[[1] * width + [0] * (10 - width)]], [CAT], [0.1])
    errors = classify(SemanticPrediction(np.zeros((1, 10), dtype=np.int32)), low, truth)
    assert list(errors.missed.values()) == [subtype]


@pytest.mark.parametrize(
    ("labels", "vocabulary", "subtype"),
    [
        ([CAT, CAT, SKY, SKY], EVERYTHING, "false/other"),
        ([CAT, SKY, SKY, SKY], EVERYTHING, "false/no-context"),
        ([0, 0, SKY, SKY], EVERYTHING, "false/no-context"),
        ([0, 0, SKY, SKY], Vocabulary(frozenset([CAT]), frozenset([SKY])), "false/other"),
        ([DOG, DOG, DOG, SKY], EVERYTHING, "false/no-context"),
        ([CAT] * 19 + [SKY] * 20, EVERYTHING, "false/no-context"),  # just below half
    ],
)
def test_context_is_the_label_map_below_a_false_instance(labels, vocabulary, subtype):
    errors = classify(
        SemanticPrediction(np.array([labels], dtype=np.int32)),
        instances_of([[[1] * len(labels)]], [CAT], [0.9]),
        panoptic([[1] * len(labels)], {1: SKY}),
        vocabulary,
    )
    assert errors.detections == {0: subtype}
