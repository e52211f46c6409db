"""PQ counts as plain arrays, so that sums over thousands of sets of images are one product.

A row of counts is (3, K): iou_sum, tp and (fp + fn) / 2 of each of the K categories of a space,
in its order. That is all that PQ, SQ and RQ need.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fuse.metrics.pq import PQStats
from fuse.types import Float64Array, LabelSpace

GROUPS = ("all", "things", "stuff")
SCORES = ("pq", "sq", "rq")
GROUP_SCORES = len(GROUPS) * len(SCORES)  # columns of `score_counts` before the categories


def stack_counts(images: Sequence[PQStats], space: LabelSpace) -> Float64Array:
    """The counts of each image: float64 (P, 3, K)."""
    column_of = {category_id: index for index, category_id in enumerate(space.by_id)}
    counts = np.zeros((len(images), 3, len(column_of)))
    for row, stats in zip(counts, images, strict=True):
        columns = [column_of[category_id] for category_id in stats.category_ids.tolist()]
        row[:, columns] = stats.iou_sum, stats.tp, 0.5 * (stats.fp + stats.fn)
    return counts


def score_counts(counts: Float64Array, isthing: npt.NDArray[np.bool_]) -> Float64Array:
    """Scores of summed counts.

    Args:
        counts: float64 (..., 3, K).
        isthing: bool (K,).

    Returns:
        float64 (..., 9 + K): PQ, SQ, RQ of all, of things, of stuff (means over the categories
        that occur), then PQ of each category; NaN where nothing occurs.
    """
    iou_sum, tp, wrong = np.moveaxis(counts, -2, 0)
    segments = tp + wrong
    occurs = segments > 0
    by_category = [
        np.divide(above, below, out=np.zeros_like(segments), where=below > 0)
        for above, below in ((iou_sum, segments), (iou_sum, tp), (tp, segments))
    ]
    means = []
    for chosen in (np.ones_like(isthing), isthing, ~isthing):
        # A product with 0 and 1 sums over a group; what does not occur is 0 in it.
        n = occurs @ chosen.astype(np.float64)
        for scores in by_category:
            total = scores @ chosen.astype(np.float64)
            means.append(np.divide(total, n, out=np.full_like(n, np.nan), where=n > 0))
    pq = np.where(occurs, by_category[0], np.nan)
    return np.concatenate([np.stack(means, axis=-1), pq], axis=-1)
