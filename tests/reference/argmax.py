"""Upsample and argmax the slow way: torch's interpolation of every class at every pixel."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812


def upsample(logits: np.ndarray, size: tuple[int, int], *, align_corners: bool) -> np.ndarray:
    """float32 (C, H, W)."""
    batch = torch.from_numpy(np.ascontiguousarray(logits, dtype=np.float32))[None]
    return F.interpolate(batch, size=size, mode="bilinear", align_corners=align_corners)[0].numpy()


def interpolate_at(
    logits: np.ndarray, size: tuple[int, int], scale: tuple[float, float], *, align_corners: bool
) -> np.ndarray:
    """float64 (C, H, W), pixel by pixel, with a given number of logit cells per pixel."""
    classes, height, width = logits.shape
    upsampled = np.empty((classes, *size))
    half = 0.0 if align_corners else 0.5
    for y in range(size[0]):
        for x in range(size[1]):
            place_y = min(max((y + half) * scale[0] - half, 0.0), height - 1.0)
            place_x = min(max((x + half) * scale[1] - half, 0.0), width - 1.0)
            top, left = int(place_y), int(place_x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            wy, wx = place_y - top, place_x - left
            upper = (1 - wx) * logits[:, top, left] + wx * logits[:, top, right]
            lower = (1 - wx) * logits[:, bottom, left] + wx * logits[:, bottom, right]
            upsampled[:, y, x] = (1 - wy) * upper + wy * lower
    return upsampled
