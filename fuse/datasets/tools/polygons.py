"""Polygons as tools store them: how far they reach, and ellipses as polygons."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuse.findings import Note
from fuse.ops.outlines import check_perimeter

SIDES = 64  # of the polygon that stands for an ellipse
MOST_SHARE = 2  # of the image that a point may lie at; tools cut at its border
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
    """The corners of a polygon in the place of an ellipse, turned clockwise.

    Raises:
        ValueError: a number is not finite, or a corner would not be.
    """
    angles = np.linspace(0, 2 * np.pi, SIDES, endpoint=False)
    turn = np.deg2rad(degrees)
    with np.errstate(over="ignore", invalid="ignore"):
        x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
        turned = (x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn))
        corners: Points = center + np.stack(turned, axis=1)
    if not np.isfinite(corners).all():
        raise ValueError("its centre, radii and rotation must be finite numbers")
    return corners


def note_place(points: Points, size: tuple[int, int], where: str) -> list[Note]:
    """A note where a polygon has a corner beyond the image, or lies in its first pixel whole.

    The second is what shares of the image in 0..1 make where pixels are meant.
    """
    limits = np.array([size[1], size[0]], dtype=np.float64)
    if len(points) and ((points >= 0) & (points <= 1)).all() and limits.min() > 1:
        return [Note("label-in-first-pixel", where)]
    outside = ((points < 0) | (points > limits)).any()
    return [Note("label-outside", where)] if outside else []


def check_shares(shares: Points, limit: float) -> None:
    """Raise ValueError where a polygon in shares of the image must be in pixels.

    Args:
        shares: the points.
        limit: the share of the whole image, 1 or 100.
    """
    largest = float(np.abs(shares).max(initial=0))
    if largest > MOST_SHARE * limit:
        raise ValueError(
            f"points are shares of the image, 0 to {limit:g}, and one is {largest:g}; if these are "
            "pixels, divide x by the width and y by the height"
        )


def clip_points(points: Points, size: tuple[int, int]) -> Points:
    """Points with far ones brought near, so that drawing stays quick; the visible part stays.

    Raises:
        ValueError: they are too many to be drawn.
    """
    reach = REACH * max(size)
    clipped: Points = np.clip(points, -reach, reach)
    check_perimeter(clipped)
    return clipped
