"""Kept predictions: small, exact, and all that a fusion rule asks for."""

import io
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from factories import (
    TOY_SPACE,
    box_instances,
    rle_instances,
    semantic_prediction,
    target_logits,
)
from hypothesis import given
from hypothesis import strategies as st

from fuse.errors import CocoFormatError
from fuse.fusion import METHODS, FusionConfig, compute_class_logits, fuse_image
from fuse.inference.prediction import ImagePrediction
from fuse.inference.prediction_file import LARGE, read_prediction, write_prediction
from fuse.labels import find_label_map, load_space
from fuse.ops.argmax import find_possible_winners, upsample_argmax
from fuse.types import BoxMasks, Instances, SemanticPrediction

SIZE = (37, 50)


def float16_instances(rng, count=6):
    instances = box_instances(rng, SIZE, count)
    probs = instances.masks.probs.astype(np.float16).astype(np.float32)
    return replace(instances, masks=BoxMasks(probs))


PREDICTIONS = {
    "logits and soft masks": lambda rng: ImagePrediction(
        target_logits(rng, SIZE, (9, 13)), float16_instances(rng)
    ),
    "label map and run lengths": lambda rng: ImagePrediction(
        semantic_prediction(rng, SIZE), rle_instances(rng, SIZE, 5)
    ),
    "no instances": lambda rng: ImagePrediction(
        target_logits(rng, SIZE, (9, 13)), float16_instances(rng, 0)
    ),
    "no run lengths": lambda rng: ImagePrediction(
        semantic_prediction(rng, SIZE), rle_instances(rng, SIZE, 0)
    ),
}


@pytest.mark.parametrize("make", PREDICTIONS.values(), ids=PREDICTIONS)
@pytest.mark.parametrize("rule", METHODS)
def test_what_is_read_fuses_as_what_was_written(tmp_path, make, rule):
    fusion = FusionConfig(rule=rule, stuff_area=9, pairs=(("dog", "cat"),))
    for seed in range(5):
        prediction = make(np.random.default_rng(seed))
        write_prediction(tmp_path / "image.npz", prediction)
        again = read_prediction(tmp_path / "image.npz")
        assert (again.label().label_map == prediction.label().label_map).all()
        fused, expected = (
            fuse_image(p.label(), p.instances, TOY_SPACE, fusion, {}) for p in (again, prediction)
        )
        assert (fused.panoptic_map == expected.panoptic_map).all()
        assert fused.segments_info == expected.segments_info


def test_the_same_prediction_gives_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        prediction = PREDICTIONS["logits and soft masks"](np.random.default_rng(1))
        write_prediction(tmp_path / name, prediction)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_logits_that_cannot_win_do_not_matter(seed, shape, size):
    rng = np.random.default_rng(seed)
    logits = rng.integers(-3, 4, shape).astype(np.float32)  # many ties
    category_ids = np.arange(1, shape[0] + 1, dtype=np.int32)
    weakened = np.where(find_possible_winners(logits), logits, np.float32(-60000))
    for offset in (None, (0.0, 0.0)):
        expected = upsample_argmax(logits, size, category_ids, offset=offset)
        actual = upsample_argmax(weakened, size, category_ids, offset=offset)
        assert (actual == expected).all()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "image.npz"
    path.write_bytes(content)
    with pytest.raises(CocoFormatError, match=r"image\.npz: not a kept prediction"):
        read_prediction(path)


@pytest.mark.parametrize(
    ("class_choice", "expected"),
    [("commonest", [24, 24, 33]), ("evidence", [24, 25, 33]), ("overlap", [25, 24, 33])],
)
def test_the_class_choice_is_carried_out(class_choice, expected):
    """Two persons: the first sits over a bicycle, the second looks like a rider."""
    space = load_space("cityscapes")
    choices = find_label_map(load_space("coco_things"), space).choices
    boxes = np.float32([[30, 2, 50, 30], [70, 2, 80, 30], [25, 15, 60, 32]])
    instances = Instances(
        boxes=boxes,
        scores=np.array([0.9, 0.8, 0.7]),
        category_ids=np.array([24, 24, 33], np.int32),
        masks=BoxMasks(np.ones((3, 28, 28), np.float32)),
        size=(40, 100),
    )
    label_map = np.full((40, 100), 24, np.int32)
    label_map[:, 65:] = 25
    fused = fuse_image(
        SemanticPrediction(label_map),
        instances,
        space,
        FusionConfig(class_choice=class_choice, overlap_threshold=0.9),
        choices,
    )
    assert [s.category_id for s in fused.segments_info] == expected


def test_evidence_at_hand_changes_nothing():
    rng = np.random.default_rng(3)
    prediction = PREDICTIONS["logits and soft masks"](rng)
    semantic, fusion = prediction.label(), FusionConfig(rule="adaptive", stuff_area=9)
    class_logits = compute_class_logits(semantic, TOY_SPACE)
    image = (semantic, prediction.instances, TOY_SPACE, fusion, {})
    first, second = fuse_image(*image), fuse_image(*image, class_logits=class_logits)
    assert (first.panoptic_map == second.panoptic_map).all()


@pytest.mark.parametrize(
    ("array", "value", "message"),
    [
        ("scale", [np.nan, 1.0], "scale must be two numbers"),  # a kernel reads where they point
        ("scale", [-0.2, 1.0], "scale must be two numbers"),
        ("offset", [0.0, np.inf], "offset must be two numbers"),
        ("offset", [0.0, -1e300], "offset must be two numbers"),
        ("size", [2**30, 2**30], "no image is 1073741824 wide, 1073741824 high"),
        ("size", [0, 50], "no image is 50 wide, 0 high"),
        ("grid", [6, 9, 14], "has other bits than"),
        ("grid", [6, -9, 13], "has other bits than"),
        ("class_category_ids", [0, 3], r"6 rows of logits, category_ids \(2,\)"),
        ("masks", np.zeros((4, 0, 0)), r"probs must be \(N, m, m\)"),
    ],
)
def test_arrays_that_no_image_has_are_refused(tmp_path, array, value, message):
    path = tmp_path / "image.npz"
    write_prediction(path, PREDICTIONS["logits and soft masks"](np.random.default_rng(1)))
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {array: np.array(value, dtype=arrays[array].dtype)})
    with pytest.raises(CocoFormatError, match=message):
        read_prediction(path)


def test_masks_of_gigabytes_of_zeros_are_not_unpacked(tmp_path):
    """2 MB that became 4.4 GiB: there is no image with so many instances."""
    path = tmp_path / "image.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("masks.npy", bytes(2**26 + 1))
    with pytest.raises(CocoFormatError, match=r"masks has 67,108,865 bytes, at most 67,108,864"):
        read_prediction(path)


@pytest.mark.parametrize("names", [["own.npy"], ["size.npy", "size.npy"]])
def test_strange_and_repeated_arrays_are_refused(tmp_path, names):
    path = tmp_path / "image.npz"
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w") as archive:
        for name in names:
            content = io.BytesIO()
            np.save(content, np.zeros(2, np.int32))
            archive.writestr(name, content.getvalue())
    with pytest.raises(CocoFormatError, match=r"no array '(own|size)' belongs in it"):
        read_prediction(path)


def test_an_array_that_unpacks_to_more_than_it_may_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "image.npz"
    np.savez_compressed(path, label_map=np.zeros((2000, 2000), dtype=np.int32))
    monkeypatch.setitem(LARGE, "label_map", 2**23)
    with pytest.raises(CocoFormatError, match="label_map has 16,000,128 bytes, at most 8,388,608"):
        read_prediction(path)


def test_a_grid_that_unpacks_to_more_than_it_may_is_not_unpacked(tmp_path, monkeypatch):
    """Its bits are packed eight to a byte, its logits take two bytes each."""
    path = tmp_path / "image.npz"
    write_prediction(path, PREDICTIONS["logits and soft masks"](np.random.default_rng(1)))
    monkeypatch.setattr("fuse.inference.prediction_file.MAX_GRID", 6 * 9 * 13 * 2 - 1)
    monkeypatch.setattr(
        "fuse.inference.prediction_file._read_arrays", lambda _: dict(np.load(path))
    )
    with pytest.raises(CocoFormatError, match=r"a grid of \(6, 9, 13\) takes more than"):
        read_prediction(path)


def test_a_prediction_that_is_gone_is_missed_with_what_to_do(tmp_path):
    path = tmp_path / "run" / "predictions" / "a.npz"
    with pytest.raises(
        CocoFormatError, match=r"a.npz: this kept prediction is gone; fuse run --res"
    ):
        read_prediction(path)
