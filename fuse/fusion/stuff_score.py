"""How sure a semantic net is of each stuff segment, and leaving out what it is not sure of.

Nets that answer with masks drop those that score too little, stuff too (Cheng et al. 2022,
Mask2Former, in its code). The paper's rule has scores for instances only; here a stuff segment
scores the mean probability of its class over its pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fuse.fusion.class_logits import REACH
from fuse.ops.class_logits import relative_logits, sum_by_segment
from fuse.types import Float32Array, PanopticPrediction, SemanticPrediction, TargetLogits


def drop_by_stuff_score(
    prediction: PanopticPrediction, semantic: SemanticPrediction, stuff_score: float
) -> PanopticPrediction:
    """Leave out stuff segments that score less; their pixels become void.

    A net without logits is sure of all that it says.

    Args:
        prediction: fused, its segments with ids 1, 2, 3, ...; instances have a score.
        semantic: what it was fused from.
        stuff_score: the least that is kept, 0..1.

    Returns:
        A prediction whose segments have ids 1, 2, 3, ... again.
    """
    if stuff_score <= 0 or semantic.logits is None:
        return prediction
    scores = score_stuff(prediction, semantic.logits)
    kept = [s for s in prediction.segments_info if scores.get(s.segment_id, 1.0) >= stuff_score]
    if len(kept) == len(prediction.segments_info):
        return prediction
    new_ids = np.zeros(len(prediction.segments_info) + 1, dtype=np.int32)
    new_ids[[segment.segment_id for segment in kept]] = np.arange(1, len(kept) + 1)
    return PanopticPrediction(
        new_ids[prediction.panoptic_map],
        tuple(replace(s, segment_id=int(new_ids[s.segment_id])) for s in kept),
    )


def score_stuff(prediction: PanopticPrediction, target: TargetLogits) -> dict[int, float]:
    """The mean probability of its class over each stuff segment, 0..1, by segment_id.

    A pixel has the probabilities of the cell of logits that is nearest to it.

    Args:
        prediction: its segments with ids 1, 2, 3, ...; those with a score are instances.
        target: logits of the same image; stuff of classes that they lack is left out.
    """
    row_of = {category_id: row for row, category_id in enumerate(target.category_ids.tolist())}
    rows = np.full(len(prediction.segments_info) + 1, -1, dtype=np.int32)
    for segment in prediction.segments_info:
        if segment.score is None:
            rows[segment.segment_id] = row_of.get(segment.category_id, -1)
    if (rows < 0).all():
        return {}
    sums = sum_by_segment(find_probabilities(target), rows, prediction.panoptic_map, target.logits)
    stuff = (s for s in prediction.segments_info if rows[s.segment_id] >= 0)
    return {s.segment_id: float(sums[s.segment_id]) / s.area for s in stuff}


def find_probabilities(target: TargetLogits) -> Float32Array:
    """The softmax of each cell over the classes within `REACH` of its best, (C, h, w).

    Kept predictions hold no logits further below, so a run and its kept predictions agree.
    """
    heights = relative_logits(target.logits.logits, REACH)
    weights = np.where(heights > 0, np.exp(heights), np.float32(0))
    probabilities: Float32Array = weights / weights.sum(axis=0)
    return probabilities
