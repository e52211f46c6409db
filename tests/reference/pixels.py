"""The rules that settle each pixel by itself, the slow way: every channel over the full frame."""

import numpy as np
import torch
from reference.masks import full_frame_masks
from torch.nn import functional
from torchvision.models.detection.roi_heads import expand_boxes, expand_masks, paste_mask_in_image

from fuse.types import BoxMasks, Instances, LabelSpace, TargetLogits


def survivors_slowly(instances: Instances, score_threshold: float, overlap: float) -> list[int]:
    """Who takes part, the best first, by comparing full-frame masks."""
    masks = full_frame_masks(instances)
    kept: list[int] = []
    for i in sorted(range(len(instances)), key=lambda i: (-instances.scores[i], i)):
        if instances.scores[i] < score_threshold or not masks[i].any():
            continue
        for j in kept:
            both = (masks[i] & masks[j]).sum()
            of_one_class = instances.category_ids[i] == instances.category_ids[j]
            if both / (masks[i] | masks[j]).sum() > 0.5:
                break
            if of_one_class and both / masks[i].sum() > overlap:
                break
        else:
            kept.append(i)
    return kept


def stretch_slowly(instances: Instances, index: int, values: np.ndarray, outside: float):
    """Values (m, m) of one instance's box over the full frame with torchvision's paste.

    Returns float32 (H, W) and bool (H, W), where the box and its padding lie.
    """
    size = instances.size
    box = torch.from_numpy(instances.boxes[[index]])

    def paste(samples: np.ndarray) -> torch.Tensor:
        padded, scale = expand_masks(torch.from_numpy(samples)[None, None], padding=1)
        where = expand_boxes(box, scale).to(torch.int64)[0]
        try:
            return paste_mask_in_image(padded[0, 0], where, *size)
        except RuntimeError:  # wholly outside the image
            return torch.zeros(size)

    # torchvision pads with zeros: stretch what is above `outside`, then add it again.
    lifted = paste((values - np.float32(outside)).astype(np.float32)) + np.float32(outside)
    _, scale = expand_masks(torch.zeros(1, 1, *values.shape), padding=1)
    x0, y0, x1, y1 = expand_boxes(box, scale).to(torch.int64)[0].tolist()
    x1, y1 = max(x1, x0), max(y1, y0)
    inside = np.zeros(size, dtype=bool)
    inside[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = True
    return lifted.numpy(), inside


def mask_logits_slowly(instances: Instances, index: int):
    """Logits of one mask over the full frame, and where it has any."""
    margin = np.float32(2**-11)
    low = np.log(margin / (1 - margin))
    if isinstance(instances.masks, BoxMasks):
        probs = np.clip(instances.masks.probs[index], margin, 1 - margin)
        return stretch_slowly(instances, index, np.log(probs / (1 - probs)), float(low))
    mask = full_frame_masks(instances)[index]
    box = np.zeros_like(mask)
    if mask.any():
        y, x = np.nonzero(mask)
        box[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
    return np.where(mask, -low, low).astype(np.float32), box


def upsample_slowly(target: TargetLogits, reach: float) -> torch.Tensor:
    """Evidence of each row over the full frame: float32 (C, H, W); logits cover the image."""
    values = torch.from_numpy(target.logits.logits.astype(np.float32))
    evidence = (values - values.amax(0) + reach).clamp(min=0)
    size = target.logits.size
    return functional.interpolate(evidence[None], size, mode="bilinear", align_corners=False)[0]


def panoptic_logits(
    rule: str,
    target: TargetLogits,
    instances: Instances,
    kept: list[int],
    space: LabelSpace,
    temperature: float,
    reach: float,
) -> tuple[torch.Tensor, list[int]]:
    """All channels of UPSNet's or EfficientPS's head, written down as the papers have them.

    Returns (stuff + instances + 1, H, W), the last one UPSNet's unknown class or minus
    infinity, and the category ids of the stuff channels.
    """
    x = upsample_slowly(target, reach)
    ids = target.category_ids.tolist()
    stuff = [row for row, i in enumerate(ids) if i in space.stuff_ids]
    of_void = [row for row, i in enumerate(ids) if i == 0]
    things = [row for row, i in enumerate(ids) if i in space.thing_ids] + of_void
    none = torch.zeros(x.shape[1:])
    x_masks, y_masks, boxes = [none], [], []
    for index in kept:
        category_id = int(instances.category_ids[index])
        rows = [ids.index(category_id)] if category_id in ids else of_void
        logits, inside = mask_logits_slowly(instances, index)
        inside = torch.from_numpy(inside)
        x_masks.append((x[rows].amax(0) if rows else none) * inside)
        y_masks.append(torch.from_numpy(logits) / temperature)
        boxes.append(inside)
    unknown = (torch.stack([*x[things], none]).amax(0) - torch.stack(x_masks).amax(0))[None]
    if rule == "upsnet-logits":
        fused = [b + a for a, b in zip(y_masks, x_masks[1:], strict=True)]
    else:
        fused = [
            (a.sigmoid() + b.sigmoid()) * (a + b) for a, b in zip(y_masks, x_masks[1:], strict=True)
        ]
        unknown = torch.full_like(unknown, -torch.inf)
    outside = torch.tensor(-torch.inf)
    fused = [torch.where(inside, f, outside)[None] for f, inside in zip(fused, boxes, strict=True)]
    background = x[stuff] if stuff else none[None]
    return torch.cat([background, *fused, unknown]), [ids[row] for row in stuff] or [0]
