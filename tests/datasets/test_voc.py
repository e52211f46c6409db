"""PASCAL VOC: background, border, objects, and its faults."""

import numpy as np
import pytest
from dataset_folders import stored_pixels, write_png, write_voc

from fuse.datasets.convert import convert
from fuse.errors import DataError
from fuse.io.coco.panoptic import read_panoptic_json

NAME = "2008_000002"


def loaded(folder, tmp_path):
    convert("voc", folder, tmp_path / "gt.json")
    return read_panoptic_json(tmp_path / "gt.json").load(NAME)


def test_by_hand(tmp_path):
    folder = write_voc(tmp_path / "in")
    classes = np.array([[0, 15, 15, 255, 15, 7, 0]], np.uint8)
    objects = np.array([[0, 1, 2, 255, 255, 0, 3]], np.uint8)
    write_png(folder / f"SegmentationClass/{NAME}.png", classes, palette=True)
    write_png(folder / f"SegmentationObject/{NAME}.png", objects)  # grey is as good
    made = loaded(folder, tmp_path)
    assert made.panoptic_map.tolist() == [[21, 15 + 256, 15 + 512, 0, 0, 7, 21]]
    assert [(s.category_id, s.area, s.iscrowd) for s in made.segments_info] == [
        (7, 1, True),
        (21, 2, False),
        (15, 1, False),
        (15, 1, False),
    ]


def test_a_missing_list_says_what_to_write(tmp_path):
    folder = write_voc(tmp_path / "in")
    (folder / "ImageSets/Segmentation/val.txt").unlink()
    message = r"val\.txt: cannot be read .*; it names the images of the split: .* one a line"
    with pytest.raises(DataError, match=message):
        convert("voc", folder, tmp_path / "gt.json")
    with pytest.raises(DataError, match="give the folder that holds SegmentationClass"):
        convert("voc", tmp_path, tmp_path / "gt.json")


def test_a_image_listed_twice_counts_once(tmp_path):
    folder = write_voc(tmp_path / "in")
    path = folder / "ImageSets/Segmentation/val.txt"
    path.write_text(2 * path.read_text())
    convert("voc", folder, tmp_path / "gt.json")
    listed = path.read_text().split()
    assert list(read_panoptic_json(tmp_path / "gt.json").images) == sorted(set(listed))
    assert len(listed) == 2 * len(set(listed))


@pytest.mark.parametrize("seed", range(3))
def test_classes_and_objects_come_back(seed, tmp_path):
    folder = write_voc(tmp_path / "in", seed)
    made = loaded(folder, tmp_path)
    classes = stored_pixels(folder / f"SegmentationClass/{NAME}.png").astype(int)
    objects = stored_pixels(folder / f"SegmentationObject/{NAME}.png")
    stored = {s.segment_id: s.category_id % 21 for s in made.segments_info} | {0: 255}
    assert (np.vectorize(stored.get)(made.panoptic_map) == classes).all()
    assert len(made.segments_info) == len(set(np.unique(objects)) - {255})


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("Class", np.full((24, 36), 21, np.uint8), "21 is none of VOC's 20 classes"),
        ("Class", np.zeros((24, 36, 3), np.uint8), "is rgb of 8 bits, should be palette indices"),
        ("Object", np.zeros((3, 5), np.uint8), "is 36 wide, 24 high, but .* is 5 wide, 3"),
    ],
)
def test_faults_name_the_file(name, pixels, message, tmp_path):
    folder = write_voc(tmp_path / "in")
    write_png(folder / f"Segmentation{name}/{NAME}.png", pixels)
    with pytest.raises(DataError, match=message) as raised:
        convert("voc", folder, tmp_path / "gt.json")
    assert f"Segmentation{name}/{NAME}.png" in str(raised.value)


def test_a_missing_file_and_an_empty_list_are_named(tmp_path):
    folder = write_voc(tmp_path / "in")
    (folder / f"SegmentationObject/{NAME}.png").unlink()
    with pytest.raises(DataError, match=rf"{NAME}\.png: the file is missing .*val\.txt"):
        convert("voc", folder, tmp_path / "gt.json")
    (folder / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt: the list is empty"):
        convert("voc", folder, tmp_path / "gt.json")
