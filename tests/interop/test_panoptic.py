"""Panoptic maps of other libraries: ids that ours cannot hold, lists that do not fit the map."""

import numpy as np
import pytest
import torch
from factories import TOY_SPACE

from fuse.interop.panoptic import (
    ListedSegment,
    make_prediction,
    read_detectron2,
    read_tensor,
    read_transformers,
)


def listed(prediction):
    return [(s.segment_id, s.category_id, s.area) for s in prediction.segments_info]


def test_segments_from_0_on_are_numbered_anew():
    output = {
        "segmentation": torch.tensor([[0.0, 0.0, 1.0], [-1.0, 2.0, 2.0]]),
        "segments_info": [
            {"id": 0, "label_id": 0, "score": 0.9},
            {"id": 1, "label_id": 1, "score": 0.8},
            {"id": 2, "label_id": 1},
        ],
    }
    prediction = read_transformers(output, TOY_SPACE, {0: "cat", 1: "sky"})
    assert prediction.panoptic_map.tolist() == [[1, 1, 2], [0, 3, 3]]
    assert listed(prediction) == [(1, 3, 2), (2, 5, 1), (3, 5, 2)]
    assert [s.score for s in prediction.segments_info] == [0.9, 0.8, None]
    assert prediction.segments_info[2].bbox == (1, 1, 2, 1)


def test_ids_that_are_not_listed_are_void_and_segments_without_pixels_go():
    ids = np.array([[5, 9, 9]], dtype=np.int32)
    prediction = make_prediction(ids, [ListedSegment(9, 3), ListedSegment(4, 5)])
    assert prediction.panoptic_map.tolist() == [[0, 9, 9]]
    assert listed(prediction) == [(9, 3, 2)]


def test_order_of_the_list_is_kept():
    ids = np.array([[5, 9, 2]])
    prediction = make_prediction(ids, [ListedSegment(i, 3) for i in (9, 2, 5)])
    assert [s.segment_id for s in prediction.segments_info] == [9, 2, 5]
    assert [s.bbox[0] for s in prediction.segments_info] == [1, 2, 0]


def test_ids_beyond_three_bytes():
    ids = np.array([[2**30, 3]])
    prediction = make_prediction(ids, [ListedSegment(2**30, 3), ListedSegment(3, 5)])
    assert prediction.panoptic_map.tolist() == [[1, 2]]


def test_an_id_that_stands_twice():
    with pytest.raises(ValueError, match="an id stands twice in segments_info"):
        make_prediction(np.ones((1, 1), int), [ListedSegment(1, 3), ListedSegment(1, 5)])


def test_a_segment_that_names_leave_out():
    output = {
        "segmentation": np.array([[1, 2]]),
        "segments_info": [{"id": 1, "label_id": 0}, {"id": 2, "label_id": 1}],
    }
    prediction = read_transformers(output, TOY_SPACE, {0: "cat", 1: None})
    assert prediction.panoptic_map.tolist() == [[1, 0]]


def test_tensors_are_runs_of_pairs():
    rng = np.random.default_rng(0)
    pairs = np.stack((rng.choice([3, 5, 9], (20, 30)), rng.integers(-2, 3, (20, 30))), axis=-1)
    prediction = read_tensor(torch.from_numpy(pairs), things=[3], stuffs=[5])
    for segment in prediction.segments_info:
        inside = pairs[prediction.panoptic_map == segment.segment_id]
        assert set(inside[:, 0].tolist()) == {segment.category_id}
        assert len(inside) == segment.area
        if segment.category_id == 3:
            assert len(set(inside[:, 1].tolist())) == 1
    assert len(prediction.segments_info) == 5 + 1
    assert np.array_equal(prediction.panoptic_map == 0, pairs[..., 0] == 9)


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (np.zeros((2, 2)), TypeError, "is a pair, a map and its segments; got ndarray"),
        ((np.zeros((2, 2)), None), ValueError, r"panoptic_seg has no segments \(None\)"),
        (3, TypeError, "panoptic_seg of detectron2 is a pair"),
    ],
)
def test_what_is_no_pair_of_detectron2(output, error, message):
    with pytest.raises(error, match=message):
        read_detectron2(output, TOY_SPACE, None)


def test_what_is_no_output_of_transformers():
    with pytest.raises(TypeError, match="has 'segmentation', got dict; it has masks"):
        read_transformers({"masks": 1}, TOY_SPACE, None)
