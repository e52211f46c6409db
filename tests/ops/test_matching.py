import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse.ops.matching import count_areas, find_rows, sum_by_row

small_ids = st.integers(0, 5)


@given(st.lists(small_ids), st.lists(small_ids.filter(bool), unique=True))
def test_find_rows(segment_ids, listed_ids):
    rows = find_rows(np.array(segment_ids, dtype=np.int32), np.array(listed_ids, dtype=np.int32))
    expected = [listed_ids.index(i) if i in listed_ids else -1 for i in segment_ids]
    assert rows.tolist() == expected


@pytest.mark.parametrize("stride", [1, 2, 255, 256, 4096, 65_536])
def test_find_rows_of_many_regular_ids(stride):
    # Colours that another tool counts up, in each of the three channels.
    listed_ids = np.arange(1, 2**24, stride, dtype=np.int32)[:70_000]
    rows = find_rows(listed_ids[::-1].copy(), listed_ids)
    assert (rows == np.arange(len(listed_ids))[::-1]).all()


@pytest.mark.parametrize(
    ("listed_ids", "areas", "unlisted"),
    [([9, 4], [30, 10], [2**24 - 1]), ([], [], [4, 9, 2**24 - 1]), ([5], [0], [4, 9, 2**24 - 1])],
)
def test_count_areas(listed_ids, areas, unlisted):
    segment_ids = np.array([0, 9, 4, 9, 2**24 - 1], dtype=np.int32)
    counts = np.array([7, 10, 10, 20, 1])
    rows = find_rows(segment_ids, np.array(listed_ids, dtype=np.int32))
    counted, rest = count_areas(segment_ids, rows, counts, len(listed_ids))
    assert counted.tolist() == areas
    assert rest.tolist() == unlisted


@given(st.lists(small_ids, min_size=1))
def test_of_an_id_listed_twice_the_first_place_counts(listed_ids):
    ids = np.array(listed_ids, dtype=np.int32)
    assert find_rows(ids, ids).tolist() == [listed_ids.index(i) for i in listed_ids]


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 9))))
def test_sums_by_row(pairs):
    rows, counts = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    expected = [sum(count for at, count in pairs if at == row) for row in range(4)]
    assert sum_by_row(rows, counts, 4).tolist() == expected
