"""Masks the slow way: full frames, torchvision's paste and pycocotools' decode."""

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from fuse.types import Instances, RleMasks


def full_frame_masks(instances: Instances) -> np.ndarray:
    """bool (N, H, W), each mask over the whole image."""
    height, width = instances.size
    if isinstance(instances.masks, RleMasks):
        masks = [coco_mask.decode(rle).astype(bool) for rle in instances.masks.rles]
        return np.array(masks).reshape(-1, height, width)
    masks = [
        _paste(torch.from_numpy(soft), torch.from_numpy(box), (height, width))
        for soft, box in zip(instances.masks.probs, instances.boxes, strict=True)
    ]
    return np.array(masks, dtype=bool).reshape(-1, height, width)


def _paste(soft: torch.Tensor, box: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Torchvision's paste of one mask, > 0.5."""
    try:
        return (paste_masks_in_image(soft[None, None], box[None], size)[0, 0] > 0.5).numpy()
    except RuntimeError:  # the box lies wholly outside and its slices do not fit together
        return np.zeros(size, dtype=bool)
