"""The fusion of mmdetection, `HeuristicFusionHead`, as a loop.

Source: open-mmlab/mmdetection, mmdet/models/seg_heads/panoptic_fusion_heads. It takes what the
detector's own threshold has left, and names a pixel by class and instance: class + 1000 x
instance for things, the class alone for stuff, the number of classes for void.
"""

import numpy as np

OFFSET = 1000  # mmdet.evaluation.functional.INSTANCE_OFFSET
AREA_EXTRA = 1e-5  # pixels that it adds to an area before it divides by it


def fuse_as_mmdet(
    masks: np.ndarray,
    scores: list[float],
    classes: list[int],
    stuff_map: np.ndarray,
    class_counts: tuple[int, int],
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
) -> np.ndarray:
    """The map of class + 1000 x instance.

    Args:
        masks: bool (N, H, W), full-frame.
        scores: of the instances; equal ones keep their order.
        classes: of the instances, 0 up to the number of thing classes.
        stuff_map: int (H, W), 0 up to the number of stuff classes, which stands for things.
        class_counts: numbers of thing and of stuff classes.
        overlap_threshold: instances of which more is taken are dropped.
        stuff_area: stuff of fewer pixels is dropped.
    """
    thing_count, stuff_count = class_counts
    instance_map = np.zeros(stuff_map.shape, dtype=int)
    laid: list[int] = []
    for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
        area = int(masks[index].sum())
        taken = masks[index] & (instance_map > 0)
        if area == 0 or int(taken.sum()) / (area + AREA_EXTRA) > overlap_threshold:
            continue
        laid.append(classes[index])
        instance_map[masks[index] & ~taken] = len(laid)

    result = stuff_map + thing_count
    for place, thing_class in enumerate(laid, start=1):
        result[instance_map == place] = thing_class + OFFSET * place
    for stuff_class in range(thing_count, thing_count + stuff_count):
        region = result == stuff_class
        if region.sum() < stuff_area:
            result[region] = thing_count + stuff_count
    return result
