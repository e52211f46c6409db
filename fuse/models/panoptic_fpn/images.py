"""Between the pixels of an image and the net: resizing in, label maps and masks out.

As in detectron2: ResizeShortestEdge (data/transforms), ImageList and sem_seg_postprocess
(modeling/postprocessing.py), paste_masks_in_image (layers/mask_ops.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.transforms.functional import InterpolationMode, resize, to_pil_image

from fuse.ops.rle import encode_crop
from fuse.types import Float32Array, NamedImage, RleMasks

DIVISOR = 32  # both sides of the input are multiples of it
SEMANTIC_STRIDE = 4  # of the semantic head's answer
MASK_THRESHOLD = 0.5  # a pixel at the threshold belongs to the mask
ROWS = 64  # of a label map made at a time, so that few pixels have all classes in memory


def resized_size(size: tuple[int, int], min_size: int, max_size: int) -> tuple[int, int]:
    """(height, width) of an image in the input: the short side min_size, the long at most max_size.

    >>> resized_size((480, 640), 800, 1333), resized_size((1024, 2048), 800, 1333)
    ((800, 1067), (667, 1333))
    """
    scale = min_size / min(size)
    height, width = scale * size[0], scale * size[1]
    if max(height, width) > max_size:
        scale = max_size / max(height, width)
        height, width = height * scale, width * scale
    return max(int(height + 0.5), 1), max(int(width + 0.5), 1)


def prepare_images(
    images: Sequence[NamedImage],
    resized: tuple[int, int],
    mean: Tensor,
    std: Tensor,
    *,
    reads_rgb: bool = False,
) -> Tensor:
    """Images of one size as a batch float32 (N, 3, H, W) on the device of mean and std.

    Padding at the right and bottom is 0 after normalisation.

    Args:
        images: of one size.
        resized: (height, width) of them in the batch.
        mean: (3, 1, 1), per channel in 0..255.
        std: as mean.
        reads_rgb: the order of the batch's channels; else blue, green, red.
    """
    # PIL's bilinear shrinking averages over all pixels and rounds to bytes; torch's and OpenCV's
    # differ from it by up to several levels.
    shrunk = [
        np.array(resize(to_pil_image(image.pixels), list(resized), InterpolationMode.BILINEAR))
        for image in images
    ]
    batch = torch.from_numpy(np.stack(shrunk)).to(mean.device).permute(0, 3, 1, 2)
    if not reads_rgb:
        batch = batch.flip(1)
    bottom, right = -resized[0] % DIVISOR, -resized[1] % DIVISOR
    return F.pad((batch.float() - mean) / std, (0, right, 0, bottom))


def label_pixels(logits: Tensor, resized: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """int64 (H, W), the class index of each pixel of an image, by bilinear upsampling in two steps.

    Logits are upsampled by 4 to the input, the padding is cut off, and the rest is resized to the
    image. As one matrix per axis this needs no array of all classes at the input's size.

    Args:
        logits: float32 (C, h, w) at stride 4 of the padded input.
        resized: (height, width) of the image in the input.
        size: of the image.
    """
    rows, columns = (
        _upsampling(cells, resized[axis], size[axis]).to(logits)
        for axis, cells in enumerate(logits.shape[1:])
    )
    widened = logits @ columns.T
    bands = (rows[start : start + ROWS] for start in range(0, size[0], ROWS))
    return torch.cat([(band @ widened).argmax(dim=0) for band in bands])


def _upsampling(cells: int, resized: int, pixels: int) -> Tensor:
    """float32 (pixels, cells), the weight of each cell in each pixel along one axis."""
    each_cell = torch.eye(cells)[None]
    inputs = F.interpolate(
        each_cell, scale_factor=float(SEMANTIC_STRIDE), mode="linear", align_corners=False
    )
    return F.interpolate(inputs[..., :resized], pixels, mode="linear", align_corners=False)[0].T


def paste_masks(probs: Float32Array, boxes: Float32Array, size: tuple[int, int]) -> RleMasks:
    """Soft masks inside their boxes as masks over the image.

    A pixel reads the soft mask, bilinear, at its centre; outside the mask is 0. Boxes keep their
    fractions of a pixel here, which they lose in torchvision's rule.

    Args:
        probs: (N, m, m) in 0..1.
        boxes: (N, 4), xyxy in the image, inside it and with an area.
        size: (height, width) of the image.
    """
    rles = []
    for soft, (x1, y1, x2, y2) in zip(probs, boxes.astype(np.float64), strict=True):
        top, rows = _sampling(y1, y2, size[0], len(soft))
        left, columns = _sampling(x1, x2, size[1], len(soft))
        crop = rows @ soft @ columns.T >= MASK_THRESHOLD
        rles.append(encode_crop(crop, (top, left), size))
    return RleMasks(tuple(rles))


def _sampling(
    low: float, high: float, length: int, cells: int
) -> tuple[int, npt.NDArray[np.float64]]:
    """The first pixel along a side of a box, and the weight of each cell in each pixel."""
    first, last = max(int(np.floor(low)), 0), min(int(np.ceil(high)), length)
    centers = np.arange(first, last) + 0.5
    places = (centers - low) / (high - low) * cells - 0.5
    return first, np.maximum(1 - np.abs(places[:, None] - np.arange(cells)), 0)
