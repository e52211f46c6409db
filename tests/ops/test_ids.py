"""Segment ids as colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse.ops.ids import ids_to_rgb, rgb_to_ids


@given(seed=st.integers(0, 2**32), height=st.integers(0, 12), width=st.integers(0, 12))
def test_colours_follow_the_formula_and_come_back(seed: int, height: int, width: int) -> None:
    ids = np.random.default_rng(seed).integers(0, 2**24, (height, width), dtype=np.int32)
    rgb = ids_to_rgb(ids)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (height, width, 3)
    red, green, blue = np.moveaxis(rgb.astype(np.int64), -1, 0)
    assert (red + 256 * green + 65536 * blue == ids).all()
    back = rgb_to_ids(rgb)
    assert back.dtype == np.int32
    assert (back == ids).all()


def test_strided_arrays_give_the_same() -> None:
    ids = np.arange(60, dtype=np.int32).reshape(6, 10) * 70_000
    assert (rgb_to_ids(ids_to_rgb(ids[::2, ::3])) == ids[::2, ::3]).all()
    assert (rgb_to_ids(ids_to_rgb(ids)[:, ::-1]) == ids[:, ::-1]).all()


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.zeros((2, 2), np.uint8), id="grey"),
        pytest.param(np.zeros((2, 2, 4), np.uint8), id="alpha"),
        pytest.param(np.zeros((2, 2, 3), np.uint16), id="16-bit"),
    ],
)
def test_other_pictures_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(H, W, 3\)"):
        rgb_to_ids(picture)
