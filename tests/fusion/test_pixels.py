"""Rules that settle each pixel: the papers' formulas in plain torch, and cases by hand."""

import numpy as np
import pytest
import torch
from factories import (
    TOY_SPACE,
    box_instances,
    rle_instances,
    rle_masks,
    semantic_prediction,
    target_logits,
)
from hypothesis import given
from hypothesis import strategies as st
from reference.pixels import (
    panoptic_logits,
    stretch_slowly,
    survivors_slowly,
    upsample_slowly,
)

from fuse.fusion import METHODS, compute_class_logits, fuse_by_overlap
from fuse.fusion.class_logits import REACH
from fuse.fusion.pixels import fuse_by_mask_argmax, fuse_by_upsnet_logits, list_survivors
from fuse.inference.prediction import ImagePrediction
from fuse.types import (
    BoxMasks,
    Instances,
    SemanticLogits,
    SemanticPrediction,
    TargetLogits,
)

CAT, SKY, DOG, GRASS, ROAD = (category.category_id for category in TOY_SPACE.categories)
SIZES = st.tuples(st.integers(2, 14), st.integers(2, 14))
MAKERS = st.sampled_from([rle_instances, box_instances])
NET_CLASSES = {
    "all": [0, *TOY_SPACE.by_id],
    "no class for void": list(TOY_SPACE.by_id),
    "stuff and one class for all things": [0, SKY, GRASS, ROAD],
    "stuff alone": [SKY, GRASS, ROAD],
    "things alone": [0, CAT, DOG],
}
ROUNDING = 1e-3  # of sums of a few logits in float32, with room


def label(target):
    """The label map of logits, with them."""
    nothing = rle_instances(np.random.default_rng(0), target.size, 0)
    return ImagePrediction(target, nothing).label()


def categories_of(fused):
    """The category_id of each pixel, 0 = void, and the score of each thing's pixel."""
    of_id = {0: (0, -1.0)} | {
        s.segment_id: (s.category_id, -1.0 if s.score is None else s.score)
        for s in fused.segments_info
    }
    return np.array([[of_id[i] for i in row] for row in fused.panoptic_map.tolist()])


# -- the papers' formulas ----------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["upsnet-logits", "adaptive"])
@given(
    classes=st.sampled_from(list(NET_CLASSES.values())),
    seed=st.integers(0, 2**32 - 1),
    size=SIZES,
    count=st.integers(0, 5),
    make=MAKERS,
    temperature=st.sampled_from([0.25, 1.0, 3.0]),
    spread=st.sampled_from([1.0, 4.0]),
)
def test_equals_all_channels_in_torch(rule, classes, seed, size, count, make, temperature, spread):
    rng = np.random.default_rng(seed)
    target = target_logits(rng, size, (4, 5), classes, scale=spread)
    semantic, instances = label(target), make(rng, size, count)
    fused = METHODS[rule].fuse(
        semantic, instances, TOY_SPACE, stuff_area=0, temperature=temperature
    )
    kept = survivors_slowly(instances, 0.5, 0.5)
    channels, stuff_ids = panoptic_logits(
        rule, target, instances, kept, TOY_SPACE, temperature, REACH
    )
    best = channels.argmax(0).numpy()  # the first of equals
    top = channels.sort(0, descending=True).values
    is_clear = (top[0] - top[1] > ROUNDING).numpy()
    expected = np.zeros((*size, 2))
    for y, x in np.ndindex(size):
        channel = best[y, x]
        expected[y, x] = 0, -1
        if len(stuff_ids) <= channel < len(stuff_ids) + len(kept):
            index = kept[channel - len(stuff_ids)]
            expected[y, x] = instances.category_ids[index], instances.scores[index]
        elif rule == "adaptive" and semantic.label_map[y, x] in TOY_SPACE.stuff_ids:
            expected[y, x] = semantic.label_map[y, x], -1
        elif rule == "upsnet-logits" and channel < len(stuff_ids) and semantic.label_map[y, x]:
            expected[y, x] = stuff_ids[channel], -1
    assert (categories_of(fused)[is_clear] == expected[is_clear]).all()


@given(seed=st.integers(0, 2**32 - 1), size=SIZES, count=st.integers(0, 8), make=MAKERS)
def test_survivors_equal_comparing_full_masks(seed, size, count, make):
    rng = np.random.default_rng(seed)
    semantic, instances = semantic_prediction(rng, size), make(rng, size, count)
    for overlap in (0.3, 0.5, 1.0):
        kept = list_survivors(semantic, instances, 0.5, overlap).tolist()
        assert kept == survivors_slowly(instances, 0.5, overlap)


@given(seed=st.integers(0, 2**32 - 1), size=SIZES, count=st.integers(0, 6))
def test_mask_argmax_equals_full_frames(seed, size, count):
    rng = np.random.default_rng(seed)
    semantic, instances = semantic_prediction(rng, size), box_instances(rng, size, count)
    fused = fuse_by_mask_argmax(semantic, instances, TOY_SPACE, stuff_area=0)
    claims = [torch.zeros(size)]
    kept = survivors_slowly(instances, 0.5, 0.5)
    for index in kept:
        probs, _ = stretch_slowly(instances, index, instances.masks.probs[index], 0.0)
        claims.append(torch.from_numpy(np.where(probs > 0.5, probs * instances.scores[index], 0)))
    top, best = torch.stack(claims).sort(stable=True, dim=0, descending=True)
    is_clear = (top[0] - top[1 if kept else 0] > 1e-5).numpy()
    scores = np.array([-1.0, *instances.scores[kept]])[best[0].numpy()]
    assert (categories_of(fused)[..., 1][is_clear] == scores[is_clear]).all()


# -- relations between rules -------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), size=SIZES, count=st.integers(0, 1), make=MAKERS)
def test_one_instance_has_no_rival(seed, size, count, make):
    rng = np.random.default_rng(seed)
    semantic, instances = semantic_prediction(rng, size), make(rng, size, count)
    fused = fuse_by_mask_argmax(semantic, instances, TOY_SPACE, stuff_area=4)
    expected = fuse_by_overlap(semantic, instances, TOY_SPACE, stuff_area=4)
    assert (fused.panoptic_map == expected.panoptic_map).all()
    assert fused.segments_info == expected.segments_info


@given(seed=st.integers(0, 2**32 - 1), size=SIZES, count=st.integers(0, 6))
def test_hard_masks_go_to_the_higher_score(seed, size, count):
    rng = np.random.default_rng(seed)
    semantic, instances = semantic_prediction(rng, size), rle_instances(rng, size, count)
    fused = fuse_by_mask_argmax(semantic, instances, TOY_SPACE, stuff_area=4)
    survivors = np.isin(np.arange(count), list_survivors(semantic, instances, 0.5, 0.5))
    expected = fuse_by_overlap(
        semantic,
        instances.select(survivors, instances.category_ids),
        TOY_SPACE,
        overlap_threshold=1,
        stuff_area=4,
    )
    assert (fused.panoptic_map == expected.panoptic_map).all()


# -- evidence ----------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", NET_CLASSES.values(), ids=NET_CLASSES)
@given(seed=st.integers(0, 2**32 - 1), size=SIZES)
def test_evidence_is_bilinear(classes, seed, size):
    rng = np.random.default_rng(seed)
    target = target_logits(rng, size, (4, 5), classes)
    x = upsample_slowly(target, REACH).numpy()
    class_logits = compute_class_logits(label(target), TOY_SPACE)
    window = (slice(size[0] // 3, size[0]), slice(0, size[1] // 2 + 1))
    of_void = x[[i for i, c in enumerate(classes) if c == 0]].max(axis=0, initial=0)
    for category_id in TOY_SPACE.thing_ids:
        full = x[classes.index(category_id)] if category_id in classes else of_void
        got = class_logits.of_class(category_id, window)
        np.testing.assert_allclose(got, full[window], atol=1e-5)
    stuff = x[[i for i, c in enumerate(classes) if c in TOY_SPACE.stuff_ids]]
    np.testing.assert_allclose(class_logits.stuff, stuff.max(axis=0, initial=0), atol=1e-5)
    things = x[[i for i, c in enumerate(classes) if c not in TOY_SPACE.stuff_ids]]
    np.testing.assert_allclose(class_logits.things, things.max(axis=0, initial=0), atol=1e-5)


def test_a_label_map_is_evidence_for_its_classes():
    semantic = SemanticPrediction(np.array([[SKY, CAT, 0, ROAD]], np.int32))
    class_logits = compute_class_logits(semantic, TOY_SPACE)
    assert class_logits.stuff_labels.tolist() == [[SKY, 0, 0, ROAD]]
    assert class_logits.stuff.tolist() == [[4, 0, 0, 4]]
    assert class_logits.things.tolist() == [[0, 4, 4, 0]]
    window = (slice(0, 1), slice(1, 4))
    assert class_logits.of_class(CAT, window).tolist() == [[4, 4, 0]]
    assert class_logits.of_class(DOG, window).tolist() == [[0, 4, 0]]


# -- by hand -----------------------------------------------------------------------------------


def one_box(probability, category_id=CAT, score=0.9, size=(8, 8)):
    """An instance over the whole image with one probability everywhere inside."""
    return Instances(
        np.array([[0, 0, size[1], size[0]]], np.float32),
        np.array([score]),
        np.array([category_id], np.int32),
        BoxMasks(np.full((1, 28, 28), probability, np.float32)),
        size,
    )


def uniform(**logits):
    """Logits that are the same everywhere, over 8 x 8 pixels."""
    names = {"cat": CAT, "sky": SKY, "dog": DOG, "grass": GRASS, "road": ROAD}
    values = np.array(list(logits.values()), np.float16)[:, None, None] * np.ones(
        (1, 2, 2), np.float16
    )
    ids = np.array([names[name] for name in logits], np.int32)
    return label(TargetLogits(SemanticLogits.half_pixel(values, (8, 8)), ids))


def middle(fused):
    """The category in the middle of the image, far from where masks fade."""
    return categories_of(fused)[4, 4, 0]


@pytest.mark.parametrize(
    ("probability", "semantic", "temperature", "expected"),
    [
        # sky has 4, the cat 4 - 3 = 1 and its mask log(0.9 / 0.1) = 2.2: 3.2 do not reach 4.
        (0.9, {"sky": 8, "cat": 5}, 1, SKY),
        (0.9, {"sky": 8, "cat": 6}, 1, CAT),
        (0.9, {"sky": 8, "cat": 5}, 0.5, CAT),  # 1 + 4.4
        # Further than 4 below counts as 4 below: a mask that is sure enough still wins.
        (0.9, {"sky": 8, "cat": -90}, 1, SKY),
        (0.99, {"sky": 8, "cat": -90}, 1, CAT),  # 0 + 4.6
        # The net sees a dog that nobody found: 4 less the cat's 1 beats the sky's 2 and 1 - 0.4.
        (0.6, {"dog": 8, "sky": 6, "cat": 5}, 10, 0),
        # The cat is what it sees, so nothing is unknown, and the sky wins over a faint mask.
        (0.01, {"cat": 8, "sky": 6}, 1, SKY),
    ],
)
def test_upsnet_by_hand(probability, semantic, temperature, expected):
    fused = fuse_by_upsnet_logits(
        uniform(**semantic),
        one_box(max(probability, 0.51)) if probability > 0.5 else with_core(probability),
        TOY_SPACE,
        stuff_area=0,
        temperature=temperature,
    )
    assert middle(fused) == expected


def with_core(probability):
    """An instance that has pixels only at its rim, and a probability in the middle."""
    probs = np.full((1, 28, 28), 0.99, np.float32)
    probs[:, 6:-6, 6:-6] = probability
    box = one_box(0.9)
    return Instances(box.boxes, box.scores, box.category_ids, BoxMasks(probs), box.size)


@pytest.mark.parametrize(
    ("probability", "semantic", "expected"),
    [
        # a = 2.197, b = 1: (0.900 + 0.731) (3.197) = 5.21 beats 4.
        (0.9, {"sky": 8, "cat": 5}, CAT),
        # a = 2.197, b = 0: (0.900 + 0.5) 2.197 = 3.08.
        (0.9, {"sky": 8, "cat": 2}, SKY),
        # a = 2.944, b = 0: (0.95 + 0.5) 2.944 = 4.27.
        (0.95, {"sky": 8, "cat": 2}, CAT),
    ],
)
def test_adaptive_by_hand(probability, semantic, expected):
    fused = METHODS["adaptive"].fuse(
        uniform(**semantic), one_box(probability), TOY_SPACE, stuff_area=0
    )
    assert middle(fused) == expected


def test_mask_argmax_weighs_the_score():
    # Side by side in one image: 0.9 x 0.6 = 0.54 loses to 0.6 x 0.95 = 0.57.
    first, second = one_box(0.6, CAT, 0.9), one_box(0.95, DOG, 0.6)
    probs = np.concatenate([first.masks.probs, second.masks.probs])
    probs[1, :, 14:] = 0  # the dog has the left half
    both = Instances(
        np.concatenate([first.boxes, second.boxes]),
        np.array([0.9, 0.6]),
        np.array([CAT, DOG], np.int32),
        BoxMasks(probs),
        (8, 8),
    )
    fused = fuse_by_mask_argmax(
        SemanticPrediction(np.zeros((8, 8), np.int32)), both, TOY_SPACE, stuff_area=0
    )
    assert categories_of(fused)[4, [1, 2, 5, 6], 0].tolist() == [DOG, DOG, CAT, CAT]


def test_stuff_below_the_area_is_void():
    fused = fuse_by_upsnet_logits(
        uniform(sky=8), one_box(0.99), TOY_SPACE, score_threshold=1, stuff_area=65
    )
    assert fused.segments_info == ()


def test_hard_masks_take_part():
    mask = np.zeros((1, 8, 8), dtype=bool)
    mask[0, 2:6, 2:6] = True
    box = one_box(0.9)
    hard = Instances(box.boxes, box.scores, box.category_ids, rle_masks(mask), box.size)
    for rule in ("mask-argmax", "upsnet-logits", "adaptive"):
        fused = METHODS[rule].fuse(uniform(sky=8, cat=7), hard, TOY_SPACE, stuff_area=0)
        assert ((categories_of(fused)[..., 0] == CAT) == mask[0]).all(), rule


@pytest.mark.parametrize("rule", ["upsnet-logits", "adaptive"])
def test_class_logits_that_are_given_stay_as_they_are(rule):
    rng = np.random.default_rng(5)
    semantic = label(target_logits(rng, (12, 14), (6, 7)))
    class_logits = compute_class_logits(semantic, TOY_SPACE)
    stuff = class_logits.stuff.copy()
    instances = box_instances(rng, (12, 14), 5)
    fused = METHODS[rule].fuse(
        semantic, instances, TOY_SPACE, score_threshold=0, class_logits=class_logits
    )
    assert any(segment.score for segment in fused.segments_info)  # some instance won pixels
    assert (class_logits.stuff == stuff).all()
