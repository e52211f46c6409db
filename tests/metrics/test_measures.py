"""The relatives of PQ against plain loops, and PQ-dagger against torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from panoptic_maps import SPACE, pairs, panoptic
from reference.measures import slow_dagger_counts, slow_threshold_counts
from torchmetrics.functional.detection import modified_panoptic_quality

from fuse.cli.options import MEASURES
from fuse.cli.sweep import OBJECTIVES
from fuse.metrics.boundary import match_boundaries
from fuse.metrics.matching import match_segments
from fuse.metrics.measures import (
    CALIBRATION,
    CHOICES,
    PQ_MEASURES,
    SIZES,
    ComparedMaps,
    ScoredSegments,
    average_results,
    choose_categories,
    count_measures,
    expand_measures,
    list_scored,
)
from fuse.metrics.pq import sum_stats, summarize
from fuse.types import PanopticPrediction, SegmentInfo

STUFF = set(SPACE.stuff_ids)


def by_category(stats):
    columns = (stats.category_ids, stats.iou_sum, stats.tp, stats.fp, stats.fn)
    return {row[0]: list(row[1:]) for row in zip(*(c.tolist() for c in columns), strict=True)}


def assert_counts(stats, expected):
    found, expected = by_category(stats), {c: v for c, v in expected.items() if any(v)}
    assert set(found) == set(expected)
    for category_id, counts in expected.items():
        assert found[category_id] == pytest.approx(counts, abs=1e-12)


@given(pairs())
def test_every_threshold_equals_the_loop(pair):
    layers = count_measures(ComparedMaps.of(*pair), ["thresholds"], SPACE)
    assert list(layers) == [f"{0.5 + 0.05 * step:.2f}" for step in range(10)]
    for name, stats in layers.items():
        assert_counts(stats, slow_threshold_counts(*pair, float(name)))


@settings(max_examples=30)
@given(pairs())
def test_every_size_equals_the_loop(pair):
    truth, pred = (enlarge(image) for image in pair)  # areas of 64 x 1 and more
    layers = count_measures(ComparedMaps.of(truth, pred), SIZES, SPACE)
    edges = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, np.inf)}
    for size, edge in edges.items():
        assert_counts(layers[size], slow_threshold_counts(truth, pred, 0.5, edge))
    total = sum_stats(layers.values())
    assert by_category(total) == {
        c: pytest.approx(v) for c, v in by_category(match_segments(truth, pred)).items()
    }


@pytest.mark.parametrize(
    ("area", "size"),
    [(1023, "small"), (1024, "medium"), (9215, "medium"), (9216, "large"), (900_000, "large")],
)
def test_a_size_begins_at_cocos_area(area, size):
    image = panoptic(np.repeat([1, 0], [area, 1]), {1: 1})
    layers = count_measures(ComparedMaps.of(image, image), SIZES, SPACE)
    assert {name: by_category(stats) for name, stats in layers.items() if len(stats.tp)} == {
        size: {1: [1.0, 1, 0, 0]}
    }


def enlarge(image, times=12):
    ids = {s.segment_id: s.category_id for s in image.segments_info}
    crowds = {s.segment_id for s in image.segments_info if s.iscrowd}
    return panoptic(image.panoptic_map.repeat(times, 0).repeat(times, 1), ids, crowds)


@given(pairs())
def test_dagger_equals_the_loop_on_stuff_and_pq_on_things(pair):
    stats = count_measures(ComparedMaps.of(*pair), ["dagger"], SPACE)["dagger"]
    of_things = {c: v for c, v in by_category(match_segments(*pair)).items() if c not in STUFF}
    assert_counts(stats, of_things | slow_dagger_counts(*pair, STUFF))


@settings(max_examples=60)
@given(pairs(void=False, crowd=False))
def test_dagger_equals_torchmetrics(pair):
    # torchmetrics joins the segments of a stuff class, as they are in COCO's format.
    truth, pred = map(join_stuff, pair)
    stats = count_measures(ComparedMaps.of(truth, pred), ["dagger"], SPACE)["dagger"]
    theirs = modified_panoptic_quality(
        to_tensor(pred),
        to_tensor(truth),
        things={1, 2},
        stuffs={7},
        allow_unknown_preds_category=True,
    )
    assert summarize(stats, SPACE).all.pq == pytest.approx(float(theirs), abs=1e-6)


def join_stuff(image):
    first = {}
    new_ids = {
        s.segment_id: first.setdefault(s.category_id, s.segment_id)
        if s.category_id in STUFF
        else s.segment_id
        for s in image.segments_info
    }
    joined = np.vectorize(new_ids.get)(image.panoptic_map)
    categories = {s.segment_id: s.category_id for s in image.segments_info}
    return panoptic(joined, {i: categories[i] for i in set(new_ids.values())})


def to_tensor(image):
    category_of = {s.segment_id: s.category_id for s in image.segments_info}
    categories = np.vectorize(category_of.get)(image.panoptic_map)
    instances = np.where(np.isin(categories, list(STUFF)), 0, image.panoptic_map)
    return torch.tensor(np.stack((categories, instances), axis=-1)).reshape(1, -1, 2)


@given(pairs())
def test_pq_and_boundary_are_those_of_their_modules(pair):
    layers = count_measures(ComparedMaps.of(*pair), ["pq", "boundary"], SPACE)
    assert by_category(layers["pq"]) == by_category(match_segments(*pair))
    assert by_category(layers["boundary"]) == by_category(match_boundaries(*pair))


def test_the_mean_over_thresholds():
    truth = panoptic([[1] * 10 + [2] * 10], {1: 1, 2: 1})
    pred = panoptic([[1] * 8 + [0] * 2 + [2] * 10], {1: 1, 2: 1})  # IoU 0.8 and 1
    layers = count_measures(ComparedMaps.of(truth, pred), ["thresholds"], SPACE)
    mean = average_results([summarize(stats, SPACE) for stats in layers.values()])
    # Up to 0.75 both match: 1.8 / 2; from 0.8 on one does: 1 / 2.
    assert mean.all.pq == pytest.approx((6 * 0.9 + 4 * 0.5) / 10)
    assert mean.things.pq == mean.per_category[1].score.pq == mean.all.pq
    assert np.isnan(mean.stuff.pq)
    assert mean.per_category[1].tp == 2


def test_scored_segments_are_right_or_wrong():
    truth = panoptic([[1, 1, 2, 2, 0, 0, 3, 3]], {1: 1, 2: 1, 3: 7})
    pred = scored(
        [[4, 4, 5, 6, 8, 8, 9, 9]],
        {4: (1, 0.9), 5: (1, 0.8), 6: (1, None), 8: (2, 0.7), 9: (7, 1.5)},
    )
    found = list_scored(ComparedMaps.of(truth, pred))
    # 4 matches, 5 is wrong (IoU 0.5); 6 has no score, 8 lies on void, 9 has an impossible score.
    assert found.scores.tolist() == [0.9, 0.8]
    assert found.correct.tolist() == [True, False]
    assert found.unscored == 2


def scored(rows, segments):
    return PanopticPrediction(
        np.array(rows, dtype=np.int32),
        tuple(
            SegmentInfo(i, category_id, 1, (0, 0, 1, 1), score=score)
            for i, (category_id, score) in segments.items()
        ),
    )


def test_choices_are_those_of_the_command_line():
    assert CHOICES == MEASURES
    assert tuple(PQ_MEASURES) == OBJECTIVES
    assert expand_measures(["all"]) == (*list(PQ_MEASURES)[1:], CALIBRATION)
    assert expand_measures(()) == ()
    with pytest.raises(ValueError, match="no measure 'border'; known are boundary, dagger"):
        expand_measures(["border"])


def test_segments_of_chosen_categories_have_other_ids():
    segments = ScoredSegments(
        np.array([7, 1, 2, 7], np.int32),
        np.array([0.1, 0.2, 0.3, 0.4]),
        np.array([True, False, True, False]),
        unscored=5,
    )
    chosen = choose_categories(segments, {7: 30, 2: 10})
    assert chosen.category_ids.tolist() == [30, 10, 30]
    assert chosen.scores.tolist() == [0.1, 0.3, 0.4]
    assert chosen.correct.tolist() == [True, True, False]
    assert chosen.unscored == 5
