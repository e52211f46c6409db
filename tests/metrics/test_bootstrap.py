"""The bootstrap: each draw is the PQ of the photos drawn."""

import numpy as np
import pytest
from factories import TOY_SPACE, panoptic_truth

from fuse.metrics.bootstrap import _draw_weights, bootstrap_pq
from fuse.metrics.pq import match_segments, sum_stats, summarize


def photo_stats(rng, photos):
    stats = []
    for _ in range(photos):
        truth = panoptic_truth(rng, (12, 12))
        noise = rng.random(truth.size) < 0.3
        other = panoptic_truth(rng, (12, 12), crowds=False)
        pred = truth if rng.random() < 0.5 or noise.all() else other
        stats.append(match_segments(truth, pred))
    return stats


def test_each_draw_is_the_pq_of_its_photos():
    rng = np.random.default_rng(3)
    stats = photo_stats(rng, 7)
    draws = bootstrap_pq(stats, TOY_SPACE, resamples=300, seed=5)
    weights = _draw_weights(np.random.default_rng(5), 256, 7)
    assert (weights.sum(axis=1) == 7).all()
    for row, drawn in zip(weights.astype(int), draws, strict=False):
        chosen = [s for s, times in zip(stats, row, strict=True) for _ in range(times)]
        result = summarize(sum_stats(chosen), TOY_SPACE)
        expected = [result.all.pq, result.things.pq, result.stuff.pq]
        np.testing.assert_allclose(drawn, expected, rtol=1e-6, equal_nan=True)


def test_the_seed_fixes_the_draws():
    stats = photo_stats(np.random.default_rng(1), 5)
    first, second, other = (
        bootstrap_pq(stats, TOY_SPACE, resamples=50, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other, equal_nan=True)


def test_one_photo_never_varies():
    draws = bootstrap_pq(photo_stats(np.random.default_rng(2), 1), TOY_SPACE, resamples=20)
    assert (draws[:, 0] == draws[0, 0]).all()


def test_no_photos_are_refused():
    with pytest.raises(ValueError, match="at least one photo"):
        bootstrap_pq([], TOY_SPACE)
