"""Segments one by one: their sums are the counts of PQ."""

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panoptic_maps import SPACE, pairs, panoptic

from fuse.labels import LabelMap, map_panoptic
from fuse.metrics.matching import list_matches, map_truth, match_pairs, match_segments
from fuse.metrics.pq import PQStats
from fuse.ops.matching import SegmentPairs
from fuse.types import Category, LabelSpace


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


def test_what_covers_less_than_half_gives_no_other_name():
    truth = panoptic([[1, 1, 1, 1]], {1: 1})
    pred = panoptic([[4, 4, 5, 5]], {4: 2, 5: 7})
    assert [m.other_category_id for m in list_matches(truth, pred)] == [None, None, None]


def test_maps_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match=r"wide, .* high"):
        list_matches(panoptic([[1]], {1: 1}), panoptic(np.zeros((1, 2), np.int32), {}))


# -- the truth in another label space ----------------------------------------------------------

GROUPS = LabelSpace("groups", (Category(4, "being", True), Category(9, "sky", False)))
TO_GROUPS = st.sampled_from([{1: 4, 2: 4, 7: 9}, {1: 4, 2: 0, 7: 9}, {1: 0, 2: 4, 7: 0}])


@given(pairs(), TO_GROUPS, st.booleans(), st.data())
def test_mapping_the_counts_is_mapping_the_map(pair, target_ids, official, data):
    truth, pred = pair
    categories = {s.segment_id: data.draw(st.sampled_from([4, 9])) for s in pred.segments_info}
    pred = panoptic(pred.panoptic_map, categories)
    label_map = LabelMap(SPACE, GROUPS, target_ids)
    counted, true_table, pred_table = SegmentPairs.of_maps(truth, pred)
    mapped, mapped_table = map_truth(counted, true_table, pred_table, label_map)
    stats = match_pairs(mapped, mapped_table, pred_table, official=official)
    expected = match_segments(map_panoptic(truth, label_map), pred, official=official)
    for column in fields(PQStats):
        ours, theirs = getattr(stats, column.name), getattr(expected, column.name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
