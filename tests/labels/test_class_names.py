"""Names of a net's classes against label spaces; the published lists are facts of their authors."""

import warnings

import pytest

from fuse.errors import ConfigError, FuseWarning
from fuse.labels import load_category_ids, load_space, resolve_classes
from fuse.labels.class_names import spell
from fuse.types import Category, LabelSpace

STREETS = load_space("cityscapes")
NAMES = [STREETS.by_id[i].name for i in load_category_ids("cityscapes")]
IDS = list(load_category_ids("cityscapes"))
# As published checkpoints write them, in the order of their rows.
VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)


def resolve(names, space="cityscapes", class_ids=None):
    """The ids of a net's classes, and what is said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, ids = resolve_classes("net.pth", len(names), space, class_ids, names)
    assert all(issubclass(warning.category, FuseWarning) for warning in caught)
    return ids.tolist(), [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    "change",
    [
        str,
        str.upper,
        lambda name: name.replace(" ", "_"),
        lambda name: name.replace(" ", ""),
        lambda name: f"{name}, or another word",
        lambda name: f" {name}-merged",
    ],
)
def test_the_same_names_are_no_news(change):
    assert resolve([change(name) for name in NAMES]) == (IDS, [])


@pytest.mark.parametrize("space", ["coco_panoptic", "coco_stuff_171", "vistas_v1", "ade20k_150"])
def test_every_name_of_a_space_is_found_without_its_endings(space):
    rows = load_category_ids(space)
    names = [load_space(space).by_id[i].name for i in rows]
    short = [name.replace("-merged", "").replace("_", " ") for name in names]
    assert resolve(short, space) == (list(rows), [])


def test_other_words_for_the_same_are_no_news():
    """VOC's classes in COCO's words, and ADE20K's in those of its other list."""
    words = {
        **{"aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch"},
        **{"tvmonitor": "tv", "pottedplant": "potted plant", "diningtable": "dining table"},
    }
    rows = list(load_category_ids("voc"))
    assert resolve([words.get(name, name) for name in VOC], "voc") == (rows, [])
    one, other = (load_space(name) for name in ("ade20k_150", "ade20k_panoptic"))
    theirs = [other.by_id[i].name for i in load_category_ids("ade20k_panoptic")]
    ids = list(load_category_ids("ade20k_150"))
    assert len(theirs) == len(one.categories)
    assert resolve(theirs, "ade20k_150") == (ids, [])


def test_what_a_row_of_no_category_is_called_does_not_matter():
    assert resolve(["__background__", *VOC[1:]], "voc") == (list(load_category_ids("voc")), [])
    rows = load_category_ids("ade20k_32")
    names = [load_space("ade20k_32").by_id[i].name for i in rows[1:]]
    for first in ("other", "background", "void"):
        assert resolve([first, *names], "ade20k_32") == (list(rows), [])


def test_another_order_is_mapped_by_name_and_told():
    ids, (said,) = resolve(NAMES[::-1])
    assert ids == IDS[::-1]
    assert said.startswith(
        "net.pth: its classes have the names of 'cityscapes' in another order, so they are taken "
        "by name (class 0 is 'bicycle', not 'road'; class 1 is 'motorcycle', not 'sidewalk'; "
    )


def test_a_row_of_no_category_may_stand_elsewhere():
    rows = list(load_category_ids("voc"))
    ids, said = resolve([*VOC[1:], "background"], "voc")
    assert (ids, len(said)) == ([*rows[1:], rows[0]], 1)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([*VOC[1:20]], "class 0 is 'aeroplane', not 'road'; class 1 is 'bicycle', not 'sidewalk'"),
        ([NAMES[1], "zebra", *NAMES[2:]], "class 0 is 'sidewalk', not 'road'; class 1 is 'zebra'"),
        ([*NAMES[:18], "road"], "class 18 is 'road', not 'bicycle'"),
        (["lake", "zebra", *NAMES[2:]], "class 0 is 'lake', not 'road'; class 1 is 'zebra', not"),
    ],
    ids=["others", "shifted", "twice", "unknown"],
)
def test_other_names_are_refused_with_the_first_rows(names, message):
    with pytest.raises(ConfigError, match=f"net.pth: its classes are not those of .*{message}"):
        resolve(names)


def test_another_word_for_a_class_in_its_place_is_told():
    ids, said = resolve([*NAMES[:8], "greenery", *NAMES[9:]])
    assert ids == IDS
    assert said == [
        "net.pth: calls classes otherwise than 'cityscapes': class 8 is 'greenery', not "
        "'vegetation'"
    ]


def test_chosen_ids_may_join_classes_under_one_name():
    groups = [14, 14, 0]
    assert resolve(["cat", "zebra", "background"], "coco_super", groups) == (groups, [])


def test_chosen_ids_in_another_order_are_mapped_by_name():
    by_name = load_space("coco_super").by_name
    sky, person = by_name["sky"].category_id, by_name["person"].category_id
    ids, (said,) = resolve(["sky", "person"], "coco_super", [person, sky])
    assert ids == [sky, person]
    assert "class 0 is 'sky', not 'person'" in said


def test_chosen_ids_that_mean_something_else_are_kept_and_told():
    by_name = load_space("coco_super").by_name
    chosen = [by_name["animal"].category_id, by_name["sky"].category_id]
    ids, (said,) = resolve(["person", "sky"], "coco_super", chosen)
    assert ids == chosen
    assert said.endswith("class 0 is 'person', not 'animal'")


def test_names_of_another_number_are_told():
    with pytest.warns(FuseWarning, match="names 2 classes but has 19; the names are not used"):
        resolve_classes("net.pth", 19, "cityscapes", None, ["road", "sky"])


def test_who_sets_no_space_is_told_which_it_is():
    message = (
        r"19 classes \('road', 'sidewalk', 'building', ...\); they are those of cityscapes; set"
    )
    with pytest.raises(ConfigError, match=message):
        resolve_classes("net.pth", 19, None, None, NAMES)


def test_a_synonym_that_two_categories_share_is_none():
    space = LabelSpace("two", (Category(1, "door", True), Category(2, "door-stuff", False)))
    assert spell("door-stuff") & spell("door") == {"door"}
    assert [space.by_name[name].category_id for name in ("door", "door-stuff")] == [1, 2]
