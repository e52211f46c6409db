"""Polygons drawn back give the mask they were traced from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw
from scipy.sparse.csgraph import minimum_spanning_tree

from fuse.ops.outlines import (
    MAX_PERIMETER,
    check_perimeter,
    draw_centres,
    draw_edges,
    is_around,
    join_loops,
    signed_area,
    simplify,
    trace_centres,
    trace_edges,
)

MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@settings(max_examples=300)
@given(MASKS)
def test_edges_cover_the_mask(mask):
    outer, holes = trace_edges(mask)
    assert sum(map(signed_area, outer + holes)) == mask.sum()
    assert all(signed_area(loop) > 0 for loop in outer)
    for loop in outer + holes:  # corners only, along pixels' edges
        sides = np.diff(np.vstack((loop, loop[:1])), axis=0)
        assert ((sides == 0).sum(axis=1) == 1).all()
        assert (np.abs(sides).argmax(axis=1) != np.roll(np.abs(sides).argmax(axis=1), 1)).all()


@settings(max_examples=300)
@given(MASKS)
def test_one_path_along_edges_gives_the_mask_back(mask):
    outer, holes = trace_edges(mask)
    if outer:
        np.testing.assert_array_equal(draw_edges([join_loops(outer + holes)], mask.shape), mask)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=2, unique=True))
def test_bridges_are_a_shortest_tree(points):
    """Of single points each bridge is walked twice, and the nearest of all is always next."""
    path = join_loops([np.array([point], dtype=np.int32) for point in points])
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    places = np.array(points)
    lengths = np.linalg.norm(places[:, None] - places, axis=-1)
    assert steps == pytest.approx(2 * minimum_spanning_tree(lengths).sum())


@given(MASKS)
def test_parts_and_their_holes_give_the_mask_back(mask):
    drawn = np.zeros(mask.shape, bool)
    for outer, holes in trace_centres(mask):
        inside = draw_centres([outer], mask.shape)
        for hole in holes:
            inside &= ~draw_centres([hole], mask.shape) | draw_outline(hole, mask.shape)
        drawn |= inside
    np.testing.assert_array_equal(drawn & mask, mask)


def draw_outline(loop, size):
    canvas = Image.new("1", size[::-1])
    ImageDraw.Draw(canvas).line([tuple(p) for p in [*loop.tolist(), loop[0].tolist()]], fill=1)
    return np.asarray(canvas)


@pytest.fixture
def ring():
    y, x = np.mgrid[:120, :160]
    radius = np.hypot(y - 60, x - 80)
    return (radius < 50) & (radius > 20)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_ring_through_centres_is_drawn_by_opencv_and_pillow(ring):
    [(outer, holes)] = trace_centres(ring)
    path = join_loops([outer, *holes])
    assert iou(draw_centres([path], ring.shape), ring) > 0.99
    canvas = Image.new("1", ring.shape[::-1])
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in path.tolist()], outline=1, fill=1)
    assert iou(np.asarray(canvas), ring) > 0.99


def test_few_corners_keep_most_of_the_mask(ring):
    outer, holes = trace_edges(ring)
    fewer = [simplify(loop, 1.0) for loop in outer + holes]
    assert sum(map(len, fewer)) < 60 < sum(map(len, outer + holes))
    assert iou(draw_edges([join_loops(fewer)], ring.shape), ring) > 0.97


def test_an_empty_mask_has_no_outline():
    empty = np.zeros((3, 4), bool)
    assert trace_edges(empty) == ([], [])
    assert trace_centres(empty) == []
    assert not draw_edges([], (3, 4)).any()


def test_what_cannot_have_fewer_corners_stays():
    square = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], dtype=np.int32)
    assert simplify(square, 20) is square
    stairs = np.array([[0, 0], [9, 0], [9, 9], [5, 9], [5, 8], [0, 8]], dtype=np.int32)
    assert simplify(stairs, 0) is stairs
    assert len(simplify(stairs, 2)) == 4


def test_inside_a_loop_is_on_its_edge_too():
    square = np.array([[2, 2], [8, 2], [8, 6], [2, 6]], dtype=np.int32)
    for point, inside in (((5, 4), True), ((8, 4), True), ((9, 4), False), ((4, 7), False)):
        assert is_around(square, np.array(point, dtype=np.int32)) == inside


def test_a_loop_beyond_its_worth_is_left_out():
    points = [np.array([[x, 0]], dtype=np.int32) for x in (0, 3, 9)]
    assert [9, 0] not in join_loops(points, [0, 3, 5]).tolist()
    assert [9, 0] in join_loops(points, [0, 3, 6]).tolist()


@pytest.mark.parametrize("turned", [False, True])
def test_the_longest_polygon_is_drawn_and_no_longer_one(turned):
    there_and_back = np.array([[0.0, 0.0], [MAX_PERIMETER / 2, 0.0]])
    check_perimeter(there_and_back[:, ::-1] if turned else there_and_back)
    there_and_back[1, 0] += 0.5
    with pytest.raises(ValueError, match=r"2 points is 4,000,001 pixels around; at most 4,000,000"):
        check_perimeter(there_and_back[:, ::-1] if turned else there_and_back)
