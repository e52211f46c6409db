"""A bootstrap over images as one would tell it: draw images, add their counts up, score them.

Draws are made as `fuse.metrics.bootstrap` makes them, so that each can be compared.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from fuse.metrics.pq import PQStats, sum_stats, summarize
from fuse.metrics.semantic import SemanticStats, sum_semantic_stats, summarize_semantic
from fuse.types import LabelSpace

CHUNK = 256


def draw_images(images: int, resamples: int, seed: int) -> Iterator[list[int]]:
    """The images of each set, one that is drawn twice standing twice."""
    rng = np.random.default_rng(seed)
    for first in range(0, resamples, CHUNK):
        yield from rng.integers(0, images, (min(CHUNK, resamples - first), images)).tolist()


def resample_scores(
    runs: Sequence[Sequence[PQStats]], space: LabelSpace, resamples: int, seed: int
) -> np.ndarray:
    """(runs, resamples, 9 + K) as `bootstrap_scores` has them."""
    scores = []
    for images in runs:
        rows = []
        for drawn in draw_images(len(images), resamples, seed):
            result = summarize(sum_stats(images[i] for i in drawn), space)
            groups = (result.all, result.things, result.stuff)
            means = [score for g in groups for score in (g.pq, g.sq, g.rq)]
            rows.append(means + [c.score.pq for c in result.per_category.values()])
        scores.append(rows)
    return np.array(scores)


def resample_miou(
    images: Sequence[SemanticStats], space: LabelSpace, resamples: int, seed: int
) -> np.ndarray:
    """(resamples,) as `bootstrap_miou` has them."""
    return np.array(
        [
            summarize_semantic(sum_semantic_stats(images[i] for i in drawn), space).miou
            for drawn in draw_images(len(images), resamples, seed)
        ]
    )
