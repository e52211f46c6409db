"""The label point of a segment, against a search over all pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fuse.viz.label_points import GRID_SIDE, find_label_points


def inner_radius(segment_map: np.ndarray, y: int, x: int) -> float:
    """Distance from a pixel's centre to the nearest edge or corner that is not its segment's."""
    framed = np.pad(segment_map, 1, constant_values=-1)
    rows, columns = np.nonzero(framed != segment_map[y, x])
    dy = np.maximum(np.abs(rows - 1 - y) - 0.5, 0)
    dx = np.maximum(np.abs(columns - 1 - x) - 0.5, 0)
    return float(np.hypot(dy, dx).min())


segment_maps = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.sampled_from([0, 3, 2**24 - 1]),
)


@given(segment_maps)
def test_point_lies_in_its_segment_about_as_far_inside_as_any(segment_map):
    points = find_label_points(segment_map)
    assert list(points) == [key for key in np.unique(segment_map).tolist() if key]
    for key, point in points.items():
        assert segment_map[point.y, point.x] == key
        rows, columns = np.nonzero(segment_map == key)
        assert point.top == rows.min()
        radii = [inner_radius(segment_map, y, x) for y, x in zip(rows, columns, strict=True)]
        # The grid of borders knows corners only by their edges, so half a pixel may be lost.
        assert inner_radius(segment_map, point.y, point.x) >= max(radii) - 0.75
        assert point.radius == pytest.approx(max(radii), abs=0.75)


@pytest.mark.parametrize("side", [GRID_SIDE, GRID_SIDE + 1, 5 * GRID_SIDE + 3])
def test_large_maps_are_searched_on_a_grid(side):
    segment_map = np.zeros((side, side // 2), dtype=np.int32)
    segment_map[: side // 2] = 4
    point = find_label_points(segment_map)[4]
    step = 6
    assert point.y == pytest.approx(side / 4, abs=2 * step)
    assert point.x == pytest.approx(side / 4, abs=2 * step)
    assert point.radius == pytest.approx(side / 4, abs=2 * step)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_map_without_pixels_has_no_points(shape):
    assert find_label_points(np.zeros(shape, dtype=np.int32)) == {}
