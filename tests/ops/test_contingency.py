"""Pixels per pair of ids."""

import numpy as np
import pytest
from factories import blocky_map
from hypothesis import given
from hypothesis import strategies as st
from reference.contingency import count_pairs_slowly

from fuse.ops.contingency import count_pairs

LARGEST = 2**24 - 1


def as_dict(columns: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[tuple[int, int], int]:
    return {(t, p): n for t, p, n in zip(*(c.tolist() for c in columns), strict=True)}


@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    block=st.integers(1, 5),
)
def test_counts_equal_the_loop(seed: int, height: int, width: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    truth_map = blocky_map(rng, (height, width), [0, 1, 7, LARGEST - 1, LARGEST], block)
    pred_map = blocky_map(rng, (height, width), [0, 2, 65536, LARGEST], block=2)
    before = truth_map.copy(), pred_map.copy()
    truth_ids, pred_ids, counts = count_pairs(truth_map, pred_map)
    assert as_dict((truth_ids, pred_ids, counts)) == count_pairs_slowly(truth_map, pred_map)
    assert counts.sum() == height * width
    pairs = list(zip(truth_ids.tolist(), pred_ids.tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert (truth_ids.dtype, pred_ids.dtype, counts.dtype) == (np.int32, np.int32, np.int64)
    assert (truth_map == before[0]).all()
    assert (pred_map == before[1]).all()


def test_a_segment_per_pixel_near_the_largest_id() -> None:
    # 76,800 segments a map and as many pairs: the table grows several times.
    truth_map = (LARGEST - np.arange(240 * 320, dtype=np.int32)).reshape(240, 320)
    pred_map = np.ascontiguousarray(truth_map[::-1, ::-1])
    truth_ids, pred_ids, counts = count_pairs(truth_map, pred_map)
    assert as_dict((truth_ids, pred_ids, counts)) == count_pairs_slowly(truth_map, pred_map)


def test_swapping_the_maps_swaps_the_columns() -> None:
    rng = np.random.default_rng(0)
    a = blocky_map(rng, (60, 80), list(range(40)))
    b = blocky_map(rng, (60, 80), list(range(40)))
    there, back = as_dict(count_pairs(a, b)), as_dict(count_pairs(b, a))
    assert there == {(t, p): n for (p, t), n in back.items()}


def test_maps_need_not_be_contiguous() -> None:
    wide = np.arange(24, dtype=np.int32).reshape(4, 6) // 5
    assert as_dict(count_pairs(wide[:, ::2], wide.T[::2].T)) == count_pairs_slowly(
        wide[:, ::2], wide[:, ::2]
    )


def test_maps_without_pixels_have_no_pairs() -> None:
    empty = np.zeros((0, 5), dtype=np.int32)
    assert [len(column) for column in count_pairs(empty, empty)] == [0, 0, 0]


@pytest.mark.parametrize("bad_id", [-1, LARGEST + 1, -(2**31), 2**31 - 1])
def test_ids_outside_three_bytes_are_refused(bad_id: int) -> None:
    good = np.zeros((2, 3), dtype=np.int32)
    bad = good.copy()
    bad[1, 1] = bad_id
    for maps in ((good, bad), (bad, good)):
        with pytest.raises(ValueError, match=r"ids must lie in 0\.\.16777215"):
            count_pairs(*maps)


def test_other_sizes_and_dtypes_are_refused() -> None:
    good = np.zeros((2, 3), dtype=np.int32)
    with pytest.raises(ValueError, match="is 3 wide, 2 high; the predicted one is 2 wide, 3 high"):
        count_pairs(good, np.ascontiguousarray(good.T))
    with pytest.raises(TypeError, match="int32 and int64"):
        count_pairs(good, good.astype(np.int64))
