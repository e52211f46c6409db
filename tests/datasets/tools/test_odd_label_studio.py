"""What Label Studio really exports: several images, data beside the image, bitmasks, nulls."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from tool_files import SIZE, convert, write_json

from fuse import api
from fuse.errors import DataError

TRIANGLE = [[10, 10], [50, 10], [50, 50]]


def read_names(path):
    content = json.loads(path.read_text())
    return {image["id"]: image["file_name"] for image in content["images"]}


def region(**changes):
    value = {"points": TRIANGLE, "polygonlabels": ["cat"], "closed": True}
    return {
        "id": "r1",
        "type": "polygonlabels",
        "to_name": "image",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "value": value,
    } | changes


def write_tasks(path, results, data=None, **changes):
    data = data or {"image": "/data/upload/3/1f0b9c2d-a.jpg"}
    write_json(path, [{"id": 1, "data": data, "annotations": [{"result": results}]} | changes])
    return path


def test_bitmasks_of_label_studio(tmp_path):
    pixels = np.zeros((*SIZE, 4), np.uint8)  # black where it is opaque, too
    pixels[10:20, 10:30, 3] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    value = {"imageDataURL": url, "bitmasklabels": ["cat"]}
    path = write_tasks(tmp_path / "t.json", [region(type="bitmasklabels", value=value)])
    _, _, areas, _ = convert("label-studio", path, tmp_path / "gt.json")
    assert areas == [("cat", False, 200)]
    file = io.BytesIO()
    Image.fromarray(pixels[..., 3]).save(file, "PNG")  # grey: what of it is the region?
    grey = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    write_tasks(path, [region(type="bitmasklabels", value=value | {"imageDataURL": grey})])
    with pytest.raises(DataError, match=r"no pixel of the PNG can be transparent"):
        api.convert("label-studio", path, tmp_path / "gt1.json")
    other = region(type="bitmasklabels", value=value, original_width=SIZE[1] + 1)
    write_tasks(path, [other])
    with pytest.raises(DataError, match=r"the bitmask is 80 wide, 60 high; the image is 81 wide"):
        api.convert("label-studio", path, tmp_path / "gt2.json")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"caption": "and/or", "image": "/data/upload/3/1f0b9c2d-a.jpg"}, "a.jpg"),
        ({"source": "https://x.org/page", "photo": "s3://b/a%20b.JPG?X=1"}, "a b.JPG"),
        ({"image": "C:\\photos\\a.jpg"}, "a.jpg"),
        ({"image": "/data/local-files/?d=in%5Ca.jpg"}, "in/a.jpg"),
    ],
)
def test_the_image_of_a_task(tmp_path, data, name):
    path = write_tasks(tmp_path / "t.json", [region()], data)
    convert("label-studio", path, tmp_path / "gt.json")
    assert list(read_names(tmp_path / "gt.json").values()) == [name]


@pytest.mark.parametrize(
    ("results", "data", "message"),
    [
        ([region(), region(to_name="b")], None, r"of 2 images \(of tags or places b 0, image 0\)"),
        ([region(), region(item_index=1)], None, r"of 2 images .*make a task of each"),
        ([region()], {"a": "x/a.jpg", "b": "x/b.jpg"}, r"names several images \(a, b\)"),
        ([region()], {"image": "data:image/jpeg;base64,/9j/4AAQ"}, r"'data' names no image"),
        ([region(original_width=None)], None, r"do not say original_width and original_height"),
        (
            [region(value={"points": [[100, 9], [500, 9], [9, 9]], "polygonlabels": ["a"]})],
            None,
            r"0 to 100, and one is 500; if these are pixels",
        ),
    ],
)
def test_tasks_that_do_not_say_enough_are_named(tmp_path, results, data, message):
    path = write_tasks(tmp_path / "t.json", results, data)
    with pytest.raises(DataError, match=f"task 1.*{message}"):
        api.convert("label-studio", path, tmp_path / "gt.json")


def test_nulls_of_label_studio_are_nothing(tmp_path):
    path = write_tasks(tmp_path / "t.json", [region()], predictions=None, completions=None)
    tasks = json.loads(path.read_text())
    tasks.append({"id": 2, "data": {"image": "b.jpg"}, "annotations": None})
    tasks.append({"id": 3, "data": {"image": "c.jpg"}, "annotations": [{"result": None}]})
    write_json(path, tasks)
    truth, _, _, findings = convert("label-studio", path, tmp_path / "gt.json")
    assert list(truth.annotations) == ["a"]
    assert findings["image-unlabelled"] == 2
