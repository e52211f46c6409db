"""How a difference and its interval are written."""

import pytest

from fuse.analysis.interval import Interval, describe_points


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.0123, "+1.2"), (-0.0004, "-0.0"), (0.0, "+0.0"), (-0.0, "+0.0"), (-1e-17, "+0.0")],
)
def test_a_difference_keeps_its_sign_but_rounding_has_none(difference, text):
    assert describe_points(difference) == text


@pytest.mark.parametrize(
    ("edges", "text"),
    [
        ((0.02, 0.01, 0.03), "+2.0 (+1.0 to +3.0) *"),
        ((0.02, -0.01, 0.03), "+2.0 (-1.0 to +3.0)"),
        ((-0.009, -0.072, 0.0), "-0.9 (-7.2 to +0.0)"),
        # An edge below 0 that rounds to it: a star beside "+0.0" would be a riddle.
        ((-0.009, -0.072, -0.0003), "-0.9 (-7.2 to -0.0) *"),
        # Clear, but nothing that one would call a difference.
        ((-0.0002, -0.0004, -0.0001), "-0.0 (-0.0 to -0.0)"),
    ],
)
def test_the_star_says_what_the_printed_edges_say(edges, text):
    assert Interval(*edges).describe() == text
