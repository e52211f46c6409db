"""Maps as their changes from row to row."""

import numpy as np
import pytest
from factories import blocky_map
from hypothesis import given
from hypothesis import strategies as st

from fuse.ops.changes import BLOCK, find_changes


@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 12),
    width=st.integers(1, 3 * BLOCK + 2),
    block=st.integers(1, 5),
)
def test_changes_are_the_pixels_unlike_those_above(
    seed: int, height: int, width: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    id_map = blocky_map(rng, (height, width), [0, 1, 7, 2**24 - 1], block)
    before = id_map.copy()
    found = find_changes(id_map)
    above = np.vstack((np.zeros_like(id_map[:1]), id_map[:-1]))
    rows, columns = np.nonzero(id_map != above)
    assert found.size == (height, width)
    assert found.changes.tolist() == [
        [x, id_map[y, x]] for y, x in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    assert np.diff(found.row_ends, prepend=0).tolist() == (id_map != above).sum(axis=1).tolist()
    assert (found.to_map() == id_map).all()
    assert (id_map == before).all()


def test_a_change_at_every_pixel() -> None:
    noise = np.arange(1, 60 * 70 + 1, dtype=np.int32).reshape(60, 70)  # the room grows
    found = find_changes(noise)
    assert (found.changes[:, 1] == noise.ravel()).all()
    assert (found.to_map() == noise).all()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (3, 4)])
def test_void_has_no_changes(size: tuple[int, int]) -> None:
    found = find_changes(np.zeros(size, dtype=np.int32))
    assert len(found.changes) == 0
    assert found.size == found.to_map().shape == size
