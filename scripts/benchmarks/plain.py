"""The script that everybody writes: two nets, one image after the other, fused in NumPy.

The same two nets as the preset `tiny`, in float32 on torch's own threads: torchvision's Mask R-CNN
with its pasted masks, those that score enough picked afterwards (as torchvision's own examples do),
the semantic logits interpolated to the image and argmaxed, the rule of the
paper as loops over masks, PNGs by PIL. Loading is not part of what is measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from fuse import Pipeline

FLOAT32 = tuple(
    f"{branch}.{setting}"
    for branch in ("semantic", "instance")
    for setting in ("precision=float32", "runtime=torch")
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHORT_SIDE, LONG_SIDE, STRIDE = 384, 640, 32  # of the semantic net's input
SCORE_THRESHOLD, OVERLAP_THRESHOLD, STUFF_AREA = 0.5, 0.5, 0.04


class PlainScript:
    """The two nets, loaded; `device` is where they lie."""

    def __init__(self) -> None:
        pipeline = Pipeline.load("tiny", FLOAT32, "cpu")
        self.semantic_net: nn.Module = pipeline.semantic_model.net
        self.instance_net = as_torchvision_has_it(pipeline.instance_model.net)
        self.stuff_ids = pipeline.semantic_model.category_ids
        self.thing_ids = pipeline.instance_model.category_ids
        self.device = "cpu"

    def run(self, images: list[Path], out: Path) -> None:
        """Write a PNG per image, and panoptic.json."""
        out.mkdir()
        annotations = []
        for image_id, path in enumerate(images, start=1):
            panoptic_map, segments = self.fuse(path)
            channels = [panoptic_map % 256, panoptic_map // 256 % 256, panoptic_map // 65536]
            name = f"{image_id}.png"
            Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8)).save(out / name)
            entry = {"image_id": image_id, "file_name": name, "segments_info": segments}
            annotations.append(entry)
        (out / "panoptic.json").write_text(json.dumps({"annotations": annotations}))

    @torch.inference_mode()
    def fuse(self, path: Path) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """One image: its panoptic map int32 (H, W), and its segments."""
        pixels = np.array(Image.open(path).convert("RGB"))
        image = torch.from_numpy(pixels).to(self.device).permute(2, 0, 1).float() / 255
        labels = self.label(image).cpu().numpy()
        (found,) = self.instance_net([image])
        kept = found["scores"] > SCORE_THRESHOLD
        masks = (found["masks"][kept][:, 0] > 0.5).cpu().numpy()
        thing_ids = self.thing_ids[found["labels"][kept].cpu().numpy()]
        return combine(self.stuff_ids[labels], masks, thing_ids)

    def label(self, image: Tensor) -> Tensor:
        """The class of each pixel (H, W)."""
        height, width = image.shape[1:]
        scale = min(SHORT_SIDE / min(height, width), LONG_SIDE / max(height, width))
        size = (int(height * scale), int(width * scale))
        mean, std = (
            torch.tensor(values, device=self.device)[:, None, None] for values in (MEAN, STD)
        )
        resized = F.interpolate(((image - mean) / std)[None], size, mode="bilinear")
        padding = (0, -size[1] % STRIDE, 0, -size[0] % STRIDE)
        logits = self.semantic_net(F.pad(resized, padding))
        whole = F.interpolate(logits, scale_factor=4.0, mode="bilinear")
        whole = whole[:, :, : size[0], : size[1]]
        return F.interpolate(whole, (height, width), mode="bilinear")[0].argmax(0)


def as_torchvision_has_it(net: MaskRCNN) -> MaskRCNN:
    """A Mask R-CNN without the parts of it that fuse does faster."""
    net.rpn = net.rpn.rpn
    for name in ("box_roi_pool", "mask_roi_pool"):
        setattr(net.roi_heads, name, getattr(net.roi_heads, name).pooler)
    return net


def combine(
    labels: np.ndarray, masks: np.ndarray, category_ids: np.ndarray
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The paper's rule; masks bool (N, H, W), best first, and their category_ids."""
    panoptic_map = np.zeros(labels.shape, dtype=np.int32)
    segments: list[dict[str, Any]] = []

    def add(mask: np.ndarray, category_id: int) -> None:
        segment_id = len(segments) + 1
        panoptic_map[mask] = segment_id
        area = int(mask.sum())
        segments.append({"id": segment_id, "category_id": int(category_id), "area": area})

    for mask, category_id in zip(masks, category_ids, strict=True):
        area, taken = mask.sum(), (mask & (panoptic_map > 0)).sum()
        if category_id > 0 and area and taken / area <= OVERLAP_THRESHOLD and taken < area:
            add(mask & (panoptic_map == 0), category_id)
    for category_id in np.unique(labels):
        free = (labels == category_id) & (panoptic_map == 0)
        if category_id > 0 and free.sum() >= STUFF_AREA * labels.size:
            add(free, category_id)
    return panoptic_map, segments
