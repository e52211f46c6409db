"""ADE20K against the field's converter written slowly, and its faults."""

import numpy as np
import pytest
from dataset_folders import stored_pixels, write_ade20k, write_png

from fuse.datasets.convert import convert
from fuse.errors import DataError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import load_space

NAME = "validation/ADE_val_00000002.png"
# Thing class of 100 -> class of 150 at the places where the two lists drift apart, as the
# Places challenge's instanceInfo100 and the field's mapping file have it.
THINGS = {1: 8, 2: 9, 3: 11, 4: 13, 7: 19, 14: 31, 31: 54, 50: 81, 58: 90, 73: 116, 83: 128}
THINGS |= {97: 147, 98: 148, 99: 149, 100: 150}


@pytest.mark.parametrize("seed", range(3))
def test_stuff_first_then_objects_over_it(seed, tmp_path):
    folder = write_ade20k(tmp_path / "in", seed)
    convert("ade20k", folder, tmp_path / "gt.json")
    truth = read_panoptic_json(tmp_path / "gt.json")
    space = load_space("ade20k_panoptic")
    for image_id in truth.annotations:
        classes = stored_pixels(folder / f"annotations/validation/{image_id}.png")
        objects = stored_pixels(folder / f"annotations_instance/validation/{image_id}.png")
        category = np.where(np.isin(classes, space.stuff_ids), classes, 0).astype(int)
        number = np.zeros(classes.shape, dtype=int)
        for instance in set(np.unique(objects[..., 1])) - {0}:
            mask = objects[..., 1] == instance
            (thing,) = np.unique(objects[mask, 0])
            category[mask], number[mask] = space.thing_ids[thing - 1], instance
        made = truth.load(image_id)
        kinds = {s.segment_id: s.category_id for s in made.segments_info} | {0: 0}
        assert (np.vectorize(kinds.get)(made.panoptic_map) == category).all()
        # One segment for each stuff class and for each object.
        expected = set(zip(category[category > 0], number[category > 0], strict=True))
        assert len(made.segments_info) == len(expected)
        assert not any(s.iscrowd for s in made.segments_info)


def test_thing_classes_are_the_hundred_of_the_challenge(tmp_path):
    things = np.array([list(THINGS)], dtype=np.uint8)
    objects = np.stack([things, np.arange(1, len(THINGS) + 1, dtype=np.uint8)[None], 0 * things], 2)
    folder = tmp_path / "in"
    write_png(folder / "annotations" / NAME, np.zeros_like(things))
    write_png(folder / "annotations_instance" / NAME, objects)
    convert("ade20k", folder, tmp_path / "gt.json")
    made = read_panoptic_json(tmp_path / "gt.json").load("ADE_val_00000002")
    kinds = {s.segment_id: s.category_id for s in made.segments_info}
    assert [kinds[i] for i in made.panoptic_map[0].tolist()] == list(THINGS.values())


def test_other_and_things_without_an_object_are_void(tmp_path):
    folder = tmp_path / "in"
    write_png(folder / "annotations" / NAME, np.array([[0, 8, 1, 1]], np.uint8))
    # Red without a number is no object.
    write_png(
        folder / "annotations_instance" / NAME,
        np.array([[[0, 0, 0], [1, 0, 0], [0, 0, 0], [1, 3, 0]]], np.uint8),
    )
    convert("ade20k", folder, tmp_path / "gt.json")
    made = read_panoptic_json(tmp_path / "gt.json").load("ADE_val_00000002")
    assert made.panoptic_map.tolist() == [[0, 0, 1, 1 + 3 * 256]]
    assert [s.category_id for s in made.segments_info] == [1, 8]


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("annotations", np.full((24, 36), 151, np.uint8), "151 is none of the 150 classes"),
        ("annotations", np.full((24, 36), 1, np.uint16), "is grey of 16 bits, should be palette"),
        (
            "annotations",
            np.full((9, 7), 1, np.uint8),
            r"is 7 wide, 9 high, but .* is 36 wide, 24 high; they must",
        ),
        (
            "annotations_instance",
            np.full((24, 36), 1, np.uint8),
            "is grey of 8 bits, should be rgb",
        ),
        ("annotations_instance", np.full((24, 36, 3), 101, np.uint8), r"101 \(red\) is none of"),
        (
            "annotations_instance",
            np.tile(np.array([0, 1, 0], np.uint8), (24, 36, 1)),
            r"0 \(red\) is none of the 100 thing classes",
        ),
    ],
)
def test_faults_name_the_file(name, pixels, message, tmp_path):
    folder = write_ade20k(tmp_path / "in")
    write_png(folder / name / NAME, pixels)
    with pytest.raises(DataError, match=message) as raised:
        convert("ade20k", folder, tmp_path / "gt.json")
    assert f"{name}/{NAME}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_partner_is_named(tmp_path):
    folder = write_ade20k(tmp_path / "in")
    (folder / "annotations_instance" / NAME).unlink()
    with pytest.raises(DataError, match=r"the file is missing that belongs to .*annotations/val"):
        convert("ade20k", folder, tmp_path / "gt.json")
