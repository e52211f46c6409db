"""Polygons as tools store them: how far they reach, and ellipses as polygons."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuse.findings import Note

SIDES = 64  # of the polygon that stands for an ellipse
REACH = 4  # image sides that a point may lie away before it is brought near

Points = np.ndarray[Any, np.dtype[np.float64]]


def parse_points(text: str) -> Points:
    """``x,y;x,y`` as float64 (P, 2).

    Raises:
        ValueError: it is no such text.
    """
    pairs = [pair.split(",") for pair in text.split(";") if pair.strip()]
    points = np.array([[float(x), float(y)] for x, y in pairs], dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("a point is not finite")
    return points


def list_ellipse(center: Points, radii: tuple[float, float], degrees: float = 0.0) -> Points:
    """The corners of a polygon in the place of an ellipse, turned clockwise."""
    angles = np.linspace(0, 2 * np.pi, SIDES, endpoint=False)
    x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    turn = np.deg2rad(degrees)
    turned = (x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn))
    corners: Points = center + np.stack(turned, axis=1)
    return corners


def note_outside(points: Points, size: tuple[int, int], where: str) -> list[Note]:
    """A note where a polygon has a corner beyond the image."""
    limits = np.array([size[1], size[0]], dtype=np.float64)
    outside = ((points < 0) | (points > limits)).any()
    return [Note("label-outside", where)] if outside else []


def clip_points(points: Points, size: tuple[int, int]) -> Points:
    """Points with far ones brought near, so that drawing stays quick; the visible part stays."""
    reach = REACH * max(size)
    clipped: Points = np.clip(points, -reach, reach)
    return clipped
