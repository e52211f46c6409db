"""How much a run-length code describes, against the counts that it was made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from fuse.ops.rle import count_rle_pixels

COUNTS = st.lists(st.integers(1, 10**5), min_size=1, max_size=30)


@given(COUNTS)
def test_pixels_are_the_sum_of_the_runs(counts):
    size = (sum(counts), 1)
    code = coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size)["counts"]
    assert count_rle_pixels(code, size) == size[0]
    assert count_rle_pixels(code, (size[0] + 1, 1)) == size[0]
    with pytest.raises(ValueError, match="cut short or has more pixels"):
        count_rle_pixels(code, (size[0] - 1, 1))


def test_a_code_of_nothing_describes_nothing():
    assert count_rle_pixels(b"", (3, 4)) == 0
