import csv

import numpy as np
import pytest
from factories import TOY_SPACE, panoptic_truth
from hypothesis import given
from hypothesis import strategies as st

from fuse.errors import LabelSpaceError
from fuse.labels import (
    LabelMap,
    find_label_map,
    list_maps,
    list_spaces,
    load_space,
    map_panoptic,
)
from fuse.labels.maps import MAPS_DIR
from fuse.types import Category, LabelSpace, PanopticPrediction, SegmentInfo

BEASTS = LabelSpace(
    "beasts",
    (Category(1, "beast", True), Category(2, "nature", False), Category(3, "way", False)),
)
# cat and dog meet, sky and grass meet, road is alone
TO_BEASTS = LabelMap(TOY_SPACE, BEASTS, {3: 1, 5: 2, 8: 1, 21: 2, 200: 3})

# Where a shipped map makes stuff of a thing or the reverse; every other row keeps the kind.
THINGS_TO_STUFF = {
    ("ade20k_150", "coco_panoptic"): {
        "windowpane", "cabinet", "door", "curtain", "shelf", "mirror", "fence", "desk",
        "wardrobe", "lamp", "railing", "cushion", "box", "signboard", "chest of drawers",
        "counter", "stairs", "case", "pool table", "pillow", "screen door", "bookcase",
        "coffee table", "flower", "countertop", "palm", "kitchen island", "towel", "light",
        "chandelier", "streetlight", "bannister", "food", "step", "sconce", "flag",
    },
}  # fmt: skip
THINGS_TO_STUFF["ade20k_150", "coco_super"] = THINGS_TO_STUFF["ade20k_150", "coco_panoptic"] - {
    "food"
}
# All that is none of VOC's 20 classes is VOC's background.
THINGS_TO_STUFF["coco_panoptic", "voc"] = {
    category.name for category in load_space("coco_things").categories
} - {
    "person", "bird", "cat", "cow", "dog", "horse", "sheep", "airplane", "bicycle", "boat",
    "bus", "car", "motorcycle", "train", "bottle", "chair", "dining table", "potted plant",
    "couch", "tv",
}  # fmt: skip
STUFF_TO_THINGS = {
    ("ade20k_150", "coco_panoptic"): {"plant", "crt screen", "cradle"},
    ("ade20k_150", "coco_super"): {"crt screen", "cradle"},
    ("cityscapes", "coco_panoptic"): {"traffic light"},
}
# Maps for instance nets.
THINGS_ONLY = [
    ("coco_panoptic", "ade20k_panoptic"),
    ("coco_panoptic", "cityscapes"),
    ("coco_panoptic", "vistas_v1"),
]

# (source space, target space, source, target), read off the published class lists.
ROWS = [
    ("coco_stuff_171", "coco_panoptic", "fog", "sky-other-merged"),
    ("coco_stuff_171", "coco_panoptic", "floor-stone", "pavement-merged"),
    ("coco_stuff_171", "coco_panoptic", "straw", "grass-merged"),
    ("coco_stuff_171", "coco_panoptic", "napkin", "paper-merged"),
    ("coco_stuff_171", "coco_panoptic", "wall-panel", "wall-other-merged"),
    ("coco_stuff_171", "coco_panoptic", "wall-tile", "wall-tile"),
    ("coco_stuff_171", "coco_panoptic", "plant-other", None),
    ("coco_panoptic", "cityscapes", "person", "person"),
    ("coco_panoptic", "cityscapes", "traffic light", None),
    ("coco_panoptic", "vistas_v1", "stop sign", "Traffic Sign (Front)"),
    ("coco_panoptic", "vistas_v1", "giraffe", "Ground Animal"),
    ("coco_panoptic", "vistas_v1", "train", None),
    ("coco_panoptic", "ade20k_panoptic", "couch", "sofa"),
    ("coco_panoptic", "ade20k_panoptic", "pizza", "food, solid food"),
    ("coco_things", "cityscapes", "motorcycle", "motorcycle"),
    ("coco_things", "coco_super", "cat", "animal"),
    ("cityscapes", "coco_panoptic", "rider", "person"),
    ("cityscapes", "coco_panoptic", "vegetation", "tree-merged"),
    ("voc", "coco_panoptic", "tvmonitor", "tv"),
    ("coco_panoptic", "voc", "dining table", "diningtable"),
    ("coco_panoptic", "voc", "laptop", "background"),
    ("coco_panoptic", "voc", "sky-other-merged", "background"),
    ("voc", "coco_panoptic", "background", None),
    ("cityscapes_full", "cityscapes", "caravan", None),
    ("cityscapes_full", "cityscapes", "sky", "sky"),
    ("ade20k_150", "coco_panoptic", "wall", "wall-other-merged"),
    ("ade20k_150", "coco_panoptic", "minibike", "motorcycle"),
    ("ade20k_150", "coco_panoptic", "animal", None),
    ("ade20k_150", "coco_super", "animal", "animal"),
    ("ade20k_150", "ade20k_panoptic", "windowpane", "window"),
    ("ade20k_32", "coco_panoptic", "sidewalk", "pavement-merged"),
    ("ade20k_32", "coco_super", "water", "water"),
    ("ade20k_32", "ade20k_panoptic", "sofa", "sofa"),
]


def shipped_map(names):
    return find_label_map(*map(load_space, names))


def test_every_map_file_belongs_to_two_spaces():
    assert len(list_maps()) == len(list(MAPS_DIR.glob("*.csv")))


@pytest.mark.parametrize("names", list_maps())
def test_each_source_category_has_one_row_in_order(names):
    with (MAPS_DIR / "{}_to_{}.csv".format(*names)).open(newline="") as file:
        sources = [row["source"] for row in csv.DictReader(file)]
    assert sources == [category.name for category in load_space(names[0]).categories]


@pytest.mark.parametrize("names", list_maps())
def test_kinds_change_only_where_listed(names):
    label_map = shipped_map(names)
    changes = {True: set(), False: set()}
    for category in label_map.source.categories:
        target_id = label_map.target_ids[category.category_id]
        if target_id and label_map.target.by_id[target_id].isthing != category.isthing:
            changes[category.isthing].add(category.name)
    assert changes[True] == THINGS_TO_STUFF.get(names, set())
    assert changes[False] == STUFF_TO_THINGS.get(names, set())


@pytest.mark.parametrize("names", list_maps())
def test_further_targets_are_others_and_stand_once(names):
    label_map = shipped_map(names)
    for source_id, further_ids in label_map.also.items():
        every = (label_map.target_ids[source_id], *further_ids)
        assert len(set(every)) == len(every)


@pytest.mark.parametrize(("source", "target", "category", "expected"), ROWS)
def test_rows(source, target, category, expected):
    label_map = shipped_map((source, target))
    target_id = label_map.target_ids[label_map.source.by_name[category].category_id]
    assert (label_map.target.by_id[target_id].name if target_id else None) == expected


# Same name, other thing: COCO's oven is the whole cooker, which is ADE20K's stove.
NAMESAKES = {("coco_panoptic", "ade20k_panoptic"): {"oven"}}


@pytest.mark.parametrize("names", list_maps())
def test_equal_names_meet(names):
    label_map = shipped_map(names)
    shared = label_map.source.by_name.keys() & label_map.target.by_name.keys()
    for name in shared - NAMESAKES.get(names, set()):
        category, target = label_map.source.by_name[name], label_map.target.by_name[name]
        if category.isthing == target.isthing and (category.isthing or names not in THINGS_ONLY):
            assert label_map.target_ids[category.category_id] == target.category_id, name


@pytest.mark.parametrize("names", THINGS_ONLY)
def test_maps_for_instance_nets_lead_from_things_to_things(names):
    label_map = shipped_map(names)
    for source_id, target_id in label_map.target_ids.items():
        for reached_id in (target_id, *label_map.also.get(source_id, ())):
            assert not reached_id or source_id in label_map.source.thing_ids
            assert not reached_id or reached_id in label_map.target.thing_ids


# Every merge and every class that was dropped, as COCO's page of the panoptic task lists them.
COCO_MERGED = {
    "tree": "tree branch bush leaves",
    "fence": "cage fence railing",
    "ceiling": "ceiling-tile ceiling-other",
    "sky-other": "clouds sky-other fog",
    "cabinet": "cupboard cabinet",
    "table": "desk-stuff table",
    "floor-other": "floor-marble floor-other floor-tile",
    "pavement": "floor-stone pavement",
    "mountain": "hill mountain",
    "grass": "moss grass straw",
    "dirt": "dirt mud",
    "paper": "napkin paper",
    "food-other": "salad vegetable food-other",
    "building-other": "skyscraper building-other",
    "rock": "stone rock",
    "wall-other": "wall-other wall-concrete wall-panel",
    "rug": "mat rug carpet",
}
COCO_DROPPED = (
    "furniture-other metal plastic solid-other structural-other waterdrops textile-other cloth "
    "clothes plant-other wood ground-other"
)


def test_coco_stuff_merges_as_coco_says():
    label_map = shipped_map(("coco_stuff_171", "coco_panoptic"))
    expected = {c.name: c.name for c in label_map.source.categories}
    for name, merged in COCO_MERGED.items():
        expected |= dict.fromkeys(merged.split(), f"{name}-merged")
    expected |= dict.fromkeys(COCO_DROPPED.split())
    names = {i: c.name for i, c in label_map.target.by_id.items()} | {0: None}
    ids = label_map.target_ids
    assert {c.name: names[ids[c.category_id]] for c in label_map.source.categories} == expected


def test_coco_stuff_merges_only_into_merged_classes():
    label_map = shipped_map(("coco_stuff_171", "coco_panoptic"))
    for category in label_map.source.categories:
        target_id = label_map.target_ids[category.category_id]
        if target_id and target_id != category.category_id:
            assert label_map.target.by_id[target_id].name.endswith("-merged")
    removed = [i for i, target_id in label_map.target_ids.items() if not target_id]
    assert len(removed) == 12
    assert set(label_map.target_ids.values()) - {0} == set(label_map.target.by_id)


def test_the_two_ade20k_spaces_map_by_id():
    label_map = shipped_map(("ade20k_150", "ade20k_panoptic"))
    assert label_map.is_identity


@pytest.mark.parametrize("name", list_spaces())
def test_a_space_maps_onto_itself(name):
    label_map = shipped_map((name, name))
    assert label_map.is_identity
    assert 0 not in label_map.target_ids.values()


def test_a_part_keeps_ids_and_a_whole_loses_the_rest():
    there = shipped_map(("coco_things", "coco_panoptic"))
    assert there.target_ids == {i: i for i in there.source.by_id}
    back = shipped_map(("coco_panoptic", "coco_things"))
    assert back.target_ids == {i: i if i <= 90 else 0 for i in back.source.by_id}


def test_a_part_takes_the_map_of_its_whole():
    part, whole = (shipped_map((s, "ade20k_panoptic")) for s in ("coco_things", "coco_panoptic"))
    assert part.source.name == "coco_things"
    assert part.target_ids == {i: whole.target_ids[i] for i in part.target_ids}
    assert part.also == whole.also  # no stuff has further targets there


def test_parts_of_two_wholes_get_the_same_map_from_either():
    """COCO's things lie in COCO panoptic and in COCO-Stuff; it must not matter which is asked."""
    for source in map(load_space, list_spaces()):
        for target_name in {target for _, target in list_maps()}:
            wholes = [
                shipped_map(names)
                for names in list_maps()
                if names[1] == target_name
                and all(load_space(names[0]).by_id.get(i) == c for i, c in source.by_id.items())
            ]
            for label_map in wholes[1:]:
                for i in source.by_id:
                    assert label_map.target_ids[i] == wholes[0].target_ids[i]


def test_the_way_back_prefers_what_goes_there():
    label_map = shipped_map(("ade20k_150", "coco_panoptic"))
    ade, coco = label_map.source.by_name, label_map.target.by_name
    back = label_map.source_ids
    assert back[coco["sea"].category_id] == ade["sea"].category_id  # water also takes it in
    assert back[coco["wall-tile"].category_id] == ade["wall"].category_id
    assert back[coco["chair"].category_id] == ade["chair"].category_id
    assert back[coco["zebra"].category_id] == ade["animal"].category_id
    assert back[coco["train"].category_id] == 0


def test_choices_are_what_a_mapped_instance_may_be():
    assert shipped_map(("coco_things", "cityscapes")).choices == {24: (25,)}  # person, rider
    label_map = LabelMap(
        TOY_SPACE, BEASTS, {3: 1, 5: 1, 8: 0, 21: 2, 200: 3}, {3: (2, 1), 5: (3, 2), 8: (1,)}
    )
    assert label_map.choices == {1: (2, 3)}


def test_no_map_lists_the_shipped_ones():
    with pytest.raises(LabelSpaceError, match="'toy' to 'vistas_v1'; shipped are ade20k_150 to"):
        find_label_map(TOY_SPACE, load_space("vistas_v1"))
    with pytest.raises(LabelSpaceError, match="'vistas_v1' to 'voc'"):  # no map leads from Vistas
        shipped_map(("vistas_v1", "voc"))


@pytest.mark.parametrize(
    ("target_ids", "also", "message"),
    [
        ({3: 1}, {}, "'sky' is missing"),
        ({3: 1, 5: 2, 8: 9, 21: 2, 200: 3}, {}, "'dog' goes to unknown id 9"),
        ({3: 1, 5: 2, 8: 1, 21: 2, 200: 3}, {5: (7,)}, "'sky' goes to unknown id 7"),
    ],
)
def test_label_maps_are_checked(target_ids, also, message):
    with pytest.raises(LabelSpaceError, match=message):
        LabelMap(TOY_SPACE, BEASTS, target_ids, also)


# map_panoptic

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def random_map(rng, target=BEASTS):
    """A map of the toy space onto anything, void included."""
    return LabelMap(
        TOY_SPACE, target, {i: int(rng.choice([0, *target.by_id])) for i in TOY_SPACE.by_id}
    )


@given(SEEDS, SIZES)
def test_mapping_keeps_pixels_and_areas(seed, size):
    rng = np.random.default_rng(seed)
    truth, label_map = panoptic_truth(rng, size), random_map(rng)
    before = truth.panoptic_map.copy()
    mapped = map_panoptic(truth, label_map)
    assert (truth.panoptic_map == before).all()
    goes = {s.segment_id: label_map.target_ids[s.category_id] for s in truth.segments_info} | {0: 0}
    new = {s.segment_id: s.category_id for s in mapped.segments_info} | {0: 0}
    expected = np.vectorize(goes.__getitem__)(truth.panoptic_map)
    assert (np.vectorize(new.__getitem__)(mapped.panoptic_map) == expected).all()
    for segment in mapped.segments_info:
        y, x = np.nonzero(mapped.panoptic_map == segment.segment_id)
        assert segment.area == len(y)
        assert segment.bbox == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)


@given(SEEDS, SIZES)
def test_things_stay_apart_stuff_is_joined_crowds_stay_crowds(seed, size):
    truth = panoptic_truth(np.random.default_rng(seed), size)
    mapped = map_panoptic(truth, TO_BEASTS)
    before = {s.segment_id: s for s in truth.segments_info}
    things = [s for s in mapped.segments_info if s.category_id == 1]
    assert {s.segment_id for s in things} == {
        i for i, s in before.items() if s.category_id in (3, 8)
    }
    assert all(s.iscrowd == before[s.segment_id].iscrowd for s in things)
    stuff = [s.category_id for s in mapped.segments_info if s.category_id != 1]
    assert len(set(stuff)) == len(stuff)


@given(SEEDS, SIZES)
def test_the_identity_changes_nothing_once_stuff_is_joined(seed, size):
    identity = find_label_map(TOY_SPACE, TOY_SPACE)
    once = map_panoptic(panoptic_truth(np.random.default_rng(seed), size), identity)
    twice = map_panoptic(once, identity)
    assert (twice.panoptic_map == once.panoptic_map).all()
    assert twice.segments_info == once.segments_info


def test_stuff_that_becomes_a_thing_becomes_a_crowd():
    truth = PanopticPrediction(
        np.array([[1, 1, 2, 3]], np.int32),
        (
            SegmentInfo(1, 5, 2, (0, 0, 2, 1)),
            SegmentInfo(2, 3, 1, (2, 0, 1, 1)),
            SegmentInfo(3, 21, 1, (3, 0, 1, 1)),
        ),
    )
    mapped = map_panoptic(truth, LabelMap(TOY_SPACE, BEASTS, {3: 1, 5: 1, 8: 0, 21: 0, 200: 0}))
    assert mapped.panoptic_map.tolist() == [[1, 1, 2, 0]]
    assert [(s.segment_id, s.iscrowd) for s in mapped.segments_info] == [(1, True), (2, False)]


def test_a_segment_of_an_unknown_category_is_named():
    truth = PanopticPrediction(np.ones((1, 1), np.int32), (SegmentInfo(1, 4, 1, (0, 0, 1, 1)),))
    with pytest.raises(ValueError, match="segment 1 has category_id 4, which is not in toy"):
        map_panoptic(truth, TO_BEASTS)
