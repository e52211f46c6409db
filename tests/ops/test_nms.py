"""Suppression against its definition, in loops."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuse.ops.nms import suppress

CORNERS = st.tuples(*[st.integers(0, 12)] * 4)


def suppress_slowly(boxes, threshold):
    """The same box by box; the IoU of boxes on a grid is one rounded quotient of whole numbers."""
    kept = []
    for box in boxes.tolist():
        overlaps = [iou(box, other) for other in kept if other is not None]
        kept.append(None if any(each > threshold for each in overlaps) else box)
    return [box is not None for box in kept]


def iou(box, other):
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (box, other)]
    union = sum(areas) - shared
    # A float32, as in torchvision: that of 0.3 exceeds Python's 0.3.
    return float(np.float32(shared) / np.float32(union)) if union else 0


@example(corners=[(2, 0, 7, 5), (4, 0, 8, 10)], threshold=0.3)  # 15 of 50 pixels
@given(corners=st.lists(CORNERS, max_size=40), threshold=st.sampled_from([0.0, 0.3, 0.5, 0.7]))
def test_boxes_on_a_grid(corners, threshold):
    boxes = np.array(
        [[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners], dtype=np.float32
    ).reshape(-1, 4)
    assert suppress(boxes, threshold).tolist() == suppress_slowly(boxes, threshold)


@pytest.mark.parametrize(("threshold", "is_kept"), [(1 / 3, False), (0.34, True)])
def test_a_threshold_that_float32_does_not_know(threshold, is_kept):
    boxes = np.array([[0, 0, 2, 1], [1, 0, 3, 1]], dtype=np.float32)  # their IoU is 0.33333334
    assert suppress(boxes, threshold).tolist() == [True, is_kept]
