"""Masks the slow way: full frames, torchvision's paste and pycocotools' decode."""

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from fuse.types import Instances, RleMasks


def full_frame_masks(instances: Instances) -> np.ndarray:
    """bool (N, H, W), each mask over the whole photo."""
    height, width = instances.size
    if isinstance(instances.masks, RleMasks):
        masks = [coco_mask.decode(rle).astype(bool) for rle in instances.masks.rles]
        return np.array(masks).reshape(-1, height, width)
    masks = [
        paste_masks_in_image(
            torch.from_numpy(soft)[None, None], torch.from_numpy(box)[None], (height, width)
        )[0, 0]
        > 0.5
        for soft, box in zip(instances.masks.probs, instances.boxes, strict=True)
    ]
    return np.array([mask.numpy() for mask in masks]).reshape(-1, height, width)
