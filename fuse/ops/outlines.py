"""Outlines of masks as polygons, and the masks of polygons, in the two ways that tools draw.

*Edges*: a polygon runs along the edges of pixels and covers what lies inside, as in COCO's and
CVAT's own masks (pycocotools). *Centres*: it runs through the centres of the outermost pixels,
which belong to it, as OpenCV and Pillow draw it, and with them YOLO's trainers and labelme.

A loop is an int32 (P, 2) array of x, y. Holes are loops as well; a path that goes around several
loops, there and back over the shortest bridges, covers the same by the even-odd rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from fuse.ops._jit import jit
from fuse.types import BoolArray, Float64Array, Int32Array

Loops = list[Int32Array]

MAX_PERIMETER = 4_000_000  # pixels around a polygon of a file; a traced one has a few thousand

# Directions along the edges of pixels: right, down, left, up; a right turn adds one.
STEP_X = np.array([1, 0, -1, 0])
STEP_Y = np.array([0, 1, 0, -1])


def trace_edges(mask: BoolArray) -> tuple[Loops, Loops]:
    """The loops along the edges of a mask's pixels, corners only: outer ones, then holes.

    Pixels that touch at a corner belong to two loops.

    >>> outer, holes = trace_edges(np.array([[True, True], [False, True]]))
    >>> outer[0].tolist(), holes
    ([[0, 0], [2, 0], [2, 2], [1, 2], [1, 1], [0, 1]], [])
    """
    points, ends = _trace_edges(np.pad(mask, 1))
    loops = np.split(points, ends[:-1]) if len(ends) else []
    outer: Loops = []
    holes: Loops = []
    for loop in loops:
        (outer if signed_area(loop) > 0 else holes).append(loop)
    return outer, holes


def trace_centres(mask: BoolArray) -> list[tuple[Int32Array, Loops]]:
    """The loops through the outermost pixels of each part of a mask, and around its holes.

    Parts are 8-connected; a loop around a hole runs through pixels of the mask.
    """
    import cv2  # converting without polygons does without it

    found, links = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    loops = [contour.reshape(-1, 2).astype(np.int32) for contour in found]
    parents = links[0, :, 3].tolist() if links is not None else []
    holes: dict[int, Loops] = {n: [] for n, parent in enumerate(parents) if parent < 0}
    for loop, parent in zip(loops, parents, strict=True):
        if parent >= 0:
            holes[parent].append(loop)
    return [(loops[n], inner) for n, inner in holes.items()]


def signed_area(loop: Int32Array) -> float:
    """The area of a loop, above 0 where it runs clockwise in an image."""
    x, y = loop.astype(np.float64).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def is_around(loop: Int32Array, point: Int32Array) -> bool:
    """Whether a point lies inside a loop or on it."""
    import cv2

    x, y = point.tolist()
    return bool(cv2.pointPolygonTest(loop.reshape(-1, 1, 2), (float(x), float(y)), False) >= 0)


def simplify(loop: Int32Array, tolerance: float) -> Int32Array:
    """The loop with the fewest corners that keeps it within that many pixels; at least three."""
    import cv2

    if tolerance <= 0 or len(loop) < 5:
        return loop
    fewer = cv2.approxPolyDP(loop.reshape(-1, 1, 2), tolerance, True).reshape(-1, 2)
    return fewer.astype(np.int32) if len(fewer) >= 3 else loop


def join_loops(loops: Sequence[Int32Array], worths: Sequence[float] | None = None) -> Int32Array:
    """One path around all loops: each is entered, and left, over a short bridge.

    Always the loop is next that lies nearest to what is joined already (Prim's tree).

    Args:
        loops: the first one is the base.
        worths: how long a bridge each is worth, in pixels; a loop that is further is left out.

    >>> near, far = np.array([[0, 0], [2, 0], [2, 2]]), np.array([[9, 0], [5, 0], [9, 2]])
    >>> join_loops([near.astype(np.int32), far.astype(np.int32)]).tolist()
    [[0, 0], [2, 0], [5, 0], [9, 2], [9, 0], [5, 0], [2, 0], [2, 2]]
    """
    path = loops[0]
    rest = {n: find_bridge(path, loop)[0] for n, loop in enumerate(loops[1:], start=1)}
    while rest:
        nearest = min(rest, key=lambda n: rest[n])
        length, loop = rest.pop(nearest), loops[nearest]
        if worths is not None and length > worths[nearest]:
            continue
        _, here, there = find_bridge(path, loop)
        around = np.concatenate((loop[there:], loop[: there + 1]))
        path = np.concatenate((path[: here + 1], around, path[here:]))
        rest = {n: min(length, find_bridge(loop, loops[n])[0]) for n, length in rest.items()}
    return path


def find_bridge(path: Int32Array, loop: Int32Array) -> tuple[float, int, int]:
    """A short way between two loops: its length, and the places of its ends in both.

    From a corner of the loop to the nearest of the path, and back until nothing is nearer.
    """
    there, here, length = 0, -1, np.inf
    while True:
        nearest = _squared_distances(path, loop[there])
        here = int(nearest.argmin())
        back = _squared_distances(loop, path[here])
        there = int(back.argmin())
        if back[there] >= length:
            return float(np.sqrt(length)), here, there
        length = float(back[there])


def _squared_distances(path: Int32Array, point: Int32Array) -> Float64Array:
    difference = path.astype(np.float64) - point
    squares: Float64Array = np.einsum("ij,ij->i", difference, difference)
    return squares


def check_perimeter(path: Float64Array) -> None:
    """Raise ValueError for a polygon (P, 2) that is too long to be drawn in reasonable time.

    Those who draw walk along its sides: pycocotools pixel by pixel, and keeps all of them.
    """
    length = float(np.abs(np.diff(path, axis=0, append=path[:1])).max(axis=1, initial=0).sum())
    if length > MAX_PERIMETER:
        raise ValueError(
            f"a polygon of {len(path):,} points is {length:,.0f} pixels around; at most "
            f"{MAX_PERIMETER:,} are drawn, so give a mask"
        )


def draw_centres(paths: Sequence[Float64Array | Int32Array], size: tuple[int, int]) -> BoolArray:
    """What OpenCV draws of polygons through pixel centres: bool (H, W); parts are cut to pixels."""
    import cv2

    canvas = np.zeros(size, dtype=np.uint8)
    for path in paths:
        whole = np.floor(path).astype(np.int32)
        cv2.fillPoly(canvas, [whole.reshape(-1, 1, 2)], 1)
    return canvas.astype(np.bool_)


def draw_edges(paths: Sequence[Float64Array | Int32Array], size: tuple[int, int]) -> BoolArray:
    """What pycocotools makes of polygons along pixel edges: bool (H, W)."""
    flat = [np.ravel(path).astype(np.float64).tolist() for path in paths]
    if not flat:
        return np.zeros(size, dtype=np.bool_)
    rle = coco_mask.merge(coco_mask.frPyObjects(flat, *size))
    mask: BoolArray = coco_mask.decode(rle).astype(np.bool_)
    return mask


@jit
def _trace_edges(padded: BoolArray) -> tuple[Int32Array, Int32Array]:
    """Corners of all loops, one after the other, with the mask on the right; and their ends.

    The mask has a rim of one empty pixel; corners are those of the mask without it.
    """
    height, width = padded.shape
    seen = np.zeros((height, width), np.bool_)  # pixels whose upper edge has been walked
    points = np.empty((4096, 2), np.int32)
    ends = np.empty(64, np.int32)
    count, loops = 0, 0
    for top in range(1, height):
        for left in range(1, width):
            if not padded[top, left] or padded[top - 1, left] or seen[top, left]:
                continue
            x, y, direction = left, top, 0
            while True:
                if direction == 0:
                    if seen[y, x]:
                        break
                    seen[y, x] = True
                x, y = x + STEP_X[direction], y + STEP_Y[direction]
                right = _is_set(padded, x, y, direction, True)
                turn = 0
                if not right:
                    turn = 1
                elif _is_set(padded, x, y, direction, False):
                    turn = 3
                if turn:
                    if count == len(points):
                        points = np.concatenate((points, np.empty_like(points)))
                    points[count, 0], points[count, 1] = x - 1, y - 1
                    count += 1
                    direction = (direction + turn) % 4
            if loops == len(ends):
                ends = np.concatenate((ends, np.empty_like(ends)))
            ends[loops] = count
            loops += 1
    return _rotate_starts(points[:count].copy(), ends[:loops].copy())


@jit
def _is_set(padded: BoolArray, x: int, y: int, direction: int, right: bool) -> bool:
    """Whether the pixel ahead of a corner, right or left of the direction, is in the mask."""
    if direction == 0:
        return padded[y if right else y - 1, x]  # type: ignore[no-any-return]
    if direction == 1:
        return padded[y, x - 1 if right else x]  # type: ignore[no-any-return]
    if direction == 2:
        return padded[y - 1 if right else y, x - 1]  # type: ignore[no-any-return]
    return padded[y - 1, x if right else x - 1]  # type: ignore[no-any-return]


@jit
def _rotate_starts(points: Int32Array, ends: Int32Array) -> tuple[Int32Array, Int32Array]:
    """Each loop begun at its last corner, which is where its walk began."""
    first = 0
    for end in ends:
        last = points[end - 1].copy()
        for index in range(end - 1, first, -1):
            points[index] = points[index - 1]
        points[first] = last
        first = end
    return points, ends
