"""Bands along borders against distances measured pixel by pixel."""

import numpy as np
import pytest
from factories import blocky_map
from hypothesis import given
from hypothesis import strategies as st

from fuse.ops.borders import border_bands, measure_border_distance


def measure_slowly(segment_map, widths):
    """The band of each pixel from its distance to every pixel of another segment."""
    y, x = np.mgrid[: segment_map.shape[0], : segment_map.shape[1]]
    bands = np.full(segment_map.shape, len(widths), dtype=np.uint8)
    for place in np.ndindex(segment_map.shape):
        other = segment_map != segment_map[place]
        if other.any():
            distance = np.maximum(abs(y - place[0]), abs(x - place[1]))[other].min()
            bands[place] = sum(distance > width for width in widths)
    return bands


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1,), (2, 5), (1, 2, 4)]))
def test_each_pixel_lies_in_the_band_of_its_distance(seed, widths):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 16, 2).tolist())
    segment_map = blocky_map(rng, size, [0, 3, 7, 2**24 - 1], block=5)
    np.testing.assert_array_equal(
        border_bands(segment_map, widths), measure_slowly(segment_map, widths)
    )


@pytest.mark.parametrize("size", [(1, 1), (4, 6)])
def test_one_segment_has_no_border(size):
    assert (border_bands(np.full(size, 5, np.int32), (2, 5)) == 2).all()


@given(st.integers(0, 2**32 - 1))
def test_distances_count_from_the_border_on_both_sides(seed):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(2, 16, 2).tolist())
    mask = blocky_map(rng, size, [0, 1], block=4).astype(bool)
    mask[0, 0], mask[-1, -1] = True, False
    y, x = np.mgrid[: size[0], : size[1]]
    expected = [
        np.maximum(abs(y - place[0]), abs(x - place[1]))[mask != mask[place]].min()
        for place in np.ndindex(size)
    ]
    distances = measure_border_distance(mask)
    assert distances.dtype == np.int64
    assert distances.ravel().tolist() == expected
