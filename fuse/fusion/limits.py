"""How large a stuff segment must be."""

from __future__ import annotations

from fractions import Fraction
from math import ceil


def least_stuff_pixels(stuff_area: float, pixels: int) -> float:
    """The fewest pixels of a stuff segment in an image of so many; every segment has one.

    >>> least_stuff_pixels(4096, 100), least_stuff_pixels(0.07, 100), 0.07 * 100
    (4096, 7, 7.000000000000001)
    """
    if stuff_area >= 1:
        return stuff_area
    share = Fraction(str(float(stuff_area)))  # as it is written, which its float may not be
    return max(ceil(share * pixels), 1)
