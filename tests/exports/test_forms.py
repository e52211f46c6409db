"""Forms read by the tools that know them: pycocotools, cityscapesScripts, Pillow."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from factories import TOY_SPACE, panoptic_truth
from panoptic_maps import panoptic, write_dataset
from PIL import Image
from pycocotools.coco import COCO

from fuse.cli import main
from fuse.exports.export import export
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.png import encode_labels, read_labels
from fuse.labels import load_space

SCORES = 0.25


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    images = {n: panoptic_truth(rng, (30, 44), TOY_SPACE, block=9) for n in (1, 2)}
    path = write_dataset(tmp_path, "gt", images, TOY_SPACE)
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["score"] = SCORES
    path.write_text(json.dumps(content))
    return path


def test_coco_instances_are_read_by_pycocotools(dataset, tmp_path):
    result = export(dataset, tmp_path / "out.json", to="coco-instances")
    found = COCO(str(tmp_path / "out.json"))
    truth = read_panoptic_json(dataset)
    for image_id in truth.annotations:
        image = truth.load(image_id)
        things = [s for s in image.segments_info if TOY_SPACE.by_id[s.category_id].isthing]
        annotations = found.loadAnns(found.getAnnIds(imgIds=[image_id]))
        assert len(annotations) == len(things)
        for annotation, segment in zip(annotations, things, strict=True):
            mask = image.panoptic_map == segment.segment_id
            np.testing.assert_array_equal(found.annToMask(annotation), mask)
            assert annotation["area"] == segment.area
            assert tuple(annotation["bbox"]) == segment.bbox
            assert annotation["iscrowd"] == segment.iscrowd
            assert annotation["score"] == SCORES
    assert {finding.code for finding in result.findings} == {"stuff-left-out"}


def test_label_pngs_hold_category_ids(dataset, tmp_path):
    export(dataset, tmp_path / "out", to="label-png")
    truth = read_panoptic_json(dataset)
    for image_id in truth.annotations:
        image = truth.load(image_id)
        labels = read_labels(tmp_path / "out" / f"{image_id}.png")
        for segment in image.segments_info:
            here = image.panoptic_map == segment.segment_id
            assert (labels[here] == segment.category_id).all()
        assert (labels[image.panoptic_map == 0] == 0).all()
    space = load_space(tmp_path / "out" / "labels.csv")
    assert [c.name for c in space.categories] == [c.name for c in TOY_SPACE.categories]


@pytest.mark.parametrize(("largest", "mode"), [(255, "L"), (256, "I;16")])
def test_grey_pngs_are_read_by_pillow(tmp_path, largest, mode):
    labels = np.arange(6 * 7, dtype=np.int32).reshape(6, 7)
    labels[0, 0] = largest
    (tmp_path / "a.png").write_bytes(encode_labels(labels))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image), labels)
    with pytest.raises(ValueError, match=r"labels must lie in 0..65535"):
        encode_labels(np.full((2, 2), 2**16, np.int32))


def test_category_zero_is_kept_and_void_is_another_value(tmp_path):
    from fuse.types import Category, LabelSpace

    space = LabelSpace("zero", (Category(0, "road", False), Category(1, "car", True)))
    image = panoptic([[1, 1, 0, 2]], {1: space.categories[0].category_id, 2: 1})
    path = write_dataset(
        tmp_path,
        "gt",
        {1: image},
        space,
        categories=[
            {"id": 0, "name": "road", "isthing": 0},
            {"id": 1, "name": "car", "isthing": 1},
        ],
    )
    content = json.loads(path.read_text())
    for segment in content["annotations"][0]["segments_info"]:
        segment["category_id"] = 0 if segment["id"] == 1 else 1
    path.write_text(json.dumps(content))
    export(path, tmp_path / "out", to="label-png")
    assert read_labels(tmp_path / "out" / "1.png").tolist() == [[0, 0, 255, 1]]


def test_cityscapes_results_are_read_by_its_own_scorers(tmp_path):
    scorer = pytest.importorskip("cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling")
    space = load_space("cityscapes")
    rows = np.full((40, 60), 1, np.int32)
    rows[10:30, 10:30] = 2
    image = panoptic(rows, {1: 7, 2: 26})
    name = "frankfurt_000000_000294_leftImg8bit"
    path = write_dataset(tmp_path, "pred", {name: image}, space)
    result = export(path, tmp_path / "out", to="cityscapes")
    assert {finding.code for finding in result.findings} == {"no-scores"}
    labels = read_labels(tmp_path / "out" / "pixel" / f"{name}.png")
    assert set(np.unique(labels)) == {7, 26}
    info = scorer.readPredInfo(
        str(tmp_path / "out" / "instance" / f"{name}.txt"),
        SimpleNamespace(predictionPath=str(tmp_path.resolve())),
    )
    [(mask_path, entry)] = info.items()
    assert (entry["labelID"], entry["conf"]) == (26, 1.0)
    mask = np.asarray(Image.open(mask_path))
    np.testing.assert_array_equal(mask > 0, rows == 2)


def test_the_command_says_what_it_left_out(dataset, tmp_path):
    command = ["export", str(dataset), "--to", "yolo-seg", "-o", str(tmp_path / "out")]
    shown = CliRunner().invoke(main, command)
    assert shown.exit_code == 0
    assert "segments of stuff" in shown.stderr
    assert "2 images" in shown.stdout
    assert (tmp_path / "out" / "data.yaml").is_file()
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 1
    assert "exists; give another name" in again.stderr
