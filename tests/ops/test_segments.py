import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from panoptic_maps import panoptic_maps

from fuse.ops.segments import label_segments, measure_segments


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


@given(st.tuples(st.integers(0, 6), st.integers(0, 6)), st.integers(0, 2**32 - 1))
def test_labels_are_those_of_the_segments(size, seed):
    rng = np.random.default_rng(seed)
    segment_ids = rng.choice(np.arange(1, 99), 5, replace=False).astype(np.int32)
    labels = rng.integers(1, 200, 5, dtype=np.int32)
    panoptic_map = rng.choice([0, *segment_ids], size).astype(np.int32)
    by_id = {0: 0} | dict(zip(segment_ids.tolist(), labels.tolist(), strict=True))
    found = label_segments(panoptic_map, segment_ids, labels)
    assert found.dtype == np.int32
    assert found.tolist() == [[by_id[i] for i in row] for row in panoptic_map.tolist()]
