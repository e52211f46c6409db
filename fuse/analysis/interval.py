"""A difference between two scores with its interval, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass


def describe_points(difference: float) -> str:
    """A difference times 100, with its sign, which one that rounds to 0 keeps.

    >>> describe_points(0.0123), describe_points(-0.0004), describe_points(-0.0)
    ('+1.2', '-0.0', '+0.0')
    """
    return f"{round(100 * difference, 9) + 0.0:+.1f}"  # beyond 9 digits is rounding alone


@dataclass(frozen=True, slots=True)
class Interval:
    """How far a score lies from that of the first run.

    Attributes:
        difference: in -1..1; above 0 is better than the first run.
        low, high: 95 % of the differences over resampled images lie between them.
    """

    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """True where the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def describe(self) -> str:
        """``+1.2 (+0.3 to +2.0) *`` in points; the star where it leaves out 0 and points move."""
        edges = (self.difference, self.low, self.high)
        middle, low, high = map(describe_points, edges)
        is_shown = self.is_clear and {low[1:], high[1:]} != {"0.0"}
        return f"{middle} ({low} to {high}){' *' if is_shown else ''}"
