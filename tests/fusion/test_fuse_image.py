"""From a preset's fusion section to the rule: pairs by name, classes chosen, stuff left out."""

import numpy as np
import pytest
from factories import TOY_SPACE

from fuse.errors import ConfigError
from fuse.fusion import METHODS, FusionConfig, choose_classes, find_pairs
from fuse.fusion.fuse_image import fuse_image
from fuse.labels import load_space
from fuse.types import BoxMasks, Instances, SemanticPrediction


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ((), "the rule 'pairs' needs fusion.pairs"),
        ((("cot", "dog"),), "names 'cot', which is not in toy; did you mean 'cat'"),
        ((("cat", "zebra"),), r"names 'zebra', which is not in toy$"),
    ],
)
def test_pairs_must_be_there_and_known(pairs, message):
    with pytest.raises(ConfigError, match=message):
        find_pairs(FusionConfig(rule="pairs", pairs=pairs), TOY_SPACE)


def test_pairs_are_category_ids_above_and_below():
    fusion = FusionConfig(rule="pairs", pairs=(("dog", "cat"), ("cat", "cat")))
    dog, cat = (TOY_SPACE.by_name[name].category_id for name in ("dog", "cat"))
    assert find_pairs(fusion, TOY_SPACE) == {(dog, cat), (cat, cat)}
    assert find_pairs(FusionConfig(), TOY_SPACE) == frozenset()


@pytest.mark.parametrize("pairs", [(("dog", "cat"),), (("cat", "dog"),)])
def test_the_pairs_of_a_preset_order_its_masks(pairs):
    cat, dog = (TOY_SPACE.by_name[name].category_id for name in ("cat", "dog"))
    instances = Instances(
        boxes=np.array([[0, 0, 20, 20], [0, 0, 6, 20]], np.float32),
        scores=np.array([0.9, 0.8]),
        category_ids=np.array([cat, dog], np.int32),
        masks=BoxMasks(np.ones((2, 28, 28), np.float32)),
        size=(20, 20),
    )
    nothing = SemanticPrediction(np.zeros((20, 20), np.int32))
    fusion = FusionConfig(rule="pairs", pairs=pairs)
    fused = fuse_image(nothing, instances, TOY_SPACE, fusion, {})
    names = [TOY_SPACE.by_id[s.category_id].name for s in fused.segments_info]
    assert names == (["dog", "cat"] if pairs[0][0] == "dog" else ["cat"])


def test_only_the_rule_of_competing_masks_takes_stuff():
    assert [name for name, rule in METHODS.items() if rule.takes_stuff] == ["mask-classification"]


@pytest.mark.parametrize(
    ("class_choice", "threshold", "expected"),
    [
        ("commonest", 0.5, "person"),
        ("overlap", 0.5, "rider"),
        ("overlap", 0.7, "person"),  # the bicycle, of 0.6, is not there
        ("evidence", 0.5, "rider"),
    ],
)
def test_a_person_on_a_bicycle(class_choice, threshold, expected):
    space = load_space("cityscapes")
    person, rider, bicycle = (
        space.by_name[name].category_id for name in ("person", "rider", "bicycle")
    )
    instances = Instances(
        boxes=np.array([[30, 20, 70, 180], [0, 100, 100, 200]], np.float32),
        scores=np.array([0.9, 0.6]),
        category_ids=np.array([person, bicycle], np.int32),
        masks=BoxMasks(np.ones((2, 2, 2), np.float32)),
        size=(300, 300),
    )
    seen = SemanticPrediction(np.full((300, 300), rider, np.int32))
    fusion = FusionConfig(class_choice=class_choice, score_threshold=threshold)
    chosen = choose_classes(seen, instances, space, fusion, {person: (rider,)})
    assert chosen.category_ids.tolist() == [space.by_name[expected].category_id, bicycle]
