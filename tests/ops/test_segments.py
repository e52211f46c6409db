import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from panoptic_maps import panoptic_maps

from fuse.ops.segments import measure_segments


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(panoptic_maps), st.data())
def test_equals_numpy(image, data):
    present = sorted(set(np.unique(image.panoptic_map).tolist()) - {0})
    left_out = set(data.draw(st.lists(st.sampled_from(present)))) if present else set()
    absent = data.draw(st.sets(st.integers(1, 2**24 - 1)))
    segment_ids = np.array(sorted(({*present} - left_out) | absent), dtype=np.int32)
    areas, bboxes, unlisted = measure_segments(image.panoptic_map, segment_ids)
    for segment_id, area, bbox in zip(segment_ids, areas, bboxes.tolist(), strict=True):
        y, x = np.nonzero(image.panoptic_map == segment_id)
        assert area == len(y)
        if area:
            assert bbox == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        else:
            assert bbox == [0, 0, 0, 0]
    not_listed = (image.panoptic_map != 0) & ~np.isin(image.panoptic_map, segment_ids)
    assert unlisted == not_listed.sum()


def test_no_segments_and_no_pixels():
    none = np.zeros(0, dtype=np.int32)
    areas, bboxes, unlisted = measure_segments(np.ones((2, 3), dtype=np.int32), none)
    assert (areas.shape, bboxes.shape, unlisted) == ((0,), (0, 4), 6)
    empty = np.zeros((0, 3), dtype=np.int32)
    areas, bboxes, unlisted = measure_segments(empty, np.array([4], dtype=np.int32))
    assert (areas.tolist(), bboxes.tolist(), unlisted) == ([0], [[0, 0, 0, 0]], 0)
