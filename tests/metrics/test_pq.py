import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panoptic_maps import CATEGORIES, SPACE, pairs, panoptic
from reference.pq import slow_counts

from fuse.metrics.matching import match_segments
from fuse.metrics.pq import (
    PQStats,
    rename_categories,
    score_counts,
    stack_counts,
    sum_stats,
    summarize,
)
from fuse.types import PanopticPrediction, SegmentInfo


def as_dict(stats):
    columns = (stats.iou_sum, stats.tp, stats.fp, stats.fn)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {c: list(row) for c, row in zip(stats.category_ids.tolist(), rows, strict=True)}


def assert_equal_stats(stats, expected):
    stats = as_dict(stats)
    assert stats.keys() == expected.keys()
    for category_id, (iou_sum, *counts) in expected.items():
        assert stats[category_id][1:] == counts, category_id
        assert stats[category_id][0] == pytest.approx(iou_sum, abs=1e-12)


CASES = {
    "empty prediction": (
        panoptic([1, 1, 2, 2], {1: 1, 2: 7}),
        panoptic([0, 0, 0, 0], {}),
        {1: [0, 0, 0, 1], 7: [0, 0, 0, 1]},
    ),
    "empty truth forgives everything": (
        panoptic([0, 0, 0, 0], {}),
        panoptic([1, 1, 2, 2], {1: 1, 2: 7}),
        {},
    ),
    "no pixels at all": (panoptic(np.zeros((0, 5)), {}), panoptic(np.zeros((0, 5)), {}), {}),
    "other category": (
        panoptic([1, 1], {1: 1}),
        panoptic([1, 1], {1: 2}),
        {1: [0, 0, 0, 1], 2: [0, 0, 1, 0]},
    ),
    "IoU of exactly 0.5 is no match": (
        panoptic([1, 1, 2, 2], {1: 1, 2: 7}),
        panoptic([3, 0, 4, 4], {3: 1, 4: 7}),
        {1: [0, 0, 1, 1], 7: [1, 1, 0, 0]},
    ),
    "IoU just above 0.5 is a match": (
        panoptic([1, 1, 1], {1: 1}),
        panoptic([3, 3, 0], {3: 1}),
        {1: [2 / 3, 1, 0, 0]},
    ),
    "predicted void counts in the union": (
        panoptic([1] * 10, {1: 7}),
        panoptic([1] * 6 + [0] * 4, {1: 7}),
        {7: [0.6, 1, 0, 0]},
    ),
    "true void leaves the union": (
        panoptic([1, 1, 1, 0, 0, 0], {1: 7}),
        panoptic([1, 1, 1, 1, 1, 1], {1: 7}),
        {7: [1, 1, 0, 0]},
    ),
    "half on void is wrong": (
        panoptic([0, 0, 9, 9], {9: 7}),
        panoptic([1, 1, 1, 1], {1: 1}),
        {1: [0, 0, 1, 0], 7: [0, 0, 0, 1]},
    ),
    "more than half on void is excused": (
        panoptic([0, 0, 0, 9, 9], {9: 7}),
        panoptic([1, 1, 1, 1, 1], {1: 1}),
        {7: [0, 0, 0, 1]},
    ),
    "crowd excuses its category": (
        panoptic([5, 5, 5, 9], {5: 1, 9: 7}, crowds={5}),
        panoptic([1, 1, 1, 2], {1: 1, 2: 7}),
        {7: [1, 1, 0, 0]},
    ),
    "crowd excuses no other category": (
        panoptic([5, 5, 5, 9], {5: 1, 9: 7}, crowds={5}),
        panoptic([1, 1, 1, 2], {1: 2, 2: 7}),
        {2: [0, 0, 1, 0], 7: [1, 1, 0, 0]},
    ),
    "crowd is neither matched nor missed": (
        panoptic([5, 5, 5, 5], {5: 1}, crowds={5}),
        panoptic([1, 1, 1, 1], {1: 1}),
        {},
    ),
    "void and crowd excuse together": (
        panoptic([0, 5, 9, 9], {5: 1, 9: 7}, crowds={5}),
        panoptic([1, 1, 1, 2], {1: 1, 2: 7}),
        {7: [0, 0, 1, 1]},
    ),
    "ids near 2**24": (
        panoptic([2**24 - 1, 2**24 - 2], {2**24 - 1: 1, 2**24 - 2: 1}),
        panoptic([2**24 - 2, 2**24 - 1], {2**24 - 2: 1, 2**24 - 1: 1}),
        {1: [2, 2, 0, 0]},
    ),
    "an id without a segment is void": (
        panoptic([1, 1, 8, 8, 8], {1: 1}),
        panoptic([1, 1, 1, 4, 4], {1: 1}),
        {1: [1, 1, 0, 0]},
    ),
    "a segment without pixels counts nowhere": (
        panoptic([1, 1], {1: 1, 2: 2}),
        panoptic([1, 1], {1: 1, 3: 2}),
        {1: [1, 1, 0, 0]},
    ),
}


@pytest.mark.parametrize(("truth", "pred", "expected"), CASES.values(), ids=CASES)
def test_match_segments(truth, pred, expected):
    stats = match_segments(truth, pred)
    assert_equal_stats(stats, expected)
    assert_equal_stats(stats, slow_counts(truth, pred))


SEVERAL_CROWDS = (
    panoptic([5, 5, 6, 9], {5: 1, 6: 1, 9: 7}, crowds={5, 6}),
    panoptic([1, 1, 1, 2], {1: 1, 2: 7}),
)
WRONG_AREA = (
    panoptic([1, 1, 1, 1], {1: 1}, areas={1: 3}),
    panoptic([1, 1, 1, 0], {1: 1}),
)
NO_PIXELS = (panoptic([1, 1], {1: 1, 2: 2}), panoptic([1, 1], {1: 1}))


@pytest.mark.parametrize(
    ("pair", "corrected", "official"),
    [
        pytest.param(
            SEVERAL_CROWDS,
            {7: [1, 1, 0, 0]},
            {1: [0, 0, 1, 0], 7: [1, 1, 0, 0]},
            id="only the last crowd excuses",
        ),
        pytest.param(
            WRONG_AREA, {1: [0.75, 1, 0, 0]}, {1: [1, 1, 0, 0]}, id="claimed areas are trusted"
        ),
        pytest.param(
            NO_PIXELS,
            {1: [1, 1, 0, 0]},
            {1: [1, 1, 0, 0], 2: [0, 0, 0, 1]},
            id="segments without pixels are missed",
        ),
    ],
)
def test_official_differs(pair, corrected, official):
    assert_equal_stats(match_segments(*pair), corrected)
    assert_equal_stats(match_segments(*pair, official=True), official)
    assert_equal_stats(match_segments(*pair, official=True), slow_counts(*pair, official=True))


@pytest.mark.parametrize("area", [0, 1])
def test_official_refuses_an_area_that_makes_an_iou_above_one(area):
    truth = panoptic([1, 1, 0, 0], {1: 1}, areas={1: area})
    with pytest.raises(ValueError, match="makes an IoU above 1"):
        match_segments(truth, panoptic([1, 1, 0, 0], {1: 1}), official=True)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"wide, .* high"):
        match_segments(panoptic([1], {1: 1}), panoptic([1, 1], {1: 1}))


def test_many_segments_stay_linear():
    ids = np.arange(1, 65_537, dtype=np.int32).reshape(256, 256)
    one_pixel = [SegmentInfo(i, 1, area=1, bbox=(0, 0, 1, 1)) for i in ids.ravel().tolist()]
    image = PanopticPrediction(ids, tuple(one_pixel))
    stats = match_segments(image, image)
    assert as_dict(stats) == {1: [65_536, 65_536, 0, 0]}


@given(pairs())
def test_equals_the_slow_loop(pair):
    assert_equal_stats(match_segments(*pair), slow_counts(*pair))


@given(pairs(), st.data())
def test_official_equals_the_slow_loop(pair, data):
    truth, pred = pair
    areas = {
        s.segment_id: max(1, s.area + data.draw(st.integers(0, 3))) for s in truth.segments_info
    }
    crowds = {s.segment_id for s in truth.segments_info if s.iscrowd}
    categories = {s.segment_id: s.category_id for s in truth.segments_info}
    claimed = panoptic(truth.panoptic_map, categories, crowds, areas)
    stats = match_segments(claimed, pred, official=True)
    assert_equal_stats(stats, slow_counts(claimed, pred, official=True))


@given(pairs(crowd=False))
def test_a_map_against_itself_scores_one(pair):
    truth, _ = pair
    result = summarize(match_segments(truth, truth), SPACE)
    assert result.all.n == len({s.category_id for s in truth.segments_info})
    assert np.isnan(result.all.pq) if result.all.n == 0 else result.all.pq == 1


@given(pairs(void=False, crowd=False))
def test_symmetric_without_void_and_crowd(pair):
    truth, pred = pair
    there, back = match_segments(truth, pred), match_segments(pred, truth)
    swapped = {c: [iou, tp, fn, fp] for c, (iou, tp, fp, fn) in as_dict(back).items()}
    assert_equal_stats(there, swapped)


@given(pairs(), st.randoms(use_true_random=False))
def test_renumbering_changes_nothing(pair, random):
    def renumbered(image):
        old = [s.segment_id for s in image.segments_info]
        new = random.sample(range(1, 2**24), len(old))
        new_map = np.zeros_like(image.panoptic_map)
        for before, after in zip(old, new, strict=True):
            new_map[image.panoptic_map == before] = after
        categories = {n: s.category_id for n, s in zip(new, image.segments_info, strict=True)}
        crowds = {n for n, s in zip(new, image.segments_info, strict=True) if s.iscrowd}
        return panoptic(new_map, categories, crowds)

    truth, pred = pair
    expected = as_dict(match_segments(truth, pred))
    assert_equal_stats(match_segments(renumbered(truth), renumbered(pred)), expected)


@given(pairs())
def test_inputs_are_untouched(pair):
    before = [image.panoptic_map.copy() for image in pair]
    match_segments(*pair)
    for image, expected in zip(pair, before, strict=True):
        np.testing.assert_array_equal(image.panoptic_map, expected)


@given(st.lists(pairs(), min_size=1, max_size=5), st.data())
def test_parts_add_up_to_the_whole(images, data):
    stats = [match_segments(*pair) for pair in images]
    cut = data.draw(st.integers(0, len(stats)))
    assert_equal_stats(sum_stats(stats[:cut]) + sum_stats(stats[cut:]), as_dict(sum_stats(stats)))
    expected = {}
    for pair in images:
        for category_id, counts in slow_counts(*pair).items():
            sums = expected.setdefault(category_id, [0.0, 0, 0, 0])
            expected[category_id] = [a + b for a, b in zip(sums, counts, strict=True)]
    assert_equal_stats(sum_stats(stats), expected)


def make_stats(counts):
    columns = np.array([counts[c] for c in sorted(counts)], dtype=np.float64).reshape(-1, 4).T
    tp, fp, fn = columns[1:].astype(np.int64)
    return PQStats(np.array(sorted(counts), dtype=np.int32), columns[0], tp, fp, fn)


def test_summarize():
    # person: (0.8 + 0.7) / (2 + 1/2 + 1/2), sky: nothing matched, dog: does not occur.
    result = summarize(make_stats({1: [1.5, 2, 1, 1], 7: [0, 0, 1, 0]}), SPACE)
    assert (result.things.pq, result.things.sq, result.things.rq) == (0.5, 0.75, 2 / 3)
    assert (result.stuff.pq, result.stuff.sq, result.stuff.rq) == (0, 0, 0)
    assert (result.all.pq, result.all.sq, result.all.n) == (0.25, 0.375, 2)
    assert list(result.per_category) == list(CATEGORIES)
    assert result.per_category[2].score.n == 0


def test_json_holds_null_where_nothing_was_scored():
    scores = summarize(make_stats({1: [1.5, 2, 1, 1]}), SPACE).to_json()
    assert scores["pq"]["stuff"] == {"pq": None, "sq": None, "rq": None, "n": 0}
    assert scores["per_class"]["1"] == {
        "name": "person",
        "isthing": True,
        "pq": 0.5,
        "sq": 0.75,
        "rq": 2 / 3,
        "tp": 2,
        "fp": 1,
        "fn": 1,
        "iou_sum": 1.5,
    }
    assert scores["per_class"]["7"]["pq"] is None


def test_nothing_scored():
    result = summarize(sum_stats(()), SPACE)
    assert result.all.n == 0
    assert np.isnan([result.all.pq, result.all.sq, result.all.rq]).all()


def test_summarize_refuses_unknown_categories():
    with pytest.raises(ValueError, match=r"\[4\] are not in toy"):
        summarize(make_stats({4: [0, 0, 1, 0]}), SPACE)


def test_renamed_categories_are_in_the_order_of_their_new_ids():
    stats = make_stats({1: (0.9, 1, 2, 3), 2: (0.0, 0, 4, 0), 7: (1.5, 2, 0, 5)})
    renamed = rename_categories(stats, {7: 10, 1: 20, 3: 30})
    assert_equal_stats(renamed, as_dict(make_stats({10: (1.5, 2, 0, 5), 20: (0.9, 1, 2, 3)})))


@given(st.lists(pairs(), min_size=1, max_size=3))
def test_scores_of_stacked_counts_are_those_of_the_sum(images):
    stats = [match_segments(truth, pred) for truth, pred in images]
    isthing = np.array([category.isthing for category in SPACE.categories])
    found = score_counts(stack_counts(stats, SPACE).sum(axis=0), isthing)
    result = summarize(sum_stats(stats), SPACE)
    groups = (result.all, result.things, result.stuff)
    expected = [score for g in groups for score in (g.pq, g.sq, g.rq)]
    expected += [
        result.per_category[i].score.pq if i in result.per_category else np.nan for i in SPACE.by_id
    ]
    np.testing.assert_allclose(found, expected)
