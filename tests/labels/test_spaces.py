import json

import pytest
from cityscapesscripts.helpers.labels import labels as cityscapes_labels
from real_data import COCO_ANNOTATIONS, REAL_NETS, needs_real_data
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights
from torchvision.models.segmentation import FCN_ResNet50_Weights

from fuse.analysis.published_results import find_published_results
from fuse.errors import ConfigError, LabelSpaceError
from fuse.labels import (
    contains,
    find_label_map,
    identify_space,
    list_spaces,
    load_category_ids,
    load_space,
    read_space,
    resolve_classes,
)
from fuse.labels.spaces import is_shipped
from fuse.types import Category

HEADER = "category_id,class_index,name,isthing,supercategory,r,g,b\n"

# Things and stuff as the datasets' own pages count them.
COUNTS = {
    "ade20k_150": (100, 50),
    "ade20k_32": (14, 17),
    "ade20k_panoptic": (100, 50),
    "bdd100k": (10, 30),
    "cityscapes": (8, 11),
    "cityscapes_full": (10, 23),
    "coco_panoptic": (80, 53),
    "coco_stuff_171": (80, 91),
    "coco_super": (12, 15),
    "coco_things": (80, 0),
    "vistas_v1": (37, 28),
    "vistas_v2": (70, 46),
    "voc": (20, 1),
}

# (space, category_id, name, isthing, colour or None), typed from the published lists.
FACTS = [
    ("coco_things", 1, "person", True, (220, 20, 60)),
    ("coco_things", 13, "stop sign", True, (220, 220, 0)),
    ("coco_things", 90, "toothbrush", True, (191, 162, 208)),
    ("coco_panoptic", 92, "banner", False, (255, 255, 128)),
    ("coco_panoptic", 184, "tree-merged", False, (107, 142, 35)),
    ("coco_panoptic", 200, "rug-merged", False, (250, 141, 255)),
    ("coco_stuff_171", 92, "banner", False, None),
    ("coco_stuff_171", 106, "clouds", False, None),
    ("coco_stuff_171", 157, "sky-other", False, None),
    ("coco_stuff_171", 169, "tree", False, None),
    ("coco_stuff_171", 182, "wood", False, None),
    ("cityscapes", 7, "road", False, (128, 64, 128)),
    ("cityscapes", 19, "traffic light", False, (250, 170, 30)),
    ("cityscapes", 24, "person", True, (220, 20, 60)),
    ("cityscapes", 31, "train", True, (0, 80, 100)),
    ("cityscapes", 33, "bicycle", True, (119, 11, 32)),
    ("cityscapes_full", 1, "ego vehicle", False, None),
    ("cityscapes_full", 15, "bridge", False, (150, 100, 100)),
    ("cityscapes_full", 29, "caravan", True, (0, 0, 90)),
    ("ade20k_150", 1, "wall", False, (120, 120, 120)),
    ("ade20k_150", 9, "windowpane", True, (230, 230, 230)),
    ("ade20k_150", 18, "plant", False, (204, 255, 4)),
    ("ade20k_150", 90, "television receiver", True, (0, 255, 194)),
    ("ade20k_150", 150, "flag", True, (92, 0, 255)),
    ("ade20k_panoptic", 7, "road, route", False, (140, 140, 140)),
    ("ade20k_panoptic", 9, "window", True, (230, 230, 230)),
    ("ade20k_panoptic", 49, "skyscraper", False, (140, 140, 200)),
    ("ade20k_panoptic", 127, "animal", True, (255, 0, 122)),
    ("ade20k_32", 31, "armchair", True, (8, 255, 214)),
    ("vistas_v1", 1, "Bird", True, (165, 42, 42)),
    ("vistas_v1", 9, "Crosswalk - Plain", True, (140, 140, 200)),
    ("vistas_v1", 28, "Sky", False, (70, 130, 180)),
    ("vistas_v1", 56, "Car", True, (0, 0, 142)),
    ("vistas_v1", 59, "On Rails", False, (0, 80, 100)),
    ("vistas_v1", 65, "Ego Vehicle", False, (120, 10, 10)),
    ("vistas_v2", 1, "Bird", True, (165, 42, 42)),
    ("vistas_v2", 22, "Road", False, (128, 64, 128)),
    ("vistas_v2", 46, "Lane Marking - Crosswalk", True, None),
    ("vistas_v2", 91, "Traffic Light - General (Single)", True, (250, 170, 30)),
    ("vistas_v2", 109, "Car", True, (0, 0, 142)),
    ("vistas_v2", 123, "Static", False, (111, 111, 0)),
    ("bdd100k", 1, "dynamic", False, (111, 74, 0)),
    ("bdd100k", 7, "road", False, (128, 64, 128)),
    ("bdd100k", 31, "person", True, (220, 20, 60)),
    ("bdd100k", 40, "truck", True, (0, 0, 70)),
    ("voc", 1, "aeroplane", True, (128, 0, 0)),
    ("voc", 21, "background", False, (0, 0, 0)),
    ("voc", 15, "person", True, (192, 128, 128)),
    ("voc", 20, "tvmonitor", True, (0, 64, 128)),
]


def test_all_spaces_are_counted():
    assert list_spaces() == tuple(sorted(COUNTS))


@pytest.mark.parametrize("name", list_spaces())
def test_counts_equal_the_published_ones(name):
    space = load_space(name)
    assert (len(space.thing_ids), len(space.stuff_ids)) == COUNTS[name]


@pytest.mark.parametrize("name", list_spaces())
def test_ids_names_and_colors_are_unique(name):
    categories = load_space(name).categories
    for values in zip(*((c.category_id, c.name, c.color) for c in categories), strict=True):
        assert len(set(values)) == len(categories)
    assert all(c.name == c.name.strip() and "|" not in c.name for c in categories)


@pytest.mark.parametrize(("name", "category_id", "category", "isthing", "color"), FACTS)
def test_published_facts(name, category_id, category, isthing, color):
    found = load_space(name).by_id[category_id]
    assert (found.name, found.isthing) == (category, isthing)
    assert color in (None, found.color)


def test_the_holes_of_cocos_91_slots():
    missing = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}
    assert set(load_space("coco_things").by_id) == set(range(1, 92)) - missing


def test_stuff_of_coco_stuff_has_no_holes():
    assert load_space("coco_stuff_171").stuff_ids == tuple(range(92, 183))


def test_stuff_of_ade20k():
    """What the Places challenge's 100 thing classes leave of the 150."""
    stuff = {
        1, 2, 3, 4, 5, 6, 7, 10, 12, 14, 17, 18, 22, 26, 27, 29, 30, 35, 41, 47, 49, 52, 53, 55,
        60, 61, 62, 64, 69, 78, 80, 85, 92, 95, 97, 100, 101, 102, 106, 107, 110, 114, 115, 118,
        123, 129, 132, 141, 142, 146,
    }  # fmt: skip
    assert set(load_space("ade20k_panoptic").stuff_ids) == stuff
    assert set(load_space("ade20k_150").thing_ids) == set(range(1, 151)) - stuff


def test_stuff_of_vistas():
    """All that Vistas' config lists without instances, by its own numbers less one."""
    stuff = {3, 4, 5, 6, 7, 8, *range(10, 20), *range(25, 33), 44, 59, 64, 65}
    assert set(load_space("vistas_v1").stuff_ids) == stuff


def test_colors_of_voc_are_its_colormap():
    """The devkit's colormap puts the lowest bits of the class into the highest of r, g and b."""
    space = load_space("voc")
    for class_index, category_id in enumerate(load_category_ids("voc")):
        color = [0, 0, 0]
        for place in range(8):
            for channel in range(3):
                color[channel] |= (class_index >> (3 * place + channel) & 1) << (7 - place)
        assert space.by_id[category_id].color == tuple(color)


def test_coco_things_and_voc_equal_the_lists_that_torchvision_gives_its_nets():
    slots = MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1.meta["categories"]
    named = {slot: name for slot, name in enumerate(slots) if slot and name != "N/A"}
    assert {i: c.name for i, c in load_space("coco_things").by_id.items()} == named
    rows = FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"]
    voc = load_space("voc").by_id
    assert [voc[i].name for i in load_category_ids("voc")[1:]] == rows[1:]


def test_cityscapes_equals_its_own_scripts():
    for name in ("cityscapes", "cityscapes_full"):
        for category in load_space(name).categories:
            (label,) = [x for x in cityscapes_labels if x.id == category.category_id]
            assert (category.name, category.isthing, category.supercategory) == (
                (label.name, label.hasInstances, label.category)
            )
            own = category.supercategory == "void" or category.name == "polegroup"
            assert category.color == label.color or own
    rows = {x.trainId: x.id for x in cityscapes_labels if 0 <= x.trainId < 255}
    assert load_category_ids("cityscapes") == tuple(rows[row] for row in range(19))
    assert set(load_space("cityscapes_full").by_id) == {x.id for x in cityscapes_labels if x.id > 0}


@needs_real_data
def test_coco_panoptic_equals_the_published_json():
    path = COCO_ANNOTATIONS / "panoptic_val2017.json"
    published = json.loads(path.read_text())["categories"]
    ours = load_space("coco_panoptic").categories
    assert [(c.category_id, c.name, c.isthing, c.supercategory) for c in ours] == [
        (c["id"], c["name"], bool(c["isthing"]), c["supercategory"]) for c in published
    ]


@needs_real_data
def test_net_rows_equal_the_label_lists_of_real_nets():
    lists = json.loads((REAL_NETS / "labels.json").read_text())
    for space_name, rows in (("ade20k32", "ade20k_32"), ("voc21", "voc")):
        by_id = load_space(rows).by_id
        names = [by_id[i].name if i else lists[space_name][0] for i in load_category_ids(rows)]
        assert names == lists[space_name]
    ids = [row["coco_id"] for row in lists["coco80"]]
    assert load_category_ids("coco_things") == tuple(ids)


@pytest.mark.parametrize(
    ("name", "rows", "first", "last"),
    [
        ("cityscapes", 19, 7, 33),
        ("cityscapes_full", 34, 0, 33),
        ("voc", 21, 21, 20),
        ("ade20k_32", 32, 0, 31),
        ("ade20k_150", 150, 1, 150),
        ("coco_stuff_171", 171, 1, 182),
        ("coco_panoptic", 133, 1, 200),
        ("vistas_v1", 65, 1, 65),
    ],
)
def test_net_rows(name, rows, first, last):
    class_ids = load_category_ids(name)
    assert (len(class_ids), class_ids[0], class_ids[-1]) == (rows, first, last)
    assert set(class_ids) - {0} == set(load_space(name).by_id)


def test_ade20k_spaces_number_the_same_classes():
    semantic, panoptic = load_space("ade20k_150"), load_space("ade20k_panoptic")
    for ours, theirs in zip(semantic.categories, panoptic.categories, strict=True):
        assert (ours.category_id, ours.isthing, ours.color) == (
            theirs.category_id,
            theirs.isthing,
            theirs.color,
        )


def test_parts_lie_in_their_wholes():
    for part, whole in (
        ("coco_things", "coco_panoptic"),
        ("coco_things", "coco_stuff_171"),
        ("cityscapes", "cityscapes_full"),
        ("ade20k_32", "ade20k_150"),
    ):
        assert contains(load_space(whole), load_space(part).categories)
        assert not contains(load_space(part), load_space(whole).categories)


@pytest.mark.parametrize("name", list_spaces())
def test_a_whole_space_is_identified(name):
    assert identify_space(reversed(load_space(name).categories)).name == name


@pytest.mark.parametrize(
    ("categories", "name"),
    [
        ([(187, "sky-other-merged", False)], "coco_panoptic"),
        ([(1, "person", True), (149, "road", False)], "coco_panoptic"),
        ([(17, "cat", True), (18, "dog", True)], "coco_things"),
        ([(24, "person", True), (26, "car", True)], "cityscapes"),
        ([(26, "car", True), (29, "caravan", True)], "cityscapes_full"),
        ([(1, "wall", False), (2, "building", False)], "ade20k_panoptic"),
        ([(1, "person", True)], None),  # coco_things and coco_super
        ([(17, "cat", False)], None),
        ([(1, "nobody", True)], None),
    ],
)
def test_a_part_of_a_space_is_identified(categories, name):
    found = identify_space(Category(*category) for category in categories)
    assert (found.name if found else None) == name


def test_whole_numbers_as_pandas_writes_them(tmp_path):
    path = tmp_path / "pets.csv"
    path.write_text(HEADER + "5.0,1.0,cat,1.0,pet,1.0,2.0,3.0\n7,0, sky ,False,,0,0,0\n")
    space = load_space(str(path))
    assert space.by_id[5] == Category(5, "cat", True, "pet", (1, 2, 3))
    assert not space.by_id[7].isthing
    assert load_category_ids(str(path)) == (7, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "1.5,0,cat,1,,0,0,0\n", "line 2: category_id must be a whole number, got '1.5'"),
        (HEADER + "inf,0,cat,1,,0,0,0\n", "line 2: category_id must be a whole number, got 'inf'"),
        ("id,name\n", "the first line must read category_id,class_index"),
        (HEADER + "1,0,cat,2,,0,0,0\n", "line 2: isthing must be 0 or 1, got '2'"),
        (HEADER + "1,0,cat,1,,0,0,256\n", r"line 2: r, g, b must lie in 0\.\.255"),
        (HEADER + "1,-1,cat,1,,0,0,0\n", "line 2: class_index must be at least 0"),
        (HEADER + "one,0,cat,1,,0,0,0\n", "line 2: category_id must be a whole number, got 'one'"),
        (HEADER + "1,0,cat,1,,0,0,0\n2,0,dog,1,,0,0,1\n", "line 3: class_index 0 stands twice"),
        (HEADER + "-1,0,cat,1,,0,0,0\n", "line 2: category id -1 does not lie in 0..16777214"),
        (HEADER + "1,0,cat,1,,0,0,0\n1,1,dog,1,,0,0,1\n", "category id 1 stands twice"),
        (HEADER, "has no categories"),
    ],
)
def test_wrong_space_files(tmp_path, text, message):
    path = tmp_path / "pets.csv"
    path.write_text(text)
    with pytest.raises(LabelSpaceError, match=message):
        read_space(path)


def test_a_file_of_no_rows_has_no_classes_for_a_net(tmp_path):
    path = tmp_path / "pets.csv"
    path.write_text(HEADER)
    with pytest.raises(LabelSpaceError, match="has no categories"):
        load_category_ids(str(path))


def test_a_space_of_ones_own(tmp_path):
    path = tmp_path / "pets.csv"
    path.write_text(HEADER + "7,2,dog,1,pet,9,9,9\n5,1,cat,1,pet,1,2,3\n")
    space = load_space(str(path))
    assert space.name == "pets"
    assert [c.name for c in space.categories] == ["cat", "dog"]
    assert load_category_ids(str(path)) == (0, 5, 7)


def test_a_space_called_as_a_shipped_one_is_not_taken_for_it(tmp_path):
    path = tmp_path / "cityscapes.csv"
    path.write_text(HEADER + "7,0,cat,1,pet,9,9,9\n")
    own, shipped = load_space(str(path)), load_space("cityscapes")
    assert (is_shipped(shipped), is_shipped(own)) == (True, False)
    assert find_published_results(shipped)
    assert not find_published_results(own)
    with pytest.raises(LabelSpaceError, match="no label map leads from 'cityscapes'"):
        find_label_map(own, load_space("coco_panoptic"))
    with pytest.raises(LabelSpaceError, match="no label map leads from 'coco_things'"):
        find_label_map(load_space("coco_things"), own)


def test_an_unknown_space_names_the_nearest():
    with pytest.raises(LabelSpaceError, match="did you mean 'coco_panoptic'"):
        load_space("COCO_Panoptic")
    with pytest.raises(LabelSpaceError, match="did you mean 'cityscapes'"):
        load_space("cityscape")


def test_rows_are_those_of_the_label_space():
    space, ids = resolve_classes("net", 19, "cityscapes", None)
    assert space == load_space("cityscapes")
    assert ids.tolist()[:3] == [7, 8, 11]
    _, ids = resolve_classes("net", 21, "voc", None)
    assert ids.tolist() == [21, *range(1, 21)]  # its first row is the background
    _, ids = resolve_classes("net", 3, "voc", [5, 0, 5])
    assert ids.tolist() == [5, 0, 5]


@pytest.mark.parametrize(
    ("count", "space", "ids", "error", "message"),
    [
        (19, None, None, ConfigError, "net does not say what its 19 classes are; set label_space"),
        (
            19,
            "voc",
            None,
            ConfigError,
            "net has 19 classes, but label space 'voc' has 21; .*cityscapes",
        ),
        (2, "voc", [1, 2, 3], ConfigError, "net has 2 classes, but class_ids has 3"),
        (2, "voc", [1, 99], LabelSpaceError, "class_ids of net: 99 is no category_id of 'voc'"),
        (2, "vok", [1, 2], LabelSpaceError, "no label space 'vok'"),
    ],
)
def test_what_does_not_fit_is_named(count, space, ids, error, message):
    with pytest.raises(error, match=message):
        resolve_classes("net", count, space, ids)


def test_rows_of_vistas_v2_are_those_of_its_configuration():
    """124 in mmsegmentation's MapillaryDataset_v2, of which eight are void (three of groups)."""
    ids = load_category_ids("vistas_v2")
    void = [row for row, category_id in enumerate(ids) if category_id == 0]
    assert void == [2, 31, 38, 79, 86, 96, 115]
    assert len(ids) == 123  # the last row, Unlabeled, stands in no net
    assert all(category_id == row + 1 for row, category_id in enumerate(ids) if row not in void)
