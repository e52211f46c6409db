"""Boundary PQ against a loop from the paper, and against vernier's strict mode."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from panoptic_maps import SPACE, pairs, panoptic
from real_data import COCO_ANNOTATIONS, needs_real_data
from reference.boundary import slow_boundary_counts
from vernier import panoptic as vernier

from fuse.io.coco.panoptic import read_panoptic_json
from fuse.metrics.boundary import match_boundaries
from fuse.metrics.matching import match_segments
from fuse.metrics.pq import sum_stats, summarize
from fuse.metrics.quality import PanopticQuality
from fuse.ops.boundaries import band_width, keep_bands
from fuse.ops.row_deltas import RowDeltas


def count_by_category(stats):
    columns = (stats.category_ids, stats.iou_sum, stats.tp, stats.fp, stats.fn)
    return {row[0]: list(row[1:]) for row in zip(*(c.tolist() for c in columns), strict=True)}


@settings(max_examples=200)
@given(
    hnp.arrays(
        np.int32, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 2)
    ),
    st.integers(1, 4),
)
def test_bands_are_what_erosion_takes_away(id_map, width):
    kept = keep_bands(RowDeltas.from_map(id_map), width, 9).to_map()
    square = np.ones((3, 3), np.uint8)
    np.testing.assert_array_equal(kept == 0, id_map == 0)
    for segment_id in (1, 2):
        mask = np.pad((id_map == segment_id).astype(np.uint8), 1)
        eroded = cv2.erode(mask, square, iterations=width)[1:-1, 1:-1]
        inner = (kept == 9) & (id_map == segment_id)
        np.testing.assert_array_equal(inner, eroded > 0)
    assert set(np.unique(kept)) <= {0, 1, 2, 9}


@given(pairs())
def test_equals_the_paper(pair):
    expected = {c: v for c, v in slow_boundary_counts(*pair).items() if any(v)}
    found = count_by_category(match_boundaries(*pair))
    assert set(found) == set(expected)
    for category_id, counts in expected.items():
        assert found[category_id] == pytest.approx(counts, abs=1e-12)


def ask_vernier(images, space):
    """Boundary PQ of vernier in strict mode over {image_id: (truth, prediction)}, by category."""

    def pack(image):
        return [
            {
                "id": s.segment_id,
                "category_id": s.category_id,
                "area": s.area,
                "iscrowd": int(s.iscrowd),
                "bbox": list(s.bbox),
            }
            for s in image.segments_info
        ]

    def arrays(side):
        # vernier 0.5.4 walks along rows as if they were columns, so bands of maps that are not
        # square come out right only if the pixels lie column by column.
        maps = {
            i: pair[side].panoptic_map.T.reshape(pair[side].size).astype(np.uint32)
            for i, pair in images.items()
        }
        return maps, json.dumps({i: pack(pair[side]) for i, pair in images.items()}).encode()

    categories = [
        {"id": c.category_id, "name": c.name, "isthing": int(c.isthing)} for c in space.categories
    ]
    truth = vernier.Dataset.from_arrays(*arrays(0), json.dumps(categories).encode())
    pred = vernier.Predictions.from_arrays(*arrays(1))
    scorer = vernier.Evaluator(parity_mode="strict", boundary=True, things_stuff_split=False)
    return scorer.evaluate(truth, pred).per_class()


def assert_equals_vernier(images, space):
    stats = sum_stats(match_boundaries(*pair, official=True) for pair in images.values())
    result, theirs = summarize(stats, space), ask_vernier(images, space)
    for category_id, ours in result.per_category.items():
        if category_id not in theirs:
            assert not ours.score.n
            continue
        counts = theirs[category_id]
        assert (ours.tp, ours.fp, ours.fn) == (counts.n_tp, counts.n_fp, counts.n_fn)
        assert ours.iou_sum == pytest.approx(counts.iou_sum, abs=1e-12)
    return result


ANCHOR = panoptic([[4, 4, 5, 5, 6, 6]], {4: 1, 5: 2, 6: 7})  # vernier wants something to score


@settings(max_examples=60)
@given(st.lists(pairs(), min_size=1, max_size=3))
def test_equals_vernier(images):
    # Of several crowds of a category COCO's scorer takes the one listed last, vernier the one of
    # the highest id; listed by id both are the same.
    listed = [tuple(map(list_by_id, pair)) for pair in images]
    assert_equals_vernier(dict(enumerate([(ANCHOR, ANCHOR), *listed])), SPACE)


def list_by_id(image):
    by_id = sorted(image.segments_info, key=lambda segment: segment.segment_id)
    return replace(image, segments_info=tuple(by_id))


@needs_real_data
def test_real_images_equal_vernier():
    truth = read_panoptic_json(COCO_ANNOTATIONS / "panoptic_val2017.json")
    images = {}
    for image_id in list(truth.annotations)[:20]:
        image = truth.load(image_id)
        moved = np.roll(image.panoptic_map, (2, 3), axis=(0, 1))
        categories = {s.segment_id: s.category_id for s in image.segments_info}
        images[image_id] = (image, panoptic(moved, categories))
    result = assert_equals_vernier(images, truth.space)
    assert 0.1 < result.all.pq < 0.9


def test_a_ragged_border_costs_what_the_mask_does_not_show():
    rows = np.zeros((100, 100), np.int32)
    rows[10:90, 10:90] = 1
    ragged = rows.copy()
    ragged[10:90:2, 10:13] = 0
    truth, pred = panoptic(rows, {1: 1}), panoptic(ragged, {1: 1})
    assert match_segments(truth, pred).iou_sum[0] > 0.98
    assert match_boundaries(truth, pred).iou_sum[0] < 0.9
    assert band_width((100, 100)) == 3


@settings(max_examples=30)
@given(st.lists(pairs(), min_size=1, max_size=3))
def test_a_loop_adds_up_to_the_same(images):
    metric = PanopticQuality(space=SPACE, boundary=True)
    halves = [PanopticQuality(space=SPACE, boundary=True) for _ in range(2)]
    for place, (truth, pred) in enumerate(images):
        metric.update(pred, truth)
        halves[place % 2].update(pred, truth)
    expected = summarize(sum_stats(match_boundaries(*pair) for pair in images), SPACE)
    for found in (metric, sum(halves)):
        assert found.compute().all.n == expected.all.n
        assert found.compute().all.pq == pytest.approx(expected.all.pq, nan_ok=True)
    with pytest.raises(ValueError, match="do not add up"):
        metric.merge_state(PanopticQuality(space=SPACE))
