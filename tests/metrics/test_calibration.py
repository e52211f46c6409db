"""Calibration against torchmetrics, and what its intervals and bins say."""

import numpy as np
import pytest
import torch
from panoptic_maps import SPACE
from torchmetrics.functional.classification import binary_calibration_error

from fuse.metrics.calibration import bootstrap_ece, calibrate, count_bins
from fuse.metrics.measures import ScoredSegments


def draw_images(rng, count, segments=7):
    images = []
    for _ in range(count):
        n = int(rng.integers(0, segments))
        scores = rng.random(n)
        images.append(
            ScoredSegments(
                rng.choice([1, 2, 7], n).astype(np.int32), scores, rng.random(n) < scores**2
            )
        )
    return images


def test_equals_torchmetrics():
    rng = np.random.default_rng(0)
    images = draw_images(rng, 200)
    result = calibrate(images, SPACE, resamples=50)
    for group, ids in ((result.things, [1, 2]), (result.stuff, [7]), (result.per_category[2], [2])):
        chosen = [np.isin(image.category_ids, ids) for image in images]
        scores = np.concatenate([i.scores[c] for i, c in zip(images, chosen, strict=True)])
        correct = np.concatenate([i.correct[c] for i, c in zip(images, chosen, strict=True)])
        theirs = binary_calibration_error(
            torch.tensor(scores), torch.tensor(correct.astype(int)), n_bins=15, norm="l1"
        )
        assert group.ece == pytest.approx(float(theirs), abs=1e-6)
        assert group.interval[0] <= group.interval[1]
        assert sum(b["n"] for b in group.to_json()["bins"]) == len(scores)


def test_scores_that_are_right_have_no_error():
    ones = ScoredSegments(np.full(4, 1, np.int32), np.full(4, 0.5), np.array([1, 1, 0, 0], bool))
    result = calibrate([ones, ones], SPACE, resamples=20)
    assert result.things.ece == 0
    assert result.things.interval == (0, 0)
    assert np.isnan(result.stuff.ece)
    assert result.stuff.interval is None
    assert result.stuff.to_json() == {"ece": None, "interval": None, "n": 0, "bins": []}
    [bin_] = result.things.to_json()["bins"]
    assert (bin_["n"], bin_["score"], bin_["correct"]) == (8, 0.5, 0.5)


def test_one_segment_has_an_error():
    one = ScoredSegments(np.full(1, 1, np.int32), np.full(1, 0.75), np.ones(1, bool))
    assert calibrate([one], SPACE, resamples=20).things.ece == 0.25


def test_the_edges_belong_to_a_bin():
    scores = np.array([0.0, 1 / 15, 1.0])
    edge = ScoredSegments(np.full(3, 1, np.int32), scores, np.ones(3, bool))
    counts = count_bins([edge], [1])[0, 0]
    assert np.flatnonzero(counts).tolist() == [0, 1, 14]


def test_resamples_are_sets_of_images():
    rng = np.random.default_rng(1)
    counts = count_bins(draw_images(rng, 30), [1, 2])
    drawn = bootstrap_ece([counts, counts[:, :, :]], resamples=40, seed=3)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    picks = np.random.default_rng(3).integers(0, 30, (40, 30))
    total = counts[picks[5]].sum(axis=0)
    assert bootstrap_ece([counts]).shape == (1, 1000)
    assert drawn[0, 5] == pytest.approx(np.abs(total[1] - total[2]).sum() / total[0].sum())
