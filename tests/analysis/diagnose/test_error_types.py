"""Mistakes and swaps: with all made right any two nets give the truth, and one by one."""

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

from fuse.analysis.diagnose.diagnose import fuse_answers
from fuse.analysis.diagnose.error_types import LINES, PARTS, Reach, study_image
from fuse.analysis.diagnose.matching import (
    TrueSegments,
    count_fronts,
    cut_masks,
    link_instances,
    measure_depths,
    order_by_occlusion,
)
from fuse.analysis.diagnose.oracle_swaps import swap
from fuse.inference.prediction import fuse_image
from fuse.inference.presets import FusionConfig
from fuse.labels import LabelMap, map_panoptic
from fuse.metrics.pq import match_segments
from fuse.ops.masks import paste_mask
from fuse.types import Instances, SemanticPrediction

CAT, DOG, SKY = 3, 8, 5
SIZE = (24, 30)
EVERYTHING = Reach(frozenset(TOY_SPACE.thing_ids), frozenset(TOY_SPACE.by_id))


def join_stuff(truth):
    """The same truth with one segment per stuff class, as in every dataset."""
    same = LabelMap(TOY_SPACE, TOY_SPACE, {i: i for i in TOY_SPACE.by_id})
    return map_panoptic(truth, same)


def study(seed, reach=EVERYTHING, make_instances=box_instances, fusion=None):
    """A random truth and two nets that know nothing of it."""
    fusion = fusion or FusionConfig(stuff_area=30)
    rng = np.random.default_rng(seed)
    truth = join_stuff(panoptic_truth(rng, SIZE, segments=10, block=6))
    semantic = semantic_prediction(rng, SIZE)
    instances = make_instances(rng, SIZE, 8)
    studied = study_image(
        semantic,
        instances,
        truth,
        TOY_SPACE,
        reach,
        score_threshold=fusion.score_threshold,
        stuff_pixels=fusion.stuff_area,
    )
    return studied, truth, semantic, instances, fusion


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([box_instances, rle_instances]),
    st.sampled_from([EVERYTHING, Reach(frozenset([CAT]), frozenset([SKY]))]),
)
def test_with_every_part_right_the_rule_gives_the_truth(seed, make_instances, reach):
    studied, truth, _, _, fusion = study(seed, reach, make_instances)
    stats = match_segments(truth, fuse_answers(swap(studied, PARTS), truth, TOY_SPACE, fusion))
    assert (stats.fp.sum(), stats.fn.sum()) == (0, 0)
    assert stats.iou_sum.sum() == pytest.approx(stats.tp.sum())


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_with_no_part_right_nothing_changes(seed):
    studied, truth, semantic, instances, fusion = study(seed)
    scores, labels = instances.scores.copy(), semantic.label_map.copy()
    ours = fuse_answers(swap(studied, ()), truth, TOY_SPACE, fusion)
    theirs = fuse_image(semantic, instances, TOY_SPACE, fusion, {})
    np.testing.assert_array_equal(ours.panoptic_map, theirs.panoptic_map)
    assert ours.segments_info == theirs.segments_info
    swap(studied, PARTS)
    np.testing.assert_array_equal(instances.scores, scores)
    np.testing.assert_array_equal(semantic.label_map, labels)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_parts_that_are_not_listed_would_change_nothing(seed):
    studied, truth, _, _, fusion = study(seed)
    assume("void/too-small" not in studied.parts)
    answers = swap(studied, ())
    every = type(answers)(answers.semantic, answers.instances, keeps_small=True)
    before, after = (
        match_segments(truth, fuse_answers(a, truth, TOY_SPACE, fusion)) for a in (answers, every)
    )
    assert before.iou_sum.tolist() == after.iou_sum.tolist()
    assert before.fp.tolist() == after.fp.tolist()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_each_part_touches_its_own_net_alone(seed):
    studied, _, semantic, _, _ = study(seed)
    untouched = swap(studied, ()).instances
    for part in studied.parts:
        answers = swap(studied, [part])
        is_label_part = part.startswith(("stuff-", "void/", "label-map"))
        if not is_label_part:
            assert answers.semantic.label_map is semantic.label_map, part
        elif part != "label-map":
            assert answers.instances.category_ids.tolist() == untouched.category_ids.tolist()


def instances_of(masks, category_ids, scores):
    masks = np.array(masks, dtype=bool)
    return Instances(
        np.zeros((len(masks), 4), np.float32),
        np.array(scores, dtype=np.float64),
        np.array(category_ids, dtype=np.int32),
        rle_masks(masks),
        masks.shape[1:],
    )


def test_links_prefer_the_same_class_and_then_the_larger_iou():
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
    assert link_instances(cut_masks(found), found.category_ids, truth).tolist() == [0, 1, 2, 0]


def test_who_is_in_front_is_told_by_the_pixels_that_both_claim():
    truth = TrueSegments.of(panoptic([[1, 1, 1, 2, 2, 1, 1, 0]], {1: CAT, 2: DOG}), TOY_SPACE)
    whole_cat, dog = [[1, 1, 1, 1, 1, 1, 1, 0]], [[0, 0, 0, 1, 1, 0, 0, 0]]
    windows = cut_masks(instances_of([whole_cat, dog], [CAT, DOG], [0.9, 0.8]))
    links = np.array([1, 2], dtype=np.int32)
    rim = np.zeros((1, 8), dtype=bool)
    assert count_fronts(windows, links, truth, rim).tolist() == [[0, 0], [2, 0]]
    rim[0, 3] = True  # the other pixel speaks alone
    assert count_fronts(windows, links, truth, rim).tolist() == [[0, 0], [1, 0]]
    assert count_fronts(windows, links, truth, ~np.zeros_like(rim)).tolist() == [[0, 0], [2, 0]]


def test_a_ring_of_occlusions_is_cut_where_the_least_speaks_against_it():
    ring = np.array([[0, 9, 0], [0, 0, 9], [2, 0, 0]])
    assert order_by_occlusion(ring) == [0, 1, 2]
    assert order_by_occlusion(np.zeros((3, 3), dtype=int)) == [0, 1, 2]


def test_how_far_a_mask_is_wrong_is_told_by_segment():
    truth = TrueSegments.of(
        panoptic([[5, 5, 1, 1, 1, 1, 2, 2, 2, 0]] * 3, {1: CAT, 2: DOG, 5: SKY}), TOY_SPACE
    )
    mask = [[0, 1, 0, 0, 0, 1, 1, 1, 0, 0]] * 3
    (window,) = cut_masks(instances_of([mask], [CAT], [0.9]))
    # no void, the cat without its first three columns, two columns of the dog, one of the sky
    assert measure_depths(window, 1, truth).tolist() == [0, 2, 2, 1]


@pytest.mark.parametrize(
    ("left", "right", "is_hidden"),
    [(3, 3, False), (3, 6, True), (9, 6, False), (0, 2, False), (0, 12, True)],
)
def test_a_mask_that_spills_as_far_elsewhere_hides_nothing(left, right, is_hidden):
    """A cat between sky and dog; its mask spills over both."""
    truth = panoptic([[5] * 10 + [1] * 12 + [2] * 12] * 12, {1: CAT, 2: DOG, 5: SKY})
    columns = np.arange(34)
    cat = np.tile((10 - left <= columns) & (columns < 22 + right), (12, 1))
    dog = np.tile(columns >= 22, (12, 1))
    labels = SemanticPrediction(np.full((12, 34), SKY, dtype=np.int32))
    studied = study_image(
        labels,
        instances_of([cat, dog], [CAT, DOG], [0.9, 0.8]),
        truth,
        *(TOY_SPACE, EVERYTHING),
        score_threshold=0.5,
        stuff_pixels=1,
    )
    assert studied.in_front.tolist() == [[False, False], [is_hidden, False]]
    answer = swap(studied, LINES["order"] if is_hidden else LINES["masks"])
    assert paste_mask(answer.instances, 0)[0].sum() == 12 * (12 + left * is_hidden)


def test_a_right_mask_still_claims_what_is_in_front_of_it():
    """Who gets the pixels that both claim is a matter of order and not of the mask."""
    truth = panoptic([[1, 1, 1, 1, 1, 2, 2, 1, 5, 5]], {1: CAT, 2: DOG, 5: SKY})
    found = instances_of(
        [[[1, 1, 1, 1, 1, 1, 1, 0, 1, 0]], [[0, 0, 0, 0, 0, 1, 1, 0, 0, 0]]],
        [CAT, DOG],
        [0.9, 0.8],
    )
    labels = SemanticPrediction(np.array([[CAT] * 8 + [SKY] * 2], dtype=np.int32))
    studied = study_image(
        labels, found, truth, TOY_SPACE, EVERYTHING, score_threshold=0.5, stuff_pixels=1
    )
    assert studied.parts == {"order", "masks/2px"}

    def mask_of_cat(*parts):
        crop, (_, left) = paste_mask(swap(studied, parts).instances, 0)
        return [left + x for x in np.flatnonzero(crop[0]).tolist()]

    assert mask_of_cat("masks/2px") == [0, 1, 2, 3, 4, 5, 6, 7]
    assert mask_of_cat("order") == [0, 1, 2, 3, 4, 8]
    assert mask_of_cat("order", "masks/2px") == [0, 1, 2, 3, 4, 7]


@pytest.mark.parametrize(
    ("labels", "reach", "part"),
    [
        ([CAT, CAT, SKY, SKY], EVERYTHING, "false/other"),
        ([CAT, SKY, SKY, SKY], EVERYTHING, "false/no-context"),
        ([0, 0, SKY, SKY], EVERYTHING, "false/no-context"),
        ([0, 0, SKY, SKY], Reach(frozenset([CAT]), frozenset([SKY])), "false/other"),
        ([DOG, DOG, DOG, SKY], EVERYTHING, "false/no-context"),
    ],
)
def test_context_is_what_the_semantic_net_says_of_a_false_instance(labels, reach, part):
    studied = study_image(
        SemanticPrediction(np.array([labels], dtype=np.int32)),
        instances_of([[[1, 1, 1, 1]]], [CAT], [0.9]),
        panoptic([[1, 1, 1, 1]], {1: SKY}),
        TOY_SPACE,
        reach,
        score_threshold=0.5,
        stuff_pixels=1,
    )
    assert studied.false_part == {0: part}
