"""Categories as other tools write them."""

import json

import pytest

from fuse.io.coco.categories import parse_color, read_categories

PLAIN = {"id": 7, "name": "cat", "isthing": 1}


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"supercategory": None, "color": "#fd380c"}, id="labelme2coco"),
        pytest.param({"color": None, "metadata": {}, "keypoint_colors": []}, id="COCO Annotator"),
        pytest.param({"color": [253, 56, 12, 255], "supercategory": 3}, id="RGBA"),
        pytest.param({"color": [0.5, 0.25, 1.0], "isthing": None}, id="fractions"),
        pytest.param({"color": {"r": 1}, "skeleton": None}, id="something else"),
    ],
)
def test_fields_that_nobody_needs_may_be_anything(tmp_path, extra):
    path = tmp_path / "categories.json"
    path.write_text(json.dumps([PLAIN | extra]))
    (category,) = read_categories(str(path)).categories
    assert (category.category_id, category.name, category.isthing) == (7, "cat", True)
    assert isinstance(category.supercategory, str)


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ([1, 2, 3], (1, 2, 3)),
        ([253, 56, 12, 255], (253, 56, 12)),
        ("#FD380C", (253, 56, 12)),
        ("fd380cff", (253, 56, 12)),
        ([1.0, 0.0, 0.0], (255, 0, 0)),
        ([0, 0, 1], (0, 0, 1)),
        ([1, 2], (128, 128, 128)),
        ([256, 0, 0], (128, 128, 128)),
        ([-1, 0, 0], (128, 128, 128)),
        (["1", 0, 0], (128, 128, 128)),
        ("blue", (128, 128, 128)),
        (None, (128, 128, 128)),
        (5, (128, 128, 128)),
    ],
)
def test_colors(color, expected):
    assert parse_color(color) == expected
