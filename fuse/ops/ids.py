"""COCO's coding of segment ids as colours: segment_id = R + 256 G + 65536 B."""

from __future__ import annotations

import cv2
import numpy as np

from fuse.types import MAX_SEGMENT_ID, Int32Array, UInt8Array


def ids_to_rgb(panoptic_map: Int32Array) -> UInt8Array:
    """The colours of a panoptic map: uint8 (H, W, 3) of an int32 (H, W) map.

    The ids are trusted to lie in 0..2**24 - 1; higher bits are dropped.

    >>> ids_to_rgb(np.array([[0, 258]], dtype=np.int32)).tolist()
    [[[0, 0, 0], [2, 1, 0]]]
    """
    if panoptic_map.size == 0:
        return np.empty((*panoptic_map.shape, 3), dtype=np.uint8)
    little_endian = np.ascontiguousarray(panoptic_map, dtype="<i4")
    rgb_and_zero = little_endian.view(np.uint8).reshape(*panoptic_map.shape, 4)
    # cv2 drops the fourth channel several times faster than a NumPy slice and copy.
    return cv2.cvtColor(rgb_and_zero, cv2.COLOR_RGBA2RGB)  # type: ignore[return-value]


def rgb_to_ids(rgb: UInt8Array) -> Int32Array:
    """The panoptic map of colours: int32 (H, W) of a uint8 (H, W, 3) picture.

    Raises:
        ValueError: the picture is not uint8 (H, W, 3).

    >>> rgb_to_ids(np.array([[[2, 1, 0]]], dtype=np.uint8)).tolist()
    [[258]]
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected uint8 (H, W, 3), got {rgb.dtype} {rgb.shape}")
    if rgb.size == 0:
        return np.empty(rgb.shape[:2], dtype=np.int32)
    rgb_and_alpha = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2RGBA)
    panoptic_map = rgb_and_alpha.view("<i4")[..., 0].astype(np.int32, copy=False)
    np.bitwise_and(panoptic_map, MAX_SEGMENT_ID, out=panoptic_map)
    return panoptic_map
