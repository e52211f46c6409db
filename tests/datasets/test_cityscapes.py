"""Cityscapes against its own converter, and its faults."""

import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from dataset_folders import stored_pixels, write_cityscapes, write_png

from fuse.datasets.convert import convert
from fuse.errors import DataError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import load_category_ids, load_space

IMAGE = "gtFine/val/ulm/ulm_000002_000019_gtFine_instanceIds.png"


@pytest.mark.parametrize("seed", range(3))
def test_equals_cityscapes_own_converter(seed, tmp_path):
    folder = write_cityscapes(tmp_path / "in", seed)
    with redirect_stdout(StringIO()):
        convert2panoptic(str(folder / "gtFine"), str(tmp_path), setNames=["val"])
    theirs = json.loads((tmp_path / "cityscapes_panoptic_val.json").read_text())
    convert("cityscapes", folder, tmp_path / "gt.json")
    ours = json.loads((tmp_path / "gt.json").read_text())

    without_score = [
        {**annotation, "segments_info": [drop(s, "score") for s in annotation["segments_info"]]}
        for annotation in ours["annotations"]
    ]
    assert without_score == theirs["annotations"]
    assert ours["categories"] == theirs["categories"]
    # The images' names are theirs mended: no file is called *_gtFine_leftImg8bit.png.
    assert [drop(image, "file_name") for image in ours["images"]] == [
        drop(image, "file_name") for image in theirs["images"]
    ]
    for annotation in theirs["annotations"]:
        name = annotation["file_name"]
        assert (
            stored_pixels(tmp_path / "gt" / name)
            == stored_pixels(tmp_path / "cityscapes_panoptic_val" / name)
        ).all()


def drop(entry, key):
    return {k: value for k, value in entry.items() if k != key}


def test_images_are_found_by_their_names(tmp_path):
    convert("cityscapes", write_cityscapes(tmp_path / "in"), tmp_path / "gt.json")
    truth = read_panoptic_json(tmp_path / "gt.json")
    for name in (
        "ulm/ulm_000002_000019_leftImg8bit.png",
        "leftImg8bit/val/ulm/ulm_000002_000019_leftImg8bit.png",
    ):
        assert truth.find_image(name) == "ulm_000002_000019"


@pytest.mark.parametrize(
    ("space", "wanted"),
    [
        ("cityscapes", [label for label in labels if not label.ignoreInEval]),
        ("cityscapes_full", [label for label in labels if label.id > 0]),
    ],
)
def test_the_label_spaces_are_cityscapes_own(space, wanted):
    ours = load_space(space)
    assert [(c.category_id, c.name, c.isthing, c.supercategory) for c in ours.categories] == [
        (label.id, label.name, label.hasInstances, label.category) for label in wanted
    ]
    shared = [label for label in wanted if not label.ignoreInEval]
    assert [ours.by_id[label.id].color for label in shared] == [label.color for label in shared]


def test_rows_of_nets_are_cityscapes_train_ids():
    by_train_id = {label.trainId: label.id for label in labels if not label.ignoreInEval}
    assert dict(enumerate(load_category_ids("cityscapes"))) == by_train_id


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((4, 4), 7, np.uint8), "is grey of 8 bits, should be grey of 16 bits"),
        (np.full((4, 4), 34, np.uint16), "34 is neither a class of Cityscapes nor an object"),
        (np.full((4, 4), 35001, np.uint16), "35001 is neither a class of Cityscapes"),
    ],
)
def test_faults_name_the_file(pixels, message, tmp_path):
    folder = write_cityscapes(tmp_path / "in")
    write_png(folder / IMAGE, pixels)
    with pytest.raises(DataError, match=message) as raised:
        convert("cityscapes", folder, tmp_path / "gt.json")
    assert IMAGE in str(raised.value)


def test_a_image_may_be_void_everywhere(tmp_path):
    folder = write_cityscapes(tmp_path / "in")
    write_png(folder / IMAGE, np.full((4, 4), 1, np.uint16))
    convert("cityscapes", folder, tmp_path / "gt.json")
    made = read_panoptic_json(tmp_path / "gt.json").load("ulm_000002_000019")
    assert made.segments_info == ()
    assert made.size == (4, 4)


def test_a_folder_with_class_ids_only(tmp_path):
    folder = write_cityscapes(tmp_path / "in")
    for path in folder.rglob("*_instanceIds.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"gtFine.val: no file matches .*instanceIds\.png; give"):
        convert("cityscapes", folder, tmp_path / "gt.json")
