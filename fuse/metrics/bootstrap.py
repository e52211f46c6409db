"""How much PQ would vary over other photos of the same kind: a bootstrap over photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fuse.metrics.pq import PQStats
from fuse.types import Float64Array, LabelSpace

COLUMNS = ("iou_sum", "tp", "fp", "fn")
CHUNK = 256  # resamples in memory at a time


def bootstrap_pq(
    photos: Sequence[PQStats], space: LabelSpace, *, resamples: int = 1000, seed: int = 0
) -> Float64Array:
    """PQ of sets of as many photos, drawn with replacement from these (Efron 1979).

    Two calls with the same number of photos, resamples and seed draw the same photos, so the
    differences of two predictions of the same photos are paired.

    Args:
        photos: the counts of each photo.
        space: the categories.
        resamples: how many sets.
        seed: of the draws.

    Returns:
        float64 (resamples, 3): PQ of all, things and stuff in 0..1; NaN where a set has none.

    Raises:
        ValueError: there are no photos.
    """
    if not photos:
        raise ValueError("a bootstrap needs at least one photo")
    counts = _stack_counts(photos, space)
    isthing = np.array([category.isthing for category in space.categories])
    rng = np.random.default_rng(seed)
    chunks = []
    for first in range(0, resamples, CHUNK):
        weights = _draw_weights(rng, min(CHUNK, resamples - first), len(photos))
        summed = (weights @ counts).reshape(len(weights), len(COLUMNS), -1)
        chunks.append(_mean_pq(summed.astype(np.float64), isthing))
    return np.concatenate(chunks)


def _stack_counts(photos: Sequence[PQStats], space: LabelSpace) -> npt.NDArray[np.float32]:
    """Counts as one row per photo: float32 (P, 4 K), columns as COLUMNS, K categories each.

    float32 holds every count of fewer than 2**24 segments exactly.
    """
    column_of = {category_id: index for index, category_id in enumerate(space.by_id)}
    counts = np.zeros((len(photos), len(COLUMNS), len(column_of)), dtype=np.float32)
    for row, stats in zip(counts, photos, strict=True):
        columns = [column_of[category_id] for category_id in stats.category_ids.tolist()]
        for values, name in zip(row, COLUMNS, strict=True):
            values[columns] = getattr(stats, name)
    return counts.reshape(len(photos), -1)


def _draw_weights(rng: np.random.Generator, resamples: int, photos: int) -> npt.NDArray[np.float32]:
    """How often each photo is in each set: float32 (resamples, photos)."""
    draws = rng.integers(0, photos, (resamples, photos))
    cells = draws + np.arange(resamples)[:, np.newaxis] * photos
    counted = np.bincount(cells.ravel(), minlength=resamples * photos)
    return counted.reshape(resamples, photos).astype(np.float32)


def _mean_pq(summed: Float64Array, isthing: npt.NDArray[np.bool_]) -> Float64Array:
    """PQ of all, things and stuff from summed counts (R, 4, K)."""
    iou_sum, tp, fp, fn = summed.transpose(1, 0, 2)
    segments = tp + 0.5 * fp + 0.5 * fn
    occurs = segments > 0
    pq = np.divide(iou_sum, segments, out=np.zeros_like(segments), where=occurs)
    means = []
    for chosen in (np.ones_like(isthing), isthing, ~isthing):
        n = (occurs & chosen).sum(axis=1).astype(np.float64)
        total = np.where(occurs & chosen, pq, 0).sum(axis=1)
        means.append(np.divide(total, n, out=np.full_like(n, np.nan), where=n > 0))
    return np.stack(means, axis=1)
