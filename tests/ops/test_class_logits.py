"""Class evidence from logits: the same for all logits that say the same."""

import numpy as np
from factories import target_logits
from hypothesis import given
from hypothesis import strategies as st

from fuse.ops.class_logits import (
    image_axes,
    relative_logits,
    sum_to_one,
    upsample_best,
    upsample_window,
)


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 9))
def test_a_number_added_to_all_logits_of_a_cell_changes_nothing(seed, reach):
    rng = np.random.default_rng(seed)
    # Eighths, so that float16 adds them exactly.
    logits = (rng.integers(-80, 80, (5, 3, 4)) / 8).astype(np.float16)
    shifted = logits + rng.integers(-40, 40, (1, 3, 4)).astype(np.float16)
    relative = relative_logits(logits, reach)
    assert (relative == relative_logits(shifted, reach)).all()
    assert (relative.argmax(axis=0) == logits.argmax(axis=0)).all()
    np.testing.assert_allclose(relative.max(axis=0), reach, rtol=1e-6)
    assert relative.min() >= 0


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
)
def test_the_best_plane_is_that_of_all_windows(seed, grid, size):
    rng = np.random.default_rng(seed)
    logits = target_logits(rng, size, grid).logits
    planes = relative_logits(logits.logits, 4.0)
    best, values = upsample_best(planes, logits)
    whole = (slice(0, size[0]), slice(0, size[1]))
    each = np.array([upsample_window(plane, image_axes(logits), whole) for plane in planes])
    np.testing.assert_allclose(values, each.max(axis=0), atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(each, best[None], 0)[0], values, atol=1e-6)
    part = (slice(size[0] // 2, size[0]), slice(size[1] // 3, size[1]))
    assert (upsample_window(planes[0], image_axes(logits), part) == each[0][part]).all()


def test_values_that_sum_to_one_lie_in_0_to_1():
    one_hot = np.eye(3, dtype=np.float16)[[[0, 1], [2, 0]]].transpose(2, 0, 1)
    assert sum_to_one(one_hot)
    assert sum_to_one(np.full((4, 2, 2), 0.25, np.float16))
    assert not sum_to_one(np.full((4, 2, 2), 0.3, np.float16))
    assert not sum_to_one(one_hot[:1])  # of one class nothing is known
    outside = one_hot.copy()
    outside[:, 1, 1] = (1.5, -0.5, 0)  # sums to 1 as well
    assert sum_to_one(outside) is False
