"""Maps as their deltas from row to row."""

import numpy as np
import pytest
from factories import blocky_map
from hypothesis import given
from hypothesis import strategies as st

from fuse.ops.row_deltas import BLOCK, RowDeltas


@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 12),
    width=st.integers(1, 3 * BLOCK + 2),
    block=st.integers(1, 5),
)
def test_deltas_are_the_pixels_unlike_those_above(
    seed: int, height: int, width: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    id_map = blocky_map(rng, (height, width), [0, 1, 7, 2**24 - 1], block)
    before = id_map.copy()
    found = RowDeltas.from_map(id_map)
    above = np.vstack((np.zeros_like(id_map[:1]), id_map[:-1]))
    rows, columns = np.nonzero(id_map != above)
    assert found.size == (height, width)
    assert found.deltas.tolist() == [
        [x, id_map[y, x]] for y, x in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    assert np.diff(found.row_ends, prepend=0).tolist() == (id_map != above).sum(axis=1).tolist()
    assert (found.to_map() == id_map).all()
    assert (found.packed & 0xFFFFFFFF).tolist() == columns.tolist()
    assert (found.packed >> 32).tolist() == id_map[rows, columns].tolist()
    assert (id_map == before).all()


def test_a_change_at_every_pixel() -> None:
    noise = np.arange(1, 60 * 70 + 1, dtype=np.int32).reshape(60, 70)  # the room grows
    found = RowDeltas.from_map(noise)
    assert (found.deltas[:, 1] == noise.ravel()).all()
    assert (found.to_map() == noise).all()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (3, 4)])
def test_void_has_no_deltas(size: tuple[int, int]) -> None:
    found = RowDeltas.from_map(np.zeros(size, dtype=np.int32))
    assert len(found.deltas) == 0
    assert found.size == found.to_map().shape == size
