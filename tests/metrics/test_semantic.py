import tempfile
from pathlib import Path

import numpy as np
import pytest
from hotcoco.panoptic import PanopticEval
from hypothesis import given, settings
from hypothesis import strategies as st
from panoptic_maps import CATEGORIES, SPACE, pairs, panoptic, write_dataset

from fuse.metrics.semantic import (
    SemanticResult,
    count_semantic,
    sum_semantic_stats,
    summarize_semantic,
)
from fuse.types import SemanticPrediction


def label_map(image):
    """Category per pixel, segment by segment."""
    labels = np.zeros_like(image.panoptic_map)
    for segment in image.segments_info:
        labels[image.panoptic_map == segment.segment_id] = segment.category_id
    return labels


def count(truth, pred):
    return count_semantic(truth, SemanticPrediction(label_map(pred)))


@given(pairs())
def test_equals_numpy(pair):
    truth, pred = map(label_map, pair)
    pred = np.where(truth > 0, pred, 0)
    stats = count(*pair)
    rows = {c: i for i, c in enumerate(stats.category_ids.tolist())}
    assert set(rows) == (set(np.unique(truth)) | set(np.unique(pred))) - {0}
    for category_id, row in rows.items():
        assert stats.right[row] == ((truth == category_id) & (pred == category_id)).sum()
        assert stats.true[row] == (truth == category_id).sum()
        assert stats.predicted[row] == (pred == category_id).sum()


@settings(max_examples=50)
@given(st.lists(pairs(crowd=False), min_size=1, max_size=3))
def test_equals_hotcoco(images):
    with tempfile.TemporaryDirectory() as folder:
        gt = write_dataset(Path(folder), "gt", {i: t for i, (t, _) in enumerate(images)})
        pred = write_dataset(Path(folder), "pred", {i: p for i, (_, p) in enumerate(images)})
        scorer = PanopticEval(str(gt), str(pred))
        scorer.evaluate()
        expected = scorer.report()["metrics"]
    result = summarize_semantic(sum_semantic_stats(count(*pair) for pair in images), SPACE)
    if np.isnan(result.miou):
        assert expected["mIoU"] == -1
    else:
        assert result.miou == pytest.approx(expected["mIoU"], abs=1e-12)
        assert result.pixel_accuracy == pytest.approx(expected["aAcc"], abs=1e-12)


def test_summary():
    truth = panoptic([1, 1, 1, 1, 2, 2, 0, 0], {1: 1, 2: 7})
    stats = count_semantic(
        truth, SemanticPrediction(np.array([[1, 1, 7, 0, 7, 7, 2, 2]], np.int32))
    )
    result = summarize_semantic(stats, SPACE)
    # person: 2 right of 4; sky: 2 right of 3; dog is predicted on void alone.
    assert result.per_category[1] == 2 / 4
    assert result.per_category[7] == 2 / 3
    assert np.isnan(result.per_category[2])
    assert result.miou == pytest.approx((2 / 4 + 2 / 3) / 2)
    assert result.pixel_accuracy == 4 / 6
    assert result.to_json()["per_class"] == {"1": 0.5, "2": None, "7": 2 / 3}


def test_nothing_labelled():
    stats = count(panoptic([0, 0], {}), panoptic([1, 1], {1: 1}))
    for nothing in (stats, sum_semantic_stats(())):
        assert summarize_semantic(nothing, SPACE).to_json() == {
            "miou": None,
            "pixel_accuracy": None,
            "per_class": dict.fromkeys(map(str, CATEGORIES)),
        }


@given(st.lists(pairs(), min_size=2, max_size=4))
def test_parts_add_up(images):
    stats = [count(*pair) for pair in images]
    halves = sum_semantic_stats(stats[:1]) + sum_semantic_stats(stats[1:])
    whole = sum_semantic_stats(stats)
    for column in ("category_ids", "right", "true", "predicted"):
        np.testing.assert_array_equal(getattr(halves, column), getattr(whole, column))


def test_summary_refuses_unknown_categories():
    stats = count(panoptic([1], {1: 4}), panoptic([1], {1: 4}))
    with pytest.raises(ValueError, match=r"\[4\] are not in toy"):
        summarize_semantic(stats, SPACE)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"wide, .* high"):
        count(panoptic([1], {1: 1}), panoptic([1, 1], {1: 1}))


def test_classes_that_the_net_cannot_say_are_told():
    result = SemanticResult(0.5, 0.5, {1: 0.5, 2: 0.5, 3: 0.0, 4: float("nan")})
    assert result.describe_classes() == "over 3 classes"
    assert result.describe_classes({1, 2, 3}) == "over 3 classes"
    assert result.describe_classes({1, 2, 4}) == "over 3 classes, of which the net knows 2"
