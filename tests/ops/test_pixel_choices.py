"""Maps that are chosen from pixel by pixel, against NumPy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fuse.ops.choose import choose_by_code
from fuse.ops.claims import claim_pixels

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6)


@given(st.integers(0, 2**32 - 1), SHAPES)
def test_a_code_says_which_map(seed, shape):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 9, (2, *shape), dtype=np.int32)
    codes = rng.integers(0, 4, shape, dtype=np.uint8)
    takes_second = rng.random(4) < 0.5
    chosen = choose_by_code(first, second, codes, takes_second)
    np.testing.assert_array_equal(chosen, np.where(takes_second[codes], second, first))


@given(st.integers(0, 2**32 - 1), SHAPES, st.integers(1, 5))
def test_a_pixel_goes_to_the_first_of_its_highest_claims(seed, shape, count):
    claims = np.random.default_rng(seed).integers(-1, 3, (count, *shape)).astype(np.float32)
    owners, highest = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for owner, claim in enumerate(claims, start=1):
        claim_pixels(owners, highest, claim, owner)
    # Nobody's claim is 0 from the start.
    all_claims = np.concatenate([np.zeros((1, *shape), np.float32), claims])
    np.testing.assert_array_equal(owners, all_claims.argmax(axis=0))
    np.testing.assert_array_equal(highest, all_claims.max(axis=0))
