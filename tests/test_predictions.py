"""Kept predictions: small, exact, and all that a fusion rule asks for."""

from dataclasses import replace

import numpy as np
import pytest
from factories import TOY_SPACE, box_instances, rle_instances, semantic_prediction
from hypothesis import given
from hypothesis import strategies as st

from fuse.config import FusionConfig
from fuse.errors import CocoFormatError
from fuse.ops.argmax import find_possible_winners, upsample_argmax
from fuse.predictions import (
    PhotoPrediction,
    TargetLogits,
    fuse_photo,
    read_prediction,
    write_prediction,
)
from fuse.types import BoxMasks, SemanticLogits

SIZE = (37, 50)


def target_logits(rng, size=SIZE, grid=(9, 13)):
    category_ids = np.array([0, *TOY_SPACE.by_id], dtype=np.int32)
    values = rng.normal(scale=4, size=(len(category_ids), *grid)).astype(np.float16)
    return TargetLogits(SemanticLogits.half_pixel(values, size), category_ids)


def float16_instances(rng, count=6):
    instances = box_instances(rng, SIZE, count)
    probs = instances.masks.probs.astype(np.float16).astype(np.float32)
    return replace(instances, masks=BoxMasks(probs))


PREDICTIONS = {
    "logits and soft masks": lambda rng: PhotoPrediction(
        target_logits(rng), float16_instances(rng)
    ),
    "label map and run lengths": lambda rng: PhotoPrediction(
        semantic_prediction(rng, SIZE), rle_instances(rng, SIZE, 5)
    ),
    "no instances": lambda rng: PhotoPrediction(target_logits(rng), float16_instances(rng, 0)),
    "no run lengths": lambda rng: PhotoPrediction(
        semantic_prediction(rng, SIZE), rle_instances(rng, SIZE, 0)
    ),
}


@pytest.mark.parametrize("make", PREDICTIONS.values(), ids=PREDICTIONS)
def test_what_is_read_fuses_as_what_was_written(tmp_path, make):
    for seed in range(20):
        prediction = make(np.random.default_rng(seed))
        write_prediction(tmp_path / "photo.npz", prediction)
        again = read_prediction(tmp_path / "photo.npz")
        assert (again.label().label_map == prediction.label().label_map).all()
        fused, expected = (
            fuse_photo(p.label(), p.instances, TOY_SPACE, FusionConfig(stuff_area=9), {})
            for p in (again, prediction)
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
    for align_corners in (False, True):
        expected = upsample_argmax(logits, size, category_ids, align_corners=align_corners)
        actual = upsample_argmax(weakened, size, category_ids, align_corners=align_corners)
        assert (actual == expected).all()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "photo.npz"
    path.write_bytes(content)
    with pytest.raises(CocoFormatError, match=r"photo\.npz: not a kept prediction"):
        read_prediction(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CocoFormatError, match=r"photo\.npz: not a kept prediction"):
        read_prediction(tmp_path / "photo.npz")


@pytest.mark.parametrize(
    ("array", "value", "message"),
    [
        ("scale", [np.nan, 1.0], "scale must be two numbers"),  # a kernel reads where they point
        ("scale", [-0.2, 1.0], "scale must be two numbers"),
        ("offset", [0.0, np.inf], "offset must be two numbers"),
        ("offset", [0.0, -1e300], "offset must be two numbers"),
        ("size", [2**30, 2**30], "no photo is 1073741824 x 1073741824"),
        ("size", [0, 50], "no photo is 0 x 50"),
        ("grid", [6, 9, 14], "has other bits than"),
        ("grid", [6, -9, 13], "has other bits than"),
        ("class_category_ids", [0, 3], r"6 rows of logits, category_ids \(2,\)"),
        ("masks", np.zeros((4, 0, 0)), r"probs must be \(N, m, m\)"),
    ],
)
def test_arrays_that_no_photo_has_are_refused(tmp_path, array, value, message):
    path = tmp_path / "photo.npz"
    write_prediction(path, PREDICTIONS["logits and soft masks"](np.random.default_rng(1)))
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {array: np.array(value, dtype=arrays[array].dtype)})
    with pytest.raises(CocoFormatError, match=message):
        read_prediction(path)


def test_an_array_that_unpacks_to_more_than_it_may_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "photo.npz"
    np.savez_compressed(path, label_map=np.zeros((2000, 2000), dtype=np.int32))
    monkeypatch.setattr("fuse.predictions.MAX_UNPACKED", 2**23)
    with pytest.raises(CocoFormatError, match="more than 8388608 bytes unpacked"):
        read_prediction(path)
