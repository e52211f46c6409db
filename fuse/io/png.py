"""Panoptic maps as PNG: segment_id = R + 256 G + 65536 B, COCO's coding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fuse.errors import CocoFormatError
from fuse.io.files import write_whole
from fuse.types import MAX_SEGMENT_ID, Int32Array


@dataclass(frozen=True, slots=True, eq=False)
class IdMapFile:
    """A panoptic map as it was read from a PNG.

    Attributes:
        panoptic_map: int32 (H, W), a segment_id per pixel, 0 = void.
        color_type: the PNG's own: "rgb" is what the format asks for; "rgba", "palette",
            "grey" and "grey-alpha" are read as well.
        bit_depth: bits per channel or palette index; 8 is what the format asks for.
    """

    panoptic_map: Int32Array
    color_type: str
    bit_depth: int


def write_id_map(path: Path, panoptic_map: Int32Array) -> None:
    """Write a panoptic map as 8-bit RGB PNG; the file appears whole or not at all.

    Raises:
        ValueError: an id does not fit three bytes, or the map has no pixels.
        OSError: the folder is missing or not writable.
    """
    write_whole(path, encode_id_map(panoptic_map))


def encode_id_map(panoptic_map: Int32Array) -> bytes:
    """The bytes of a panoptic map's PNG; the same map gives the same bytes.

    Raises:
        ValueError: an id does not fit three bytes, or the map has no pixels.
    """
    if panoptic_map.size == 0 or panoptic_map.min() < 0 or panoptic_map.max() > MAX_SEGMENT_ID:
        raise ValueError(f"a panoptic map needs pixels, with ids in 0..{MAX_SEGMENT_ID}")
    little_endian = np.ascontiguousarray(panoptic_map, dtype="<i4").view(np.uint8)
    rgb = little_endian.reshape(*panoptic_map.shape, 4)[..., :3]
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
    return encoded.tobytes()


def read_id_map(path: Path) -> Int32Array:
    """Read the panoptic map of a PNG: int32 (H, W), a segment_id per pixel, 0 = void.

    Raises:
        CocoFormatError: the file is missing, is not a PNG, or is cut short.
    """
    return read_id_map_file(path).panoptic_map


def read_id_map_file(path: Path) -> IdMapFile:
    """Read a panoptic map with the colour type of its PNG.

    Raises:
        CocoFormatError: the file is missing, is not a PNG, or is cut short.
    """
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as err:
        raise CocoFormatError(f"{path}: cannot be read ({err.strerror})") from err
    bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
    if bgr is None:
        raise CocoFormatError(f"{path}: not a PNG, or cut short")
    channels = bgr.astype(np.int32)
    panoptic_map = channels[..., 2] + 256 * channels[..., 1] + 65536 * channels[..., 0]
    return IdMapFile(panoptic_map, "rgb", 8)
