"""The fusion of detectron2's Panoptic FPN, `combine_semantic_and_instance_outputs`, as a loop.

Source: facebookresearch/detectron2, detectron2/modeling/meta_arch/panoptic_fpn.py. Its order of
equal scores is that of an unstable sort; here they keep their order.
"""

import numpy as np


def combine_as_detectron2(
    masks: np.ndarray,
    scores: list[float],
    category_ids: list[int],
    stuff_map: np.ndarray,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The map, and (segment_id, category_id) of each segment, those without pixels included.

    Args:
        masks: bool (N, H, W), full-frame.
        scores: of the instances.
        category_ids: of the instances.
        stuff_map: int (H, W), a class of stuff per pixel; 0 stands for every thing.
        score_threshold: instances below it are dropped.
        overlap_threshold: instances of which more is taken are dropped.
        stuff_area: stuff of fewer pixels is dropped.
    """
    panoptic_map = np.zeros(stuff_map.shape, dtype=np.int32)
    segments = []
    for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
        if scores[index] < score_threshold:
            break
        area = int(masks[index].sum())
        taken = masks[index] & (panoptic_map > 0)
        if area == 0 or int(taken.sum()) / area > overlap_threshold:
            continue
        segments.append((len(segments) + 1, category_ids[index]))
        panoptic_map[masks[index] & ~taken] = len(segments)
    for label in sorted(set(stuff_map.ravel().tolist()) - {0}):
        free = (stuff_map == label) & (panoptic_map == 0)
        if free.sum() >= stuff_area:
            segments.append((len(segments) + 1, label))
            panoptic_map[free] = len(segments)
    return panoptic_map, segments
