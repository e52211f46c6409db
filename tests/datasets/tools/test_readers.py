"""Each tool's published layout becomes the segments that a person sees in it."""

import base64
import copy
import json

import numpy as np
import pytest
import tool_files
from PIL import Image
from tool_files import SIZE, SPACE_CSV, brush_code, convert, write_image, write_json

from fuse import api
from fuse.errors import ConfigError, DataError, FuseError, LabelSpaceError


@pytest.fixture
def labelme(tmp_path):
    write_json(tmp_path / "in" / "2011_000003.json", tool_files.LABELME)
    return tmp_path / "in"


def test_labelme(labelme, tmp_path):
    truth, image, areas, findings = convert(
        "labelme", labelme, tmp_path / "gt.json", stuff=["sofa"]
    )
    # Pillow's and OpenCV's polygons hold their corners: 10 x 20 pixels, 20 x 20 and 10 x 10.
    assert areas == [("person", False, 200), ("sofa", False, 500)]
    assert image.panoptic_map[10, 10]
    assert image.panoptic_map[29, 19]
    assert not image.panoptic_map[30, 19]
    assert not image.panoptic_map[0, 0]
    assert list(truth.annotations) == ["2011_000003"]
    assert truth.images["2011_000003"].file_name == "2011_000003.jpg"
    assert findings == {"label-no-area": 1, "label-filled": 1}


def test_labelme_things_of_a_group_are_one_object(labelme, tmp_path):
    _, _, areas, findings = convert("labelme", labelme, tmp_path / "gt.json")
    assert areas == [("person", False, 200), ("sofa", False, 500)]
    assert findings["kinds-assumed"] == 2


def test_labelme_masks_and_circles(labelme, tmp_path):
    content = copy.deepcopy(tool_files.LABELME)
    mask = np.zeros((4, 6), bool)
    mask[1:, 2:] = True
    content["shapes"] = [
        {
            "label": "a",
            "points": [[70, 50], [75, 53]],
            "shape_type": "mask",
            "mask": tool_files.png_text(mask),
        },
        {"label": "b", "points": [[30, 30], [40, 30]], "shape_type": "circle"},
    ]
    write_json(labelme / "2011_000003.json", content)
    _, image, areas, findings = convert("labelme", labelme, tmp_path / "gt.json", things=["a", "b"])
    assert areas[0] == ("a", False, 12)
    assert image.panoptic_map[51, 72]
    assert not image.panoptic_map[50, 72]
    assert areas[1][2] == pytest.approx(np.pi * 10**2, rel=0.15)
    assert findings == {"label-filled": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": " "}, r"2011_000003.json, shape 0: the shape has no label"),
        ({"shape_type": "cube"}, r"shape 0: shape_type 'cube' is not known"),
        ({"shape_type": "mask", "mask": "????"}, r"shape 0: a mask has two points"),
        ({"points": [[1, "x"]]}, r"is not a labelme JSON"),
    ],
)
def test_wrong_labelme_shapes_are_named(labelme, tmp_path, change, message):
    content = copy.deepcopy(tool_files.LABELME)
    content["shapes"][0] |= change
    write_json(labelme / "2011_000003.json", content)
    with pytest.raises(FuseError, match=message):
        api.convert("labelme", labelme, tmp_path / "gt.json", things=["sofa"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_labelme_file_of_another_size_than_its_image_is_named(labelme, tmp_path):
    height, width = SIZE
    write_image(labelme / "2011_000003.jpg")
    convert("labelme", labelme, tmp_path / "a.json", stuff=["sofa"])
    write_image(labelme / "2011_000003.jpg", (height // 2, width // 2))
    sizes = f"{width} wide, {height} high.*{width // 2} wide, {height // 2} high"
    with pytest.raises(DataError, match=f"2011_000003.json is {sizes}; label that image"):
        api.convert("labelme", labelme, tmp_path / "b.json", stuff=["sofa"])
    write_image(tmp_path / "right" / "2011_000003.jpg")
    convert("labelme", labelme, tmp_path / "b.json", stuff=["sofa"], images=tmp_path / "right")


def test_images_too_large_to_be_read_are_refused(labelme, tmp_path):
    content = tool_files.LABELME | {"imageHeight": 10**6, "imageWidth": 10**6}
    write_json(labelme / "2011_000003.json", content)
    with pytest.raises(DataError, match=r"2011_000003.jpg' is said to be 1000000 wide"):
        api.convert("labelme", labelme, tmp_path / "gt.json", things=["sofa"])


def test_an_unknown_version_and_short_polygons(labelme, tmp_path):
    content = copy.deepcopy(tool_files.LABELME)
    content["shapes"][0]["points"] = [[1, 1], [2, 2]]
    content["shapes"][2]["points"] = [[60, 40], [90, 40], [90, 49], [60, 49]]
    write_json(labelme / "2011_000003.json", content)
    _, _, areas, findings = convert("labelme", labelme, tmp_path / "gt.json", things=["person"])
    assert findings == {
        "label-outside": 1,
        "label-no-area": 1,
        "label-filled": 1,
        "polygon-short": 1,
    }
    assert areas == [("sofa", False, 600)]
    write_json(labelme / "2011_000003.json", content | {"version": "9.0"})
    with pytest.raises(DataError, match=r"2011_000003.json: labelme version '9.0' is not known"):
        api.convert("labelme", labelme, tmp_path / "other.json")


def test_labels_are_looked_up_in_a_label_space(labelme, tmp_path):
    (tmp_path / "mine.csv").write_text(SPACE_CSV)
    space = str(tmp_path / "mine.csv")
    truth, _, areas, findings = convert("labelme", labelme, tmp_path / "gt.json", label_space=space)
    assert areas == [("person", False, 200), ("sofa", False, 500)]
    assert "kinds-assumed" not in findings
    assert [c.category_id for c in truth.space.categories] == [3, 5]
    (tmp_path / "mine.csv").write_text(SPACE_CSV.replace("sofa", "sofas"))
    with pytest.raises(LabelSpaceError, match=r"first 'sofa'; near it are 'sofas'"):
        api.convert("labelme", labelme, tmp_path / "b.json", label_space=space)
    with pytest.raises(ConfigError, match="has no class 'sofaa'; did you mean 'sofa'"):
        api.convert("labelme", labelme, tmp_path / "b.json", things=["sofaa"])
    with pytest.raises(ConfigError, match="labelme has no --split; it has --images, --label-space"):
        api.convert("labelme", labelme, tmp_path / "b.json", split="val")


def test_cvat(tmp_path):
    path = tmp_path / "annotations.xml"
    path.write_text(tool_files.CVAT)
    truth, image, areas, findings = convert("cvat", path, tmp_path / "gt.json", stuff=["road"])
    # Road 80 x 30 below the car of 20 x 20, half of which covers it; the mask's 4 pixels lie on
    # the car and are on top of it.
    assert areas == [("car", False, 4), ("car", False, 396), ("road", False, 2400 - 200)]
    assert findings == {"overlap-by-order": 204, "label-box": 1}
    assert truth.space.by_name["car"].color == (0xFA, 0x32, 0x53)
    rows = image.panoptic_map[38:40, 28:32]
    assert (rows == rows[0, 0]).tolist()[0][:2] == [True, True]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<version>1.1", "<version>2.0", r"annotations.xml: version '2.0' is not known"),
        (
            "<annotations>",
            "<annotations><track id='0'/>",
            r"holds tracks, so it is 'CVAT for video'",
        ),
        (
            'label="car" source="manual" occluded="0" rle',
            'source="manual" rle',
            r"mask 2: cannot be read",
        ),
        ("0, 2, 2, 2, 2", "0, 2, 2", r"mask 2: .*its runs are of 4 pixels, its box of 8"),
        ('<polygon label="road"', '<hexagon label="road"', "is no XML"),
        ("<name>road</name>", "<name></name>", r"class 1 has no name"),
        ('width="80" height="60"', 'width="80"', r"image 0: name, width or height is missing"),
        (
            '<?xml version="1.0" encoding="utf-8"?>',
            '<!DOCTYPE a [<!ENTITY b "c">]>',
            "has a document type",
        ),
    ],
)
def test_wrong_cvat_files_are_named(tmp_path, old, new, message):
    path = tmp_path / "annotations.xml"
    path.write_text(tool_files.CVAT.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        api.convert("cvat", path, tmp_path / "gt.json")
    assert not (tmp_path / "gt.json").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["annotations.xml"]


@pytest.fixture
def cvat_masks(tmp_path):
    folder = tmp_path / "masks"
    classes, objects = np.zeros((2, *SIZE, 3), np.uint8)
    classes[:20], classes[30:40, 10:20] = (10, 128, 0), (10, 10, 128)
    classes[30:40, 40:50] = (10, 10, 128)
    objects[:20], objects[30:40, 10:20], objects[30:40, 40:50] = (128, 0, 0), (0, 128, 0), (1, 2, 3)
    for name, pixels in (("SegmentationClass", classes), ("SegmentationObject", objects)):
        (folder / name).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / name / "a.png")
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    (folder / "ImageSets" / "Segmentation" / "default.txt").write_text("a\n")
    (folder / "labelmap.txt").write_text(tool_files.LABELMAP)
    return folder


def test_cvat_masks(cvat_masks, tmp_path):
    truth, _, areas, findings = convert(
        "cvat-masks", cvat_masks, tmp_path / "gt.json", stuff=["sky"]
    )
    assert areas == [("aeroplane", False, 100), ("aeroplane", False, 100), ("sky", False, 1600)]
    assert findings == {}
    assert truth.space.by_name["aeroplane"].color == (10, 10, 128)


def test_cvat_masks_without_objects(cvat_masks, tmp_path):
    (cvat_masks / "SegmentationObject" / "a.png").unlink()
    *_, areas, findings = convert("cvat-masks", cvat_masks, tmp_path / "gt.json", stuff=["sky"])
    assert areas == [("aeroplane", False, 100), ("aeroplane", False, 100), ("sky", False, 1600)]
    assert findings == {"objects-by-part": 1}


def test_colours_in_no_map_are_counted(cvat_masks, tmp_path):
    path = cvat_masks / "SegmentationClass" / "a.png"
    pixels = np.array(Image.open(path))
    pixels[50, :7] = (9, 9, 9)
    Image.fromarray(pixels).save(path)
    result = api.convert("cvat-masks", cvat_masks, tmp_path / "gt.json", stuff=["sky"])
    [finding] = result.findings
    assert (finding.code, finding.count) == ("color-unknown", 7)
    assert "a.png, colour (9, 9, 9)" in finding.first
    (cvat_masks / "labelmap.txt").write_text("a:1,2,3::\nb:1,2,3::\n")
    with pytest.raises(DataError, match=r"labelmap.txt, line 2: 'b' has the colour of 'a'"):
        api.convert("cvat-masks", cvat_masks, tmp_path / "b.json")


@pytest.fixture
def yolo(tmp_path):
    folder = tmp_path / "coco8-seg"
    write_image(folder / "images" / "train" / "000000000009.jpg")
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "labels" / "train" / "000000000009.txt").write_text(tool_files.YOLO_LINES)
    (folder / "data.yaml").write_text(tool_files.DATA_YAML)
    return folder


def test_yolo_seg(yolo, tmp_path):
    truth, image, areas, findings = convert(
        "yolo-seg", yolo, tmp_path / "gt.json", things=["person", "bicycle"]
    )
    [(_, _, bicycle), (_, _, person)] = areas
    assert bicycle == 21 * 31  # corners at 10..30 and 15..45 are inside, as OpenCV fills
    assert 70 < person < 110  # a triangle of 10 x 15
    assert findings == {}
    assert truth.image_name("train/000000000009") == "train/000000000009.jpg"
    assert image.size == SIZE


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.1 0.1 0.2 0.2 0.3 0.1", r"000000000009.txt, line 1: there is no class 2"),
        ("a 0.1 0.1 0.2 0.2 0.3 0.1", r"line 1: must be a class and numbers"),
        ("0 0.1 0.1 0.2 0.2 0.3", r"line 1: 5 numbers are no pairs of x and y"),
        ("0 0.1 nan 0.2 0.2 0.3 0.1", r"line 1: a number is not finite"),
    ],
)
def test_wrong_yolo_lines_are_named(yolo, tmp_path, line, message):
    (yolo / "labels" / "train" / "000000000009.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        api.convert("yolo-seg", yolo, tmp_path / "gt.json")


def test_yolo_seg_as_roboflow_lays_it_out(tmp_path):
    folder = tmp_path / "roboflow"
    write_image(folder / "train" / "images" / "a_jpg.rf.1f0.jpg")
    (folder / "train" / "labels").mkdir()
    (folder / "train" / "labels" / "a_jpg.rf.1f0.txt").write_text(tool_files.YOLO_LINES)
    (folder / "README.roboflow.txt").write_text("an export")
    (folder / "data.yaml").write_text("train: ../train/images\nnc: 2\nnames: ['person', 'bicycle']")
    truth, *_ = convert("yolo-seg", folder, tmp_path / "gt.json", things=["person", "bicycle"])
    assert [i.file_name for i in truth.images.values()] == ["train/a_jpg.rf.1f0.jpg"]


def test_old_labelme_files_hold_their_image(tmp_path):
    write_image(tmp_path / "a.jpg")
    content = copy.deepcopy(tool_files.LABELME)
    old = {"version": "3.16.7", "lineColor": [0, 255, 0, 128], "fillColor": [255, 0, 0, 128]}
    content |= old | {"imagePath": "..\\photos\\a.jpg", "imageHeight": None, "imageWidth": None}
    content["imageData"] = base64.b64encode((tmp_path / "a.jpg").read_bytes()).decode()
    for shape in content["shapes"]:
        shape |= {"line_color": None, "fill_color": None}
    write_json(tmp_path / "in" / "a.json", content)
    truth, image, *_ = convert("labelme", tmp_path / "in", tmp_path / "gt.json", stuff=["sofa"])
    assert image.size == SIZE
    assert truth.images["a"].file_name == "a.jpg"


def test_nested_maps_are_replaced_only_where_the_json_names_them(yolo, tmp_path):
    out = tmp_path / "gt.json"
    api.convert("yolo-seg", yolo, out, things=["person"])
    api.convert("yolo-seg", yolo, out, things=["person"], overwrite=True)
    assert (tmp_path / "gt" / "train" / "000000000009.png").is_file()
    write_image(tmp_path / "gt" / "train" / "mine.png")
    with pytest.raises(DataError, match=r"gt exists, and the PNGs of gt.json would go there"):
        api.convert("yolo-seg", yolo, out, things=["person"], overwrite=True)
    assert (tmp_path / "gt" / "train" / "mine.png").is_file()


def test_yolo_needs_its_images_and_names(yolo, tmp_path):
    file = yolo / "labels" / "train" / "000000000009.txt"
    file.write_text(f"{tool_files.YOLO_LINES}\n0 0.5 0.5 0.2 0.2\n")
    *_, findings = convert("yolo-seg", yolo, tmp_path / "gt.json", things=["person"])
    assert findings == {"label-box": 1}
    (yolo / "images" / "train" / "000000000009.jpg").unlink()
    with pytest.raises(DataError, match=r"000000000009.\* is not there, .* by --images"):
        api.convert("yolo-seg", yolo, tmp_path / "b.json")
    (yolo / "data.yaml").write_text("names: {0: a, 2: b}")
    with pytest.raises(DataError, match=r"data.yaml: 'names' must list the classes"):
        api.convert("yolo-seg", yolo, tmp_path / "b.json")


@pytest.fixture
def label_studio(tmp_path):
    mask = np.zeros(SIZE, np.uint8)
    mask[10:20, 10:30] = 255
    return write_json(tmp_path / "export.json", tool_files.label_studio_tasks(brush_code(mask)))


def test_label_studio(label_studio, tmp_path):
    truth, image, areas, findings = convert(
        "label-studio", label_studio, tmp_path / "gt.json", stuff=["Road"]
    )
    assert areas == [("Airplane", False, 200), ("Road", False, 80 * 30)]
    assert findings == {"label-box": 1}
    assert list(truth.annotations) == ["street"]
    assert image.panoptic_map[10, 10]
    assert not image.panoptic_map[9, 10]


def test_wrong_label_studio_files_are_named(label_studio, tmp_path):
    tasks = json.loads(label_studio.read_text())
    result = tasks[0]["annotations"][0]["result"]
    result[0]["value"]["rle"] = result[0]["value"]["rle"][:9]
    write_json(label_studio, tasks)
    with pytest.raises(DataError, match=r"task 1, region Dx_aB91ISN: .*cut short or damaged"):
        api.convert("label-studio", label_studio, tmp_path / "gt.json")
    result[0]["value"]["brushlabels"] = []
    write_json(label_studio, tasks)
    with pytest.raises(DataError, match=r"task 1, region 0: a region has one label"):
        api.convert("label-studio", label_studio, tmp_path / "gt.json")
    write_json(label_studio, [{"image": "a.jpg", "label": []}])
    with pytest.raises(FuseError, match="export the project as 'JSON'"):
        api.convert("label-studio", label_studio, tmp_path / "gt.json")
    task = {"id": 1, "image": "/a.jpg", "tag": [], "annotator": 1, "annotation_id": 3}
    write_json(label_studio, [task])
    with pytest.raises(DataError, match="this is JSON-MIN; export the project as 'JSON'"):
        api.convert("label-studio", label_studio, tmp_path / "gt.json")


def test_choices_are_those_of_the_command_line():
    from fuse.cli.convert import DATASETS, TOOLS
    from fuse.datasets import convert

    assert tuple(convert.DATASETS) == DATASETS
    assert tuple(convert.TOOLS) == TOOLS
