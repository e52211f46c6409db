from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference.png_rows import FILTERS, filter_row, ids_to_rgb, paeth

from fuse.ops.png_filters import BLOCK, _paeth, filter_rows, unfilter_rows


@st.composite
def wide_maps(draw):
    """Maps of a few long runs, so that whole blocks filter to zeros, and some single pixels."""
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 4 * BLOCK + 3))
    ids = draw(st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=3))
    panoptic_map = np.full((height, width), ids[0], dtype=np.int32)
    for _ in range(draw(st.integers(0, 4))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        segment_id = draw(st.sampled_from(ids))
        if draw(st.booleans()):
            panoptic_map[y:, x:] = segment_id
        else:
            panoptic_map[y, x] = segment_id
    return panoptic_map


# Few ids that differ in all channels, so that each pixel has other neighbours than the next.
noisy_maps = hnp.arrays(
    np.int32,
    st.tuples(st.integers(1, 4), st.integers(1, 2 * BLOCK + 3)),
    elements=st.sampled_from([0, 0x010203, 0x80FF7F, 0x7F01FE, 0xFFFFFF]),
)


@pytest.mark.parametrize("kinds", [*((kind,) for kind in FILTERS), tuple(FILTERS)], ids=str)
@given(panoptic_map=wide_maps() | noisy_maps)
def test_filters_and_blocks_of_zeros_are_undone(kinds, panoptic_map):
    pixel_rows = ids_to_rgb(panoptic_map).reshape(len(panoptic_map), -1).astype(int).tolist()
    above_rows = [[0] * len(pixel_rows[0]), *pixel_rows[:-1]]
    rows = []
    for y, (row, above) in enumerate(zip(pixel_rows, above_rows, strict=True)):
        kind = kinds[y % len(kinds)]
        rows.append(list(filter_row(kind, row, above, bytes_per_pixel=3)))
    unfiltered, bad_row = unfilter_rows(np.array(rows, dtype=np.uint8))
    np.testing.assert_array_equal(unfiltered.to_map(), panoptic_map)
    assert bad_row == -1


@given(panoptic_map=wide_maps())
def test_rows_are_filtered_as_the_specification_says(panoptic_map):
    pixel_rows = ids_to_rgb(panoptic_map).reshape(len(panoptic_map), -1).astype(int).tolist()
    above_rows = [[0] * len(pixel_rows[0]), *pixel_rows[:-1]]
    rows, seen = filter_rows(panoptic_map)
    up = 2
    for row, pixels, above in zip(rows, pixel_rows, above_rows, strict=True):
        assert row.tobytes() == filter_row(up, pixels, above, bytes_per_pixel=3)
    assert seen == np.bitwise_or.reduce(panoptic_map, axis=None)
    if panoptic_map.any():  # an id that does not fit shows
        assert filter_rows(-panoptic_map)[1] < 0


@pytest.mark.parametrize("row", [0, 2])
def test_the_first_row_with_a_filter_that_does_not_exist_is_named(row):
    rows = np.zeros((4, 1 + 3 * 9), np.uint8)
    rows[row:, 0] = len(FILTERS)
    assert unfilter_rows(rows)[1] == row


def test_noise_makes_the_room_for_changes_grow():
    panoptic_map = np.arange(1, 40 * 11 + 1, dtype=np.int32).reshape(40, 11) * 997
    rows, _ = filter_rows(panoptic_map)
    unfiltered, _ = unfilter_rows(rows)
    np.testing.assert_array_equal(unfiltered.to_map(), panoptic_map)


def test_ties_of_paeth_go_to_the_neighbour_named_first():
    values = range(7)
    for left, above, above_left in product(values, values, values):
        expected = paeth(left, above, above_left)
        every_channel = 0x010101
        found = _paeth(*(value * every_channel for value in (left, above, above_left)))
        assert found == expected * every_channel, (left, above, above_left)
