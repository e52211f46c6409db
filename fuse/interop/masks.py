"""Full-frame masks of other libraries as run-length codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from fuse.interop.arrays import to_numpy
from fuse.types import BoolArray, Float32Array

HALF = 0.5  # of a soft mask; above it a pixel is in the mask


def to_masks(given: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - arrays or tensors
    """Hard masks as an array (N, H, W) of bool, or of whole numbers 0 and 1.

    Raises:
        ValueError: they have other values, or another number of axes.
    """
    masks = _stack(given) if _is_list(given) else to_numpy(given)
    if masks.ndim != 3:
        mend = "; of one mask give masks[None]" if masks.ndim == 2 else ""
        raise ValueError(f"masks must be (N, H, W), got shape {masks.shape}{mend}")
    if masks.dtype != np.bool_:
        if masks.size and not np.isin(np.unique(masks), (0, 1)).all():
            raise ValueError(
                f"masks must be bool, or 0 and 1, got {masks.dtype} of other values; of "
                "probabilities give masks > 0.5"
            )
        masks = masks != 0
    return masks


def _stack(given: Sequence[Any]) -> npt.NDArray[Any]:
    masks = [to_numpy(mask) for mask in given]
    sizes = sorted({mask.shape for mask in masks})
    if len(sizes) > 1:
        raise ValueError(
            f"masks must be of one size, the image's, got {sizes[0]} and {sizes[1]}; scale each: "
            "cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)"
        )
    return np.stack(masks)


def encode_masks(masks: Iterable[BoolArray]) -> tuple[dict[str, Any], ...]:
    """COCO's compressed run-length code of each mask (H, W), one after the other."""
    return tuple(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks)


def find_boxes(rles: tuple[dict[str, Any], ...]) -> Float32Array:
    """float32 (N, 4), xyxy, around the pixels of each; all 0 where there are none."""
    boxes = np.array([coco_mask.toBbox(rle) for rle in rles], dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def find_letterbox(net_size: tuple[int, int], size: tuple[int, int]) -> tuple[slice, slice]:
    """The part of a net's input that shows the image, when it was put in the middle of grey bars.

    Args:
        net_size: (height, width) of the input.
        size: (height, width) of the image.

    >>> find_letterbox((640, 640), (480, 640))
    (slice(80, 560, None), slice(0, 640, None))
    """
    gain = min(net_size[0] / size[0], net_size[1] / size[1])
    parts = []
    for net_side, side in zip(net_size, size, strict=True):
        shown = round(side * gain)
        first = round((net_side - shown) / 2 - 0.1)  # of an odd rest the larger half comes last
        parts.append(slice(first, first + shown))
    return parts[0], parts[1]


def scale_mask(mask: npt.NDArray[Any], size: tuple[int, int]) -> BoolArray:
    """A mask at the size of a net's letterboxed input, over the image: bool (H, W)."""
    if mask.shape == size:
        return mask > HALF
    part = np.ascontiguousarray(mask[find_letterbox(mask.shape, size)], dtype=np.float32)
    return cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR) > HALF


def _is_list(given: object) -> bool:
    return isinstance(given, list | tuple) and len(given) > 0
