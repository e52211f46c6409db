"""Odd but legal content, out and in again, and as other libraries read it."""

import json

import numpy as np
import pytest
import supervision
from panoptic_maps import panoptic, write_dataset
from PIL import Image

from fuse import api
from fuse.errors import DataError, LabelSpaceError
from fuse.exports.export import FORMS, export
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import load_space
from fuse.types import Category, LabelSpace

SIZE = (60, 90)
NAMES = (
    *("sky", "Bär, groß", 'a/b: "q"', "it's #1", "😀", "<x>&amp;", "back\\slash", "100%", "no"),
    *("1", "{x}", "null", "semi;colon", "-dash"),
)
SPACE = LabelSpace(
    "odd", tuple(Category(n + 1, name, n > 0, color=(n, 9, 9)) for n, name in enumerate(NAMES))
)
EXACT = {
    "cvat": ("masks", "cvat"),
    "labelme": ("masks", "labelme"),
    "label-studio": ("masks", "label-studio"),
    "coco-instances": ("auto", "coco-instances"),
    "voc": ("auto", "cvat-masks"),
}


def draw_odd():
    """A hole and an island in it, parts, touching segments, one pixel, a line, a diagonal."""
    rows, categories = np.zeros(SIZE, np.int32), {n: n for n in range(1, len(NAMES) + 1)}
    rows[40:] = 1
    rows[2:20, 2:20] = 2
    rows[6:16, 6:16] = 0
    rows[9:13, 9:13] = 3
    rows[2:10, 30:40] = rows[14:20, 30:34] = 4
    rows[2:10, 40:50] = 5
    rows[25, 25] = 6
    rows[25, 27:35] = 7
    rows[30:34, 2:6] = rows[34:38, 6:10] = 8
    for segment_id in range(9, len(NAMES) + 1):
        rows[50:54, 6 * segment_id - 50 : 6 * segment_id - 46] = segment_id
    return panoptic(rows, categories | {4: 2, 5: 2})


def write(folder, name="a.jpg", space=SPACE, image=None):
    path = write_dataset(folder, "gt", {1: image or draw_odd()}, space)
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    return path


def list_masks(path, image_id):
    dataset = read_panoptic_json(path)
    image = dataset.load(image_id)
    return sorted(
        (dataset.own_space.by_id[s.category_id].name, *s.bbox, s.area) for s in image.segments_info
    )


@pytest.mark.parametrize("form", EXACT)
@pytest.mark.parametrize("name", ["a.jpg", "sub dir/ü 😀, 'b' #%.jpg"])
def test_odd_content_comes_back_to_the_pixel(tmp_path, form, name):
    path = write(tmp_path, name)
    out = tmp_path / f"out{FORMS[form].ending or ''}"
    export(path, out, to=form, shapes=EXACT[form][0], stuff=None if form == "voc" else True)
    api.convert(EXACT[form][1], out, tmp_path / "back.json", stuff=["sky"])
    back = read_panoptic_json(tmp_path / "back.json")
    found = list_masks(tmp_path / "back.json", back.find_image(name))
    assert found == list_masks(path, 1)


def test_supervision_sees_the_same_masks_in_yolo_and_coco(tmp_path):
    rows = np.zeros(SIZE, np.int32)
    rows[2:20, 2:20] = 2
    rows[6:16, 6:16] = 0
    rows[9:13, 9:13] = 3
    rows[25, 25] = 4
    rows[30, 27:35] = 5
    rows[30:34, 2:6] = rows[34:38, 6:10] = 6
    image = panoptic(rows, {n: n for n in range(2, 7)})
    path = write(tmp_path, image=image)
    (tmp_path / "images").mkdir()
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "images" / "a.jpg")
    yolo, coco = tmp_path / "yolo", tmp_path / "coco.json"
    export(path, yolo, to="yolo-seg")
    export(path, coco, to="coco-instances")
    images = str(tmp_path / "images")
    read = supervision.DetectionDataset
    seen = [
        read.from_yolo(images, str(yolo / "labels"), str(yolo / "data.yaml"), force_masks=True),
        read.from_coco(images, str(coco), force_masks=True),
    ]
    for dataset in seen:
        [(_, _, detections)] = list(dataset)
        names = [dataset.classes[number] for number in detections.class_id]
        assert sorted(names) == sorted(NAMES[1:6])
        for name, mask in zip(names, detections.mask, strict=True):
            np.testing.assert_array_equal(mask, rows == SPACE.by_name[name].category_id)


@pytest.mark.parametrize("name", ["#1", " cat", "new\nline"])
@pytest.mark.parametrize("form", ["voc", "coloured-png"])
def test_names_that_fit_no_line_are_refused(tmp_path, form, name):
    space = LabelSpace("odd", (Category(1, name, True),))
    path = write(tmp_path, space=space, image=panoptic(np.ones(SIZE, np.int32), {1: 1}))
    with pytest.raises(LabelSpaceError, match=r"cannot stand in labelmap.txt: .*rename it"):
        export(path, tmp_path / "out", to=form)
    assert not (tmp_path / "out").exists()


def test_a_class_called_background_is_told(tmp_path):
    space = LabelSpace("odd", (Category(1, "background", False), Category(2, "cat", True)))
    path = write(tmp_path, space=space, image=panoptic(np.ones(SIZE, np.int32), {1: 1}))
    result = export(path, tmp_path / "out", to="voc")
    assert "background-as-void" in {finding.code for finding in result.findings}


def test_images_of_one_name_and_names_with_blanks_do_not_fit_cityscapes(tmp_path):
    space = load_space("cityscapes")
    image = panoptic(np.ones(SIZE, np.int32), {1: space.categories[0].category_id})
    path = write_dataset(tmp_path, "gt", {1: image, 2: image}, space)
    content = json.loads(path.read_text())
    for record, name in zip(content["images"], ("a/1.jpg", "b/1.jpg"), strict=True):
        record["file_name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"pixel/1.png would be of two images; rename one"):
        export(path, tmp_path / "out", to="cityscapes")
    with pytest.raises(DataError, match=r"parts its lines at blanks"):
        export(write(tmp_path / "b", "a 1.jpg", space, image), tmp_path / "out", to="cityscapes")
    assert not (tmp_path / "out").exists()
