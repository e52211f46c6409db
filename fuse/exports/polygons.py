"""Polygons of segments that draw their masks, as far as polygons can, and what they lose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fuse.exports.image import ExportImage
from fuse.findings import Note
from fuse.ops.outlines import (
    draw_centres,
    draw_edges,
    is_around,
    join_loops,
    signed_area,
    simplify,
    trace_centres,
    trace_edges,
)
from fuse.types import BoolArray, Float64Array, Int32Array, SegmentInfo

Style = Literal["edges", "centres", "one path"]
TOLERANCES = (1.0, 0.0)  # pixels that corners may be left out for; the first that is good enough
LEAST_IOU = 0.98  # of a polygon's mask with the segment
LEAST_AREA = 100  # pixels of a segment that must reach it
MOST_PARTS = 64  # of a segment in one path; smaller ones are specks
INSIDE = 0.25  # from the number of a pixel; cut to a whole number or rounded, it is that number


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """The polygons of a segment.

    Attributes:
        paths: float64 (P, 2) each, x and y in pixels of the image.
        iou: of what they draw with the segment.
    """

    paths: list[Float64Array]
    iou: float


def fit_segments(
    image: ExportImage, segments: Sequence[SegmentInfo], style: Style, notes: list[Note]
) -> list[tuple[SegmentInfo, Polygons]]:
    """Each segment with its polygons; what these lose of the masks is added to the notes."""
    fitted = [(segment, fit_polygons(image, segment, style)) for segment in segments]
    notes += note_losses(image, fitted)
    return fitted


def fit_polygons(image: ExportImage, segment: SegmentInfo, style: Style) -> Polygons:
    """The polygons of a segment with few corners.

    Args:
        image: the segment's.
        segment: to be drawn.
        style: ``edges``, a polygon per part, its holes cut in; ``centres``, the same through the
            centres of pixels; ``one path``, through them and around all parts.
    """
    mask = image.crop(segment)
    corner = np.array(segment.bbox[:2], dtype=np.float64)
    drawn: list[Int32Array] = []
    iou = 0.0
    for tolerance in TOLERANCES:
        drawn = TRACERS[style](mask, tolerance)
        draw = draw_edges if style == "edges" else draw_centres
        iou = _measure_iou(draw(drawn, (mask.shape[0], mask.shape[1])), mask)
        if iou >= LEAST_IOU:
            break
    shift = corner if style == "edges" else corner + INSIDE
    return Polygons([path + shift for path in drawn], iou)


def note_losses(image: ExportImage, fitted: Sequence[tuple[SegmentInfo, Polygons]]) -> list[Note]:
    """Notes on segments whose polygons are not their masks."""
    inexact = [(segment, p.iou) for segment, p in fitted if p.iou < 1]
    poor = [(s, iou) for s, iou in inexact if iou < LEAST_IOU and s.area > LEAST_AREA]
    return [
        Note(code, _describe_worst(image, those), len(those))
        for code, those in (("polygon-loss", inexact), ("polygon-poor", poor))
        if those
    ]


def _describe_worst(image: ExportImage, those: Sequence[tuple[SegmentInfo, float]]) -> str:
    segment, iou = min(those, key=lambda pair: pair[1])
    return f"{image.file_name}, segment {segment.segment_id} (IoU {iou:.3f})"


def _measure_iou(drawn: BoolArray, mask: BoolArray) -> float:
    union = np.count_nonzero(drawn | mask)
    return np.count_nonzero(drawn & mask) / union if union else 1.0


def _trace_edges(mask: BoolArray, tolerance: float) -> list[Int32Array]:
    """Outer loops along edges, each with the holes that lie in it cut in."""
    outer, holes = trace_edges(mask)
    groups = [[simplify(loop, tolerance)] for loop in outer]
    areas = [signed_area(loop) for loop in outer]
    for hole in holes:
        place = _find_enclosing(outer, areas, hole)
        groups[place].append(simplify(hole, tolerance))
    return [join_loops(group) for group in groups]


def _find_enclosing(outer: Sequence[Int32Array], areas: Sequence[float], hole: Int32Array) -> int:
    """The smallest outer loop around a hole; islands in the hole are smaller than it is."""
    least = -signed_area(hole)
    around = [n for n, area in enumerate(areas) if area > least and is_around(outer[n], hole[0])]
    return min(around, key=lambda n: areas[n])


def _trace_centres(mask: BoolArray, tolerance: float) -> list[Int32Array]:
    """A path per part through the centres of its outermost pixels, its holes cut in."""
    return [
        _fill_up(join_loops([simplify(loop, tolerance) for loop in (outer, *holes)]))
        for outer, holes in trace_centres(mask)
    ]


def _fill_up(path: Int32Array) -> Int32Array:
    """A path of at least three points: tools refuse those of one pixel or of a line."""
    return np.concatenate((path, path[-1:].repeat(max(0, 3 - len(path)), axis=0)))


def _trace_one_path(mask: BoolArray, tolerance: float) -> list[Int32Array]:
    """One path around all parts that are worth the bridge, which is drawn too."""
    parts = sorted(_trace_centres(mask, tolerance), key=lambda path: -abs(signed_area(path)))
    # A path through centres has half of its outermost pixels outside.
    worths = [abs(signed_area(part)) + len(part) / 2 + 1 for part in parts]
    return [join_loops(parts[:MOST_PARTS], worths)]


TRACERS: dict[Style, Callable[[BoolArray, float], list[Int32Array]]] = {
    "edges": _trace_edges,
    "centres": _trace_centres,
    "one path": _trace_one_path,
}
