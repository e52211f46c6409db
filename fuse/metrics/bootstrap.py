"""How much scores would vary over other images of the same kind: a bootstrap over images.

Scores are taken of sets of as many images, drawn with replacement (Efron 1979). The same number
of images and the same seed draw the same sets, whatever the score, so the differences of two
predictions of the same images are paired. Without images there is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fuse.metrics.instances import Detections, weighted_ap
from fuse.metrics.pq import GROUP_SCORES, PQStats, score_counts, stack_counts
from fuse.metrics.semantic import SemanticStats
from fuse.types import Float32Array, Float64Array, LabelSpace

RESAMPLES = 1000  # where a caller names no number
CHUNK = 256  # resamples in memory at a time


def bootstrap_scores(
    runs: Sequence[Sequence[PQStats]],
    space: LabelSpace,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Float64Array:
    """All PQ scores of several predictions of the same images, over the same sets of images.

    Args:
        runs: of each prediction the counts of each image, the images in one order.
        space: the categories, K of them.
        resamples: how many sets.
        seed: of the draws.

    Returns:
        float64 (runs, resamples, 9 + K) in 0..1, as `score_counts` has them.
    """
    # float32 holds every count up to 2**23, and its half, exactly.
    stacked = [stack_counts(images, space).astype(np.float32) for images in runs]
    counts = np.stack(stacked, axis=1).reshape(len(runs[0]), -1 if len(runs[0]) else 0)
    isthing = np.array([category.isthing for category in space.categories])
    scores = np.empty((len(runs), resamples, GROUP_SCORES + len(isthing)))
    done = 0
    for weights in draw_weights(len(counts), resamples=resamples, seed=seed):
        sums = (weights @ counts).astype(np.float64)
        by_run = sums.reshape(len(sums), len(runs), 3, len(isthing)).transpose(1, 0, 2, 3)
        scores[:, done : done + len(sums)] = score_counts(by_run, isthing)
        done += len(sums)
    return scores


def bootstrap_miou(
    images: Sequence[SemanticStats], space: LabelSpace, *, resamples: int = RESAMPLES, seed: int = 0
) -> Float64Array:
    """Mean IoU of each set, from the pixels per category of each image.

    Returns:
        float64 (resamples,) in 0..1; NaN where a set has no category.
    """
    column_of = {category_id: index for index, category_id in enumerate(space.by_id)}
    counts = np.zeros((len(images), 2, len(column_of)), dtype=np.float32)
    for row, stats in zip(counts, images, strict=True):
        columns = [column_of[category_id] for category_id in stats.category_ids.tolist()]
        row[:, columns] = stats.right, stats.true + stats.predicted - stats.right
    rows = counts.reshape(len(images), 2 * len(column_of))
    drawn = [
        _mean_ratio(*np.hsplit((weights @ rows).astype(np.float64), 2))
        for weights in draw_weights(len(images), resamples=resamples, seed=seed)
    ]
    return np.concatenate(drawn)


def bootstrap_ap(
    detections: Detections,
    category_ids: Sequence[int],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Float64Array:
    """Mask AP of each set over some of the things, from the matched detections of all images.

    Returns:
        float64 (resamples,) in 0..1; NaN where a set has none of these things.
    """
    columns = np.isin(detections.category_ids, category_ids)
    drawn = []
    for weights in draw_weights(len(detections.true_counts), resamples=resamples, seed=seed):
        ap = weighted_ap(detections, weights)[:, columns]
        occurs = ~np.isnan(ap)
        drawn.append(_mean_ratio(np.where(occurs, ap, 0), occurs.astype(np.float64)))
    return np.concatenate(drawn)


def draw_weights(images: int, *, resamples: int, seed: int) -> Iterator[Float32Array]:
    """How often each image is in each set: float32 (up to CHUNK, images) at a time.

    Raises:
        ValueError: there are no images.
    """
    if not images:
        raise ValueError("a bootstrap needs at least one image")
    rng = np.random.default_rng(seed)
    for first in range(0, resamples, CHUNK):
        drawn = rng.integers(0, images, (min(CHUNK, resamples - first), images))
        counts = [np.bincount(row, minlength=images) for row in drawn]
        yield np.array(counts, dtype=np.float32)


def _mean_ratio(above: Float64Array, below: Float64Array) -> Float64Array:
    """Mean of above / below over the columns where below is not 0: (R, K) to (R,)."""
    occurs = below > 0
    ratios = np.divide(above, below, out=np.zeros_like(below), where=occurs)
    n = occurs.sum(axis=1).astype(np.float64)
    means: Float64Array = np.divide(ratios.sum(axis=1), n, out=np.full_like(n, np.nan), where=n > 0)
    return means
