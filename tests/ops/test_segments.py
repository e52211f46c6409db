"""What a map of ids says, against NumPy and loops."""

import numpy as np
import pytest
from factories import blocky_map
from hypothesis import given
from hypothesis import strategies as st
from panoptic_maps import panoptic_maps

from fuse.ops.segments import (
    border_bands,
    label_segments,
    measure_border_distance,
    measure_segments,
    run_starts,
)

# -- runs ----------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32),
    height=st.integers(0, 12),
    width=st.integers(0, 40),
    block=st.integers(1, 9),
)
def test_a_run_starts_at_each_row_and_each_change(
    seed: int, height: int, width: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    values = [0, 1, -5, 2**31 - 1]
    a = blocky_map(rng, (height, width), values, block)
    b = blocky_map(rng, (height, width), values, block=4)
    expected = [
        y * width + x
        for y in range(height)
        for x in range(width)
        if x == 0 or a[y, x] != a[y, x - 1] or b[y, x] != b[y, x - 1]
    ]
    assert run_starts(a, b).tolist() == expected


def test_noise_makes_the_buffer_grow() -> None:
    noise = np.arange(300 * 200, dtype=np.int32).reshape(300, 200)
    assert (run_starts(noise, noise) == noise.ravel()).all()


# -- areas and boxes -------------------------------------------------------------------------


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(panoptic_maps), st.data())
def test_equals_numpy(image, data):
    present = sorted(set(np.unique(image.panoptic_map).tolist()) - {0})
    left_out = set(data.draw(st.lists(st.sampled_from(present)))) if present else set()
    absent = data.draw(st.sets(st.integers(1, 2**24 - 1)))
    segment_ids = np.array(sorted(({*present} - left_out) | absent), dtype=np.int32)
    areas, bboxes, unlisted = measure_segments(image.panoptic_map, segment_ids)
    for segment_id, area, bbox in zip(segment_ids, areas, bboxes.tolist(), strict=True):
        y, x = np.nonzero(image.panoptic_map == segment_id)
        assert area == len(y)
        if area:
            assert bbox == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        else:
            assert bbox == [0, 0, 0, 0]
    not_listed = (image.panoptic_map != 0) & ~np.isin(image.panoptic_map, segment_ids)
    assert unlisted == not_listed.sum()


def test_no_segments_and_no_pixels():
    none = np.zeros(0, dtype=np.int32)
    areas, bboxes, unlisted = measure_segments(np.ones((2, 3), dtype=np.int32), none)
    assert (areas.shape, bboxes.shape, unlisted) == ((0,), (0, 4), 6)
    empty = np.zeros((0, 3), dtype=np.int32)
    areas, bboxes, unlisted = measure_segments(empty, np.array([4], dtype=np.int32))
    assert (areas.tolist(), bboxes.tolist(), unlisted) == ([0], [[0, 0, 0, 0]], 0)


# -- border bands ----------------------------------------------------------------------------


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


@given(st.tuples(st.integers(0, 6), st.integers(0, 6)), st.integers(0, 2**32 - 1))
def test_labels_are_those_of_the_segments(size, seed):
    rng = np.random.default_rng(seed)
    segment_ids = rng.choice(np.arange(1, 99), 5, replace=False).astype(np.int32)
    labels = rng.integers(1, 200, 5, dtype=np.int32)
    panoptic_map = rng.choice([0, *segment_ids], size).astype(np.int32)
    by_id = {0: 0} | dict(zip(segment_ids.tolist(), labels.tolist(), strict=True))
    found = label_segments(panoptic_map, segment_ids, labels)
    assert found.dtype == np.int32
    assert found.tolist() == [[by_id[i] for i in row] for row in panoptic_map.tolist()]


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
