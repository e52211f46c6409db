"""Segments one by one: their sums are the counts of PQ."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from panoptic_maps import pairs, panoptic

from fuse.metrics.matching import list_matches, match_segments


@given(pairs())
def test_the_segments_add_up_to_the_counts(pair):
    truth, pred = pair
    matches = list_matches(truth, pred)
    stats = match_segments(truth, pred)
    counted = Counter((match.category_id, match.kind) for match in matches)
    for row, category_id in enumerate(stats.category_ids.tolist()):
        assert counted.pop((category_id, "tp"), 0) == stats.tp[row]
        assert counted.pop((category_id, "fp"), 0) == stats.fp[row]
        assert counted.pop((category_id, "fn"), 0) == stats.fn[row]
        ious = [m.iou for m in matches if (m.category_id, m.kind) == (category_id, "tp")]
        assert sum(ious) == pytest.approx(stats.iou_sum[row])
    assert {kind for _, kind in counted} <= {"excused"}


def test_each_segment_says_what_it_met():
    truth = panoptic([[1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 3, 3]], {1: 1, 2: 1, 3: 7})
    pred = panoptic([[4, 4, 4, 5, 6, 6, 5, 5, 8, 8, 9, 9]], {4: 1, 5: 1, 6: 1, 8: 2, 9: 2})
    found = [
        (m.kind, m.truth_id, m.pred_id, round(m.iou, 3), m.other_category_id)
        for m in list_matches(truth, pred)
    ]
    assert found == [
        ("tp", 1, 4, 0.75, None),
        ("fn", 2, None, 0.5, None),  # exactly half is no match
        ("fn", 3, None, 0, 2),  # found, but under another name
        ("fp", None, 5, 0.4, None),
        ("fp", None, 6, 0.5, None),
        ("excused", None, 8, 0, None),
        ("fp", None, 9, 0, 7),
    ]


def test_maps_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="differ in size"):
        list_matches(panoptic([[1]], {1: 1}), panoptic(np.zeros((1, 2), np.int32), {}))
