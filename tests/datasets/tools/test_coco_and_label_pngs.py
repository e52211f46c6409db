"""COCO instances, alone and over semantic labels, and label PNGs alone."""

import numpy as np
import pytest
import tool_files
from PIL import Image
from tool_files import SIZE, SPACE_CSV, convert, write_json

from fuse import api
from fuse.errors import ConfigError, DataError


def test_coco_instances_alone(tmp_path):
    path = write_json(tmp_path / "instances.json", tool_files.coco_instances())
    truth, _image, areas, findings = convert("coco-instances", path, tmp_path / "gt.json")
    assert areas == [("dog", False, 36), ("person", False, 900 - 36), ("person", True, 400)]
    assert findings == {"overlap-by-size": 36}
    assert list(truth.annotations) == [7]
    assert {c.category_id for c in truth.space.categories} >= {1, 18}


def test_coco_instances_over_a_stuff_json(tmp_path):
    path = write_json(tmp_path / "instances.json", tool_files.coco_instances())
    stuff = write_json(tmp_path / "stuff.json", tool_files.stuff_json())
    truth, image, areas, _ = convert(
        "coco-instances", path, tmp_path / "gt.json", semantic=stuff, things=["person", "dog"]
    )
    grass, sky = ("grass", False, 80 * 30 - 300 - 400), ("sky-other", False, 80 * 30 - 600)
    assert areas == [("dog", False, 36), grass, ("person", False, 864), ("person", True, 400), sky]
    assert truth.space.by_name["grass"].category_id == 124
    assert (image.panoptic_map > 0).all()
    content = tool_files.stuff_json()
    content["categories"][0]["id"] = content["annotations"][1]["category_id"] = 18
    write_json(stuff, content)
    with pytest.raises(DataError, match=r"category id 18 is 'grass' there and 'dog' among"):
        api.convert("coco-instances", path, tmp_path / "b.json", semantic=stuff)


def test_coco_instances_over_label_pngs(tmp_path):
    path = write_json(tmp_path / "instances.json", tool_files.coco_instances())
    labels = np.full(SIZE, 255, np.uint8)
    labels[:30], labels[40:] = 119, 1  # sky, and a person that no instance covers
    (tmp_path / "png").mkdir()
    Image.fromarray(labels).save(tmp_path / "png" / "000000000007.png")
    (tmp_path / "mine.csv").write_text(
        "category_id,class_index,name,isthing,supercategory,r,g,b\n"
        "1,0,person,1,,1,1,1\n18,1,dog,1,,2,2,2\n119,2,sky,0,,3,3,3\n"
    )
    options = {"semantic": tmp_path / "png", "label_space": str(tmp_path / "mine.csv")}
    _, _, areas, findings = convert("coco-instances", path, tmp_path / "gt.json", **options)
    assert ("sky", False, 80 * 30 - 600) in areas
    assert findings["thing-without-object"] == 80 * 20
    with pytest.raises(ConfigError, match="label PNGs have no names; give --label-space"):
        api.convert("coco-instances", path, tmp_path / "b.json", semantic=tmp_path / "png")


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (0, {"category_id": 3}, r"annotation 0: category_id 3 is not in 'categories'"),
        (1, {"image_id": 8}, r"annotation 1: image_id 8 is not in 'images'"),
        (2, {"segmentation": {"size": [60, 80], "counts": [1]}}, r"annotation 2: segmentation"),
    ],
)
def test_wrong_annotations_are_named(tmp_path, place, change, message):
    content = tool_files.coco_instances()
    content["annotations"][place] |= change
    path = write_json(tmp_path / "instances.json", content)
    with pytest.raises(DataError, match=message):
        api.convert("coco-instances", path, tmp_path / "gt.json")


def test_polygons_of_two_points_and_outside_are_counted(tmp_path):
    content = tool_files.coco_instances()
    content["annotations"][0]["segmentation"] = [[1, 1, 2, 2]]
    content["annotations"][1]["segmentation"] = [[200, 200, 210, 200, 210, 210]]
    path = write_json(tmp_path / "instances.json", content)
    _, _, areas, findings = convert("coco-instances", path, tmp_path / "gt.json")
    assert areas == [("person", True, 400)]
    assert findings == {"polygon-short": 1, "label-outside": 1, "label-empty": 1}


@pytest.fixture
def label_pngs(tmp_path):
    labels = np.full(SIZE, 255, np.uint8)
    labels[:20] = 5
    labels[30:40, :10] = labels[30:40, 20:30] = 3
    labels[50:, 70:] = 0
    (tmp_path / "png").mkdir()
    Image.fromarray(labels).save(tmp_path / "png" / "a.png")
    (tmp_path / "mine.csv").write_text(SPACE_CSV)
    return tmp_path / "png", {"label_space": str(tmp_path / "mine.csv")}


def test_label_pngs_alone(label_pngs, tmp_path):
    folder, options = label_pngs
    _, _, areas, findings = convert("semantic-png", folder, tmp_path / "gt.json", **options)
    assert areas == [("person", False, 100), ("person", False, 100), ("sofa", False, 1600)]
    assert findings == {"zero-as-void": 100}
    _, _, areas, _ = convert(
        "semantic-png", folder, tmp_path / "b.json", **options, stuff=["person", "sofa"]
    )
    assert areas == [("person", False, 200), ("sofa", False, 1600)]


def test_numbers_that_are_no_class_are_named(label_pngs, tmp_path):
    folder, options = label_pngs
    with pytest.raises(DataError, match=r"a.png: 3 is no class index of 'mine', nor 255 for void"):
        api.convert("semantic-png", folder, tmp_path / "gt.json", **options, values="class-index")
    with pytest.raises(ConfigError, match="label PNGs have no names; give --label-space"):
        api.convert("semantic-png", folder, tmp_path / "gt.json")


def test_a_panoptic_json_is_told_apart(tmp_path):
    entry = {"image_id": 1, "file_name": "a.png", "segments_info": []}
    content = {"images": [], "annotations": [entry], "categories": []}
    path = write_json(tmp_path / "panoptic.json", content)
    with pytest.raises(DataError, match=r"panoptic.json is panoptic already; give it as it is"):
        api.convert("coco-instances", path, tmp_path / "gt.json")
