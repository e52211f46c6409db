"""What exports really hold, after public bug reports of these tools: read, said or refused."""

import copy
import itertools
import json

import numpy as np
import pytest
import tool_files
from PIL import Image
from tool_files import SIZE, convert, write_image, write_json

from fuse import api
from fuse.errors import DataError
from fuse.exports.export import export
from fuse.io.coco.panoptic import read_panoptic_json


@pytest.fixture
def labelme(tmp_path):
    write_json(tmp_path / "in" / "2011_000003.json", tool_files.LABELME)
    return tmp_path / "in"


def read_names(path):
    content = json.loads(path.read_text())
    return {image["id"]: image["file_name"] for image in content["images"]}


# Files beside the labels


@pytest.mark.parametrize(
    "name", ["._2011_000003.json", ".ipynb_checkpoints/a.json", "@eaDir/a.json"]
)
def test_what_systems_leave_is_no_label(labelme, tmp_path, name):
    (labelme / name).parent.mkdir(exist_ok=True)
    write_json(labelme / name, tool_files.LABELME)
    truth, *_ = convert("labelme", labelme, tmp_path / "gt.json")
    assert list(truth.annotations) == ["2011_000003"]


def test_endings_count_in_any_case(labelme, tmp_path):
    write_json(labelme / "b.JSON", tool_files.LABELME | {"imagePath": "b.jpg"})
    api.convert("labelme", labelme, tmp_path / "gt.json")
    assert list(read_names(tmp_path / "gt.json")) == ["2011_000003", "b"]


def test_what_is_packed_or_one_file_of_a_folder_is_told_so(labelme, tmp_path):
    (tmp_path / "in.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"in.zip is packed; unpack it, and give the folder"):
        api.convert("labelme", tmp_path / "in.zip", tmp_path / "gt.json")
    with pytest.raises(DataError, match=r"2011_000003.json is a file; give the folder"):
        api.convert("labelme", labelme / "2011_000003.json", tmp_path / "gt.json")
    with pytest.raises(DataError, match=r"in.zip: is packed; unpack it, and give annotations.xml"):
        api.convert("cvat", tmp_path / "in.zip", tmp_path / "gt.json")


# One image, one entry


def test_two_files_of_one_image_are_refused(labelme, tmp_path):
    write_json(labelme / "copy.json", tool_files.LABELME)
    match = r"two entries are of one image: '2011_000003' \(2011_000003.jpg\) and 'copy'"
    with pytest.raises(DataError, match=match):
        api.convert("labelme", labelme, tmp_path / "gt.json")
    assert not (tmp_path / "gt.json").exists()


def test_two_coco_images_of_one_name_or_id_are_refused(tmp_path):
    content = write_coco(tmp_path, file_name="a.jpg")
    content["images"].append(content["images"][0] | {"id": 2})
    write_json(tmp_path / "coco.json", content)
    with pytest.raises(DataError, match=r"one image: 1 \(a.jpg\) and 2 \(a.jpg\); remove one"):
        api.convert("coco-instances", tmp_path / "coco.json", tmp_path / "gt.json")
    content["images"][1] |= {"id": 1, "file_name": "b.jpg"}
    write_json(tmp_path / "coco.json", content)
    with pytest.raises(DataError, match=r"two images have the id 1; renumber them"):
        api.convert("coco-instances", tmp_path / "coco.json", tmp_path / "gt.json")


def test_images_that_differ_by_their_endings_are_two(tmp_path):
    other = '<image id="1" name="filename000.png" width="80" height="60"></image></annotations>'
    path = tmp_path / "annotations.xml"
    path.write_text(tool_files.CVAT.replace("</annotations>", other))
    api.convert("cvat", path, tmp_path / "gt.json")
    truth = read_panoptic_json(tmp_path / "gt.json")
    assert list(truth.annotations) == ["filename000.jpg", "filename000.png"]
    assert [s.category_id for s in truth.load("filename000.jpg").segments_info] == [2, 1, 1]
    assert not truth.load("filename000.png").segments_info


@pytest.mark.parametrize(
    ("name", "png"),
    [
        ("/data/x/a.jpg", "a.png"),
        ("C:\\photos\\a.jpg", "a.png"),
        ("https://host/x/a.jpg?d=1", "a.png"),
        ("trip\\a.jpg", "trip/a.png"),
    ],
)
def test_names_that_are_paths_elsewhere_get_a_map_inside(tmp_path, name, png):
    write_coco(tmp_path, file_name=name)
    truth, *_ = convert("coco-instances", tmp_path / "coco.json", tmp_path / "gt.json")
    assert read_names(tmp_path / "gt.json") == {1: name}
    assert truth.annotations[1].file_name == png
    assert (tmp_path / "gt" / png).is_file()


# labelme


def test_labelme_finds_its_image_where_the_file_says(labelme, tmp_path):
    content = tool_files.LABELME | {"imagePath": "..\\img\\2011_000003.jpg"}
    write_json(labelme / "2011_000003.json", content)
    write_image(tmp_path / "img" / "2011_000003.jpg", (30, 40))
    with pytest.raises(DataError, match=r"2011_000003.json is 80 wide.*is 40 wide, 30 high"):
        api.convert("labelme", labelme, tmp_path / "gt.json")
    write_json(labelme / "2011_000003.json", content | {"imageHeight": None})
    (tmp_path / "img" / "2011_000003.jpg").unlink()
    with pytest.raises(DataError, match=r"does not say how large its image is.*--images"):
        api.convert("labelme", labelme, tmp_path / "gt.json")
    write_image(labelme / "2011_000003.JPG")
    truth, *_ = convert("labelme", labelme, tmp_path / "gt.json")
    assert truth.load("2011_000003").size == SIZE


def test_images_that_nobody_labelled_are_counted(labelme, tmp_path):
    for name in ("2011_000003.jpg", "b.jpg", "c.PNG"):
        write_image(labelme / name)
    *_, findings = convert("labelme", labelme, tmp_path / "gt.json")
    assert findings["image-unlabelled"] == 2


def test_shares_where_pixels_are_meant_are_told(labelme, tmp_path):
    content = copy.deepcopy(tool_files.LABELME)
    content["shapes"][0]["points"] = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]
    write_json(labelme / "2011_000003.json", content)
    *_, findings = convert("labelme", labelme, tmp_path / "gt.json")
    assert findings["label-in-first-pixel"] == 1


def test_classes_that_differ_by_case_and_blanks_are_told(labelme, tmp_path):
    content = copy.deepcopy(tool_files.LABELME)
    content["shapes"][1]["label"] = "Sofa "
    write_json(labelme / "2011_000003.json", content)
    *_, findings = convert("labelme", labelme, tmp_path / "gt.json")
    assert findings["classes-alike"] == 1


def test_a_circle_beyond_all_numbers_is_named(labelme, tmp_path):
    content = copy.deepcopy(tool_files.LABELME)
    content["shapes"] = [
        {"label": "a", "points": [[-1e308, 0], [1e308, 0]], "shape_type": "circle"}
    ]
    write_json(labelme / "2011_000003.json", content)
    with pytest.raises(DataError, match=r"shape 0: its centre, radii and rotation must be finite"):
        api.convert("labelme", labelme, tmp_path / "gt.json")


# CVAT


def test_a_cvat_shape_of_an_empty_label_is_named(tmp_path):
    path = tmp_path / "annotations.xml"
    path.write_text(tool_files.CVAT.replace('<polygon label="car"', '<polygon label=""'))
    with pytest.raises(DataError, match=r"polygon 1: cannot be read \(its label has no name\)"):
        api.convert("cvat", path, tmp_path / "gt.json")


def test_a_name_with_colons_stands_in_labelmap(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "labelmap.txt").write_text("background:0,0,0::\nvehicle:car:250, 50, 83::\n")
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[10:20, 10:20] = (250, 50, 83)
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    _, _, areas, _ = convert("cvat-masks", tmp_path / "in", tmp_path / "gt.json")
    assert areas == [("vehicle:car", False, 100)]


# YOLO


@pytest.fixture
def yolo(tmp_path):
    write_image(tmp_path / "in" / "images" / "a.jpg")
    (tmp_path / "in" / "labels").mkdir()
    (tmp_path / "in" / "labels" / "a.txt").write_text("1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    (tmp_path / "in" / "data.yaml").write_text("names: [cat, dog]\n")
    return tmp_path / "in"


def test_yolo_classes_with_a_point_and_numbers_as_text(yolo, tmp_path):
    (yolo / "labels" / "a.txt").write_text("1.0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    (yolo / "data.yaml").write_text("names: {'0': cat, '1': dog}\n")
    _, _, areas, _ = convert("yolo-seg", yolo / "data.yaml", tmp_path / "gt.json")
    assert [name for name, *_ in areas] == ["dog"]
    (yolo / "labels" / "a.txt").write_text("1.5 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    with pytest.raises(DataError, match=r"line 1: there is no class 1.5"):
        api.convert("yolo-seg", yolo, tmp_path / "gt2.json")


def test_an_image_of_yolo_may_be_called_as_a_list_is(yolo, tmp_path):
    (yolo / "images" / "a.jpg").rename(yolo / "images" / "test.jpg")
    (yolo / "labels" / "a.txt").rename(yolo / "labels" / "test.txt")
    (yolo / "test.txt").write_text("images/test.jpg\n")
    _, _, areas, findings = convert("yolo-seg", yolo, tmp_path / "gt.json")
    assert [name for name, *_ in areas] == ["dog"]
    assert set(findings) == {"kinds-assumed"}


def test_yolo_names_come_from_the_data_set_not_from_what_lies_beside(yolo, tmp_path):
    (yolo / "args.yaml").write_text("task: segment\nnames: [x, y]\n")
    _, _, areas, _ = convert("yolo-seg", yolo, tmp_path / "gt.json")
    assert [name for name, *_ in areas] == ["dog"]
    (yolo / "labels" / "classes.txt").write_text("cat\ndog\n")  # as labelImg has it
    _, _, areas, _ = convert("yolo-seg", yolo, tmp_path / "gt2.json")
    assert [name for name, *_ in areas] == ["dog"]
    (yolo / "labels" / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(DataError, match=r"classes.txt and .*data.yaml name other classes"):
        api.convert("yolo-seg", yolo, tmp_path / "gt3.json")


@pytest.mark.parametrize(
    ("yaml", "line", "message"),
    [
        (
            "names: [a, b]\nkpt_shape: [3, 2]",
            "0 .5 .5 .2 .2 .4 .4 .6 .6",
            "kpt_shape, so its labels",
        ),
        ("names: [a, b]", "0 10 10 50 10 50 50", r"0 to 1, and one is 50; if these are pixels"),
        ("names: [yes, no]", "0 .1 .1 .5 .1 .5 .5", r"the class True as no text; put it in quotes"),
        ("names: [1.10, a]", "0 .1 .1 .5 .1 .5 .5", r"the class 1\.1 as no text; put it in quotes"),
        ("names: [a, b]", "-1 .1 .1 .5 .1 .5 .5", r"there is no class -1; there are 2"),
        ("names: [a, b]", "inf .1 .1 .5 .1 .5 .5", r"there is no class inf; there are 2"),
        ("names: [a, b]", "0 .1 .1 .5 .1 .5 .5 0.87", r"a score at the end, as of save_conf"),
    ],
)
def test_other_lines_of_yolo_are_refused(yolo, tmp_path, yaml, line, message):
    (yolo / "data.yaml").write_text(yaml)
    (yolo / "labels" / "a.txt").write_text(line)
    with pytest.raises(DataError, match=message):
        api.convert("yolo-seg", yolo, tmp_path / "gt.json")


def test_names_of_yolo_that_nest_are_refused_in_no_time(yolo, tmp_path):
    lines = [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise("abcdefghi")]
    (yolo / "data.yaml").write_text("\n".join(["a: &a [l, l]", *lines, "names: *i"]))
    with pytest.raises(DataError, match=r"data.yaml: 'names' must list the classes"):
        api.convert("yolo-seg", yolo, tmp_path / "gt.json")


def test_yolo_images_without_labels_are_counted_and_doubles_refused(yolo, tmp_path):
    write_image(yolo / "images" / "b.JPG")
    *_, findings = convert("yolo-seg", yolo, tmp_path / "gt.json")
    assert findings["image-unlabelled"] == 1
    write_image(yolo / "images" / "a.png", (30, 40))
    with pytest.raises(DataError, match=r"a.jpg and .*a.png would both be the image of one label"):
        api.convert("yolo-seg", yolo, tmp_path / "gt2.json")


# COCO instances


def write_coco(folder, segmentation=None, bbox=(10, 10, 20, 20), **image):
    image = {"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]} | image
    entry = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": list(bbox)}
    entry["segmentation"] = segmentation or [[10, 10, 30, 10, 30, 30, 10, 30]]
    categories = [{"id": 1, "name": "cat"}]
    content = {"images": [image], "annotations": [entry], "categories": categories}
    write_json(folder / "coco.json", content)
    return content


def test_an_rle_along_rows_is_told_by_its_box(tmp_path):
    mask = np.zeros(SIZE, bool)
    mask[10:30, 10:50] = True
    flat = mask.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    write_coco(tmp_path, {"size": list(SIZE), "counts": counts}, (10, 10, 40, 20))
    *_, findings = convert("coco-instances", tmp_path / "coco.json", tmp_path / "gt.json")
    assert findings["label-off-box"] == 1
    for number, (polygon, bbox) in enumerate(
        [
            (None, (10, 10, 20, 20)),
            ([[10, 10.4, 40, 10.4, 40, 10.8, 10, 10.8]], (10, 10.4, 30, 0.4)),  # one row of pixels
        ]
    ):
        write_coco(tmp_path, polygon, bbox)
        out = tmp_path / f"good{number}.json"
        *_, findings = convert("coco-instances", tmp_path / "coco.json", out)
        assert "label-off-box" not in findings


def test_ids_that_are_text_in_one_place_only_are_named(tmp_path):
    content = write_coco(tmp_path)
    content["annotations"][0]["image_id"] = "1"
    write_json(tmp_path / "coco.json", content)
    with pytest.raises(DataError, match=r"image_id '1' is not in 'images', where it is 1; write"):
        api.convert("coco-instances", tmp_path / "coco.json", tmp_path / "gt.json")


def test_polygons_that_are_not_nested_are_shown_how(tmp_path):
    write_coco(tmp_path, [10, 10, 30, 10, 30, 30])
    with pytest.raises(DataError, match=r"annotation 0: segmentation: .*polygons are \[\[x, y"):
        api.convert("coco-instances", tmp_path / "coco.json", tmp_path / "gt.json")


# Out and in again


@pytest.mark.parametrize("name", ["50% #1 & more?.jpg", "a+b;c.jpg", "Größe 😀, 'x'.jpg"])
def test_odd_names_come_back_from_label_studio(tmp_path, name):
    write_coco(tmp_path, file_name=name)
    api.convert("coco-instances", tmp_path / "coco.json", tmp_path / "gt.json")
    for n, prefix in enumerate(("", "/data/local-files/?d=")):
        out = tmp_path / f"tasks{n}.json"
        export(tmp_path / "gt.json", out, to="label-studio", image_prefix=prefix)
        api.convert("label-studio", out, tmp_path / f"back{n}.json")
        assert list(read_names(tmp_path / f"back{n}.json").values()) == [name]


def test_a_labelmap_without_colours_has_those_of_voc(tmp_path):
    (tmp_path / "in").mkdir()
    labelmap = tmp_path / "in" / "labelmap.txt"
    labelmap.write_text("# label:color_rgb:parts:actions\nbackground:::\ncar:::\nroad:::\n")
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[10:20, 10:20] = (0, 128, 0)  # the third of PASCAL VOC's
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    _, _, areas, _ = convert("cvat-masks", tmp_path / "in", tmp_path / "gt.json")
    assert areas == [("road", False, 100)]
    labelmap.write_text("background:::\ncar:1,2,3::\n")
    with pytest.raises(DataError, match=r"line 1: 'background' has no colour"):
        api.convert("cvat-masks", tmp_path / "in", tmp_path / "gt2.json")


def test_polygons_that_would_take_minutes_and_gigabytes_are_refused(labelme, tmp_path):
    rng = np.random.default_rng(0)
    zigzag = rng.integers(0, SIZE[0], (200_000, 2))
    content = copy.deepcopy(tool_files.LABELME)
    content["shapes"][0]["points"] = zigzag.tolist()
    write_json(labelme / "2011_000003.json", content)
    match = r"a polygon of 200,000 points is .* pixels around; at most 4,000,000 are drawn"
    with pytest.raises(DataError, match=f"shape 0: {match}"):
        api.convert("labelme", labelme, tmp_path / "gt.json")
    write_coco(tmp_path, [zigzag.ravel().tolist()])
    with pytest.raises(DataError, match=f"annotation 0: segmentation: {match}"):
        api.convert("coco-instances", tmp_path / "coco.json", tmp_path / "gt.json")
