"""What is lost between labels and segments is counted; where nothing is left, that is an error."""

import copy

import pytest
import tool_files
from tool_files import write_image, write_json

from fuse import api
from fuse.errors import DataError


def test_labels_wholly_covered_by_others_are_counted(tmp_path):
    content = copy.deepcopy(tool_files.LABELME)
    square = {"points": [[10, 10], [20, 10], [20, 20], [10, 20]], "shape_type": "polygon"}
    grown = {"points": [[10, 10], [30, 10], [30, 20], [10, 20]], "shape_type": "polygon"}
    labels = [("a", square), ("b", square), ("road", grown), ("road", square)]
    content["shapes"] = [shape | {"label": label} for label, shape in labels]
    write_json(tmp_path / "in" / "2011_000003.json", content)
    result = api.convert("labelme", tmp_path / "in", tmp_path / "gt.json", stuff=["road"])
    # On top lies the second road; the first one's right half is still there.
    assert result.segments == 1
    covered = next(f for f in result.findings if f.code == "label-covered")
    assert str(covered) == (
        "warning: 2 labels wholly covered by others, first 2011_000003.jpg, 'a': gone"
    )


BOX_ONLY = {
    "yolo-seg": (r"line 1: left out: a box is no mask"),
    "cvat": (r"image 'a.jpg', box 0: left out: a box is no mask"),
    "label-studio": (r"task 0, region r \(rectanglelabels\): left out: a box is no mask"),
}


@pytest.mark.parametrize("tool", BOX_ONLY)
def test_boxes_alone_are_no_ground_truth(tmp_path, tool):
    yolo = tmp_path / "yolo"
    write_image(yolo / "images" / "a.jpg")
    (yolo / "labels").mkdir()
    (yolo / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (yolo / "data.yaml").write_text(tool_files.DATA_YAML)
    cvat = tmp_path / "annotations.xml"
    cvat.write_text(
        "<annotations><meta><labels><label><name>car</name></label></labels></meta>"
        '<image name="a.jpg" width="9" height="9">'
        '<box label="car" xtl="1" ytl="1" xbr="5" ybr="5"/></image></annotations>'
    )
    value = {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["car"]}
    result = {"id": "r", "type": "rectanglelabels", "value": value}
    result |= {"original_width": 9, "original_height": 9}
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": [result]}]}
    studio = write_json(tmp_path / "export.json", [task])
    source = {"yolo-seg": yolo, "cvat": cvat, "label-studio": studio}[tool]
    with pytest.raises(
        DataError, match=f"no label with a mask is left.* 1 boxes.*{BOX_ONLY[tool]}"
    ):
        api.convert(tool, source, tmp_path / "gt.json")
    assert not (tmp_path / "gt.json").exists()
    assert not (tmp_path / "gt").exists()
