"""How detectron2 and mmdetection fuse, over full-frame masks, for comparison with our rule.

Both follow Kirillov et al. 2019, section 7, and read the same thresholds a little otherwise.
"""

import numpy as np

# mmdetection divides by a little more than the area.
MMDET_EPSILON = 1e-5


def fuse_as_detectron2(
    masks: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    overlap_threshold: float,
    stuff_area: float,
    score_threshold: float,
) -> np.ndarray:
    """`combine_semantic_and_instance_outputs` of detectron2 0.6: int32 (H, W) of segment ids.

    Args:
        masks: bool (N, H, W).
        scores: float (N,), all different.
        labels: int (H, W), 0 where the semantic net sees a thing.
        overlap_threshold: a mask with a larger share taken is dropped.
        stuff_area: a label on fewer free pixels is dropped.
        score_threshold: a mask that scores less is dropped.
    """
    panoptic_map = np.zeros(labels.shape, np.int32)
    next_id = 1
    for index in np.argsort(-scores):
        area = masks[index].sum()
        if scores[index] < score_threshold or not area:
            continue
        taken = masks[index] & (panoptic_map > 0)
        if taken.sum() / area > overlap_threshold:
            continue
        panoptic_map[masks[index] & ~taken] = next_id
        next_id += 1
    for label in np.unique(labels[labels > 0]):
        free = (labels == label) & (panoptic_map == 0)
        if free.sum() >= stuff_area:
            panoptic_map[free] = next_id
            next_id += 1
    return panoptic_map


def fuse_as_mmdetection(
    masks: np.ndarray,
    scores: np.ndarray,
    category_ids: np.ndarray,
    labels: np.ndarray,
    overlap_threshold: float,
    stuff_area: float,
) -> tuple[np.ndarray, np.ndarray]:
    """`HeuristicFusionHead` of mmdetection 3: category and instance number of each pixel.

    Its detector has dropped masks below a score before, and those at it.

    Args:
        masks: bool (N, H, W).
        scores: float (N,), all different.
        category_ids: int (N,).
        labels: int (H, W), 0 where the semantic net sees a thing.
        overlap_threshold: a mask with a larger share taken is dropped.
        stuff_area: a label on fewer free pixels is dropped.

    Returns:
        int (H, W) each; category 0 is void, instance 0 is stuff or void.
    """
    numbers = np.zeros(labels.shape, int)
    categories = labels.copy()
    for index in np.argsort(-scores):
        mask = masks[index]
        taken = mask & (numbers > 0)
        if not mask.any() or taken.sum() / (mask.sum() + MMDET_EPSILON) > overlap_threshold:
            continue
        categories[mask & ~taken] = category_ids[index]
        numbers[mask & ~taken] = numbers.max() + 1
    for label in np.unique(labels[labels > 0]):
        stuff = (categories == label) & (numbers == 0)
        if stuff.sum() < stuff_area:
            categories[stuff] = 0
    return categories, numbers
