"""From a preset's fusion section to the rule: pairs by name, classes chosen, stuff left out."""

import numpy as np
import pytest
from factories import TOY_SPACE

from fuse.errors import ConfigError
from fuse.fusion import METHODS, FusionConfig, choose_classes, find_pairs
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
