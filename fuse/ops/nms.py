"""Non-maximum suppression with the bits of torchvision's kernel, many boxes at a time."""

from __future__ import annotations

import numpy as np

from fuse.ops._jit import jit
from fuse.types import BoolArray, Float32Array


def suppress(boxes: Float32Array, threshold: float) -> BoolArray:
    """Keep each box that overlaps no kept one before it by more than a threshold.

    Args:
        boxes: float32 (N, 4), xyxy, best first.
        threshold: of the IoU.

    Returns:
        bool (N,), which are kept.

    >>> boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 3], [2, 0, 6, 4]], dtype=np.float32)
    >>> suppress(boxes, 0.5).tolist()
    [True, False, True]
    """
    limit = np.float32(threshold)
    if float(limit) > threshold:  # what exceeds the threshold exceeds the float32 below it
        limit = np.nextafter(limit, np.float32(-1))
    kept = np.ones(len(boxes), dtype=np.bool_)
    _suppress(np.ascontiguousarray(boxes.T), limit, kept)
    return kept


@jit
def _suppress(sides: Float32Array, limit: np.float32, kept: BoolArray) -> None:
    """Clear what stands in bool (N,) for boxes that are suppressed; sides are float32 (4, N)."""
    count, nothing = len(kept), np.float32(0)
    areas, iou = np.empty(count, np.float32), np.empty(count, np.float32)
    for i in range(count):
        areas[i] = (sides[2, i] - sides[0, i]) * (sides[3, i] - sides[1, i])
    for i in range(count):
        if not kept[i]:
            continue
        left, top, right, bottom = sides[0, i], sides[1, i], sides[2, i], sides[3, i]
        # Without branches, and with indices that cannot count from the end, so that many boxes
        # are one step of the processor.
        for k in range(count - i - 1):
            j = np.uint64(i + 1 + k)
            x1 = sides[0, j] if sides[0, j] > left else left
            y1 = sides[1, j] if sides[1, j] > top else top
            x2 = sides[2, j] if sides[2, j] < right else right
            y2 = sides[3, j] if sides[3, j] < bottom else bottom
            width = x2 - x1 if x2 - x1 > nothing else nothing
            height = y2 - y1 if y2 - y1 > nothing else nothing
            shared = width * height
            # Of 0 by 0 np.divide makes no number, and no error.
            iou[j] = np.divide(shared, areas[i] + areas[j] - shared)
        for k in range(count - i - 1):
            j = np.uint64(i + 1 + k)
            if iou[j] > limit:
                kept[j] = False
