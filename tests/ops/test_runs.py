"""Runs of equal neighbours."""

import numpy as np
from factories import blocky_map
from hypothesis import given
from hypothesis import strategies as st

from fuse.ops.runs import run_starts


@given(
    seed=st.integers(0, 2**32),
    height=st.integers(0, 12),
    width=st.integers(0, 40),
    block=st.integers(1, 9),
)
def test_a_run_starts_at_each_row_and_each_change(
    seed: int, height: int, width: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    values = [0, 1, -5, 2**31 - 1]
    a = blocky_map(rng, (height, width), values, block)
    b = blocky_map(rng, (height, width), values, block=4)
    expected = [
        y * width + x
        for y in range(height)
        for x in range(width)
        if x == 0 or a[y, x] != a[y, x - 1] or b[y, x] != b[y, x - 1]
    ]
    assert run_starts(a, b).tolist() == expected


def test_noise_makes_the_buffer_grow() -> None:
    noise = np.arange(300 * 200, dtype=np.int32).reshape(300, 200)
    assert (run_starts(noise, noise) == noise.ravel()).all()
