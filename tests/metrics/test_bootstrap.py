"""The bootstrap: each draw is the PQ of the images drawn."""

import numpy as np
import pytest
from factories import TOY_SPACE, panoptic_truth, semantic_prediction
from reference.bootstrap import resample_miou, resample_scores

from fuse.metrics.bootstrap import bootstrap_miou, bootstrap_scores, draw_weights
from fuse.metrics.matching import match_segments
from fuse.metrics.pq import sum_stats, summarize
from fuse.metrics.semantic import count_semantic


def bootstrap_pq(images, space, **options):
    """PQ of all, things and stuff: (resamples, 3)."""
    return bootstrap_scores([images], space, **options)[0, :, :9:3]


def image_stats(rng, images):
    stats = []
    for _ in range(images):
        truth = panoptic_truth(rng, (12, 12))
        noise = rng.random(truth.size) < 0.3
        other = panoptic_truth(rng, (12, 12), crowds=False)
        pred = truth if rng.random() < 0.5 or noise.all() else other
        stats.append(match_segments(truth, pred))
    return stats


def test_each_draw_is_the_pq_of_its_images():
    rng = np.random.default_rng(3)
    stats = image_stats(rng, 7)
    draws = bootstrap_pq(stats, TOY_SPACE, resamples=300, seed=5)
    weights = next(draw_weights(7, resamples=300, seed=5))
    assert (weights.sum(axis=1) == 7).all()
    for row, drawn in zip(weights.astype(int), draws, strict=False):
        chosen = [s for s, times in zip(stats, row, strict=True) for _ in range(times)]
        result = summarize(sum_stats(chosen), TOY_SPACE)
        expected = [result.all.pq, result.things.pq, result.stuff.pq]
        np.testing.assert_allclose(drawn, expected, rtol=1e-6, equal_nan=True)


def test_the_seed_fixes_the_draws():
    stats = image_stats(np.random.default_rng(1), 5)
    first, second, other = (
        bootstrap_pq(stats, TOY_SPACE, resamples=50, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other, equal_nan=True)


def test_one_image_never_varies():
    draws = bootstrap_pq(image_stats(np.random.default_rng(2), 1), TOY_SPACE, resamples=20)
    assert (draws[:, 0] == draws[0, 0]).all()


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="at least one image"):
        bootstrap_pq([], TOY_SPACE)


def test_every_score_is_that_of_a_loop_over_the_images_drawn():
    rng = np.random.default_rng(8)
    runs = [image_stats(rng, 6), image_stats(rng, 6)]
    fast = bootstrap_scores(runs, TOY_SPACE, resamples=400, seed=2)
    slow = resample_scores(runs, TOY_SPACE, resamples=400, seed=2)
    np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-6, equal_nan=True)
    np.testing.assert_array_equal(
        fast[1], bootstrap_scores(runs[1:], TOY_SPACE, resamples=400, seed=2)[0]
    )


def test_miou_is_that_of_a_loop_over_the_images_drawn():
    rng = np.random.default_rng(9)
    images = [
        count_semantic(panoptic_truth(rng, (9, 9)), semantic_prediction(rng, (9, 9)))
        for _ in range(5)
    ]
    fast = bootstrap_miou(images, TOY_SPACE, resamples=300, seed=4)
    slow = resample_miou(images, TOY_SPACE, resamples=300, seed=4)
    np.testing.assert_allclose(fast, slow, rtol=1e-6)
