"""The paper's fusion rule the slow way: one full-frame mask after the other."""

from fractions import Fraction

import numpy as np
from reference.masks import full_frame_masks

from fuse.types import Instances, LabelSpace, SegmentInfo, SemanticPrediction


def fuse_slowly(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
    order: list[int] | None = None,
) -> tuple[np.ndarray, list[SegmentInfo]]:
    """Panoptic map and segments, as section 7 of Kirillov et al. 2019 tells it.

    With an order instances are painted in it instead of by score.
    """
    masks = full_frame_masks(instances)
    panoptic_map = np.zeros(semantic.size, dtype=np.int32)
    segments = []

    def paint(mask, category_id, score):
        free = mask & (panoptic_map == 0)
        if free.any():
            panoptic_map[free] = len(segments) + 1
            y, x = np.nonzero(free)
            bbox = (int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)
            segments.append(SegmentInfo(len(segments) + 1, category_id, len(y), bbox, score=score))

    by_score = sorted(range(len(instances)), key=lambda i: (-instances.scores[i], i))
    for i in by_score if order is None else order:
        area = masks[i].sum()
        if instances.scores[i] < score_threshold or area == 0:
            continue
        if (masks[i] & (panoptic_map != 0)).sum() / area > overlap_threshold:
            continue
        paint(masks[i], int(instances.category_ids[i]), float(instances.scores[i]))

    share = Fraction(str(stuff_area)) * panoptic_map.size  # as written, not as a float has it
    limit = share if 0 < stuff_area < 1 else stuff_area
    for category_id in sorted(space.by_id):
        stuff = (semantic.label_map == category_id) & (panoptic_map == 0)
        if not space.by_id[category_id].isthing and stuff.sum() >= limit:
            paint(stuff, category_id, None)
    return panoptic_map, segments
