"""What others do for the same work, in their own packages or as their published rule."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from benchmarks.scenes import SCORE_THRESHOLD, SPACE, Scene
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.models.detection.roi_heads import paste_masks_in_image

from fuse.io.coco.panoptic import PanopticDataset

OVERLAP_THRESHOLD = 0.5
STUFF_AREA = 4096


def torchvision_and_detectron2(scene: Scene) -> torch.Tensor:
    """Paste full-frame masks as torchvision does, then combine them as detectron2 does."""
    kept = scene.kept
    masks = paste_masks_in_image(
        torch.from_numpy(scene.instances.masks.probs[kept])[:, None],
        torch.from_numpy(scene.instances.boxes[kept]),
        scene.size,
    )[:, 0]
    masks = masks > 0.5
    panoptic = torch.zeros(scene.size, dtype=torch.int32)
    segment_id = 0
    for mask in masks:
        area = mask.sum().item()
        if area == 0:
            continue
        taken = mask & (panoptic > 0)
        overlap = taken.sum().item()
        if overlap / area > OVERLAP_THRESHOLD:
            continue
        if overlap:
            mask = mask & (panoptic == 0)
        segment_id += 1
        panoptic[mask] = segment_id
    semantic = torch.from_numpy(scene.semantic.label_map)
    for category_id in semantic.unique().tolist():
        if category_id == 0 or SPACE.by_id[category_id].isthing:
            continue
        free = (semantic == category_id) & (panoptic == 0)
        if free.sum().item() >= STUFF_AREA:
            segment_id += 1
            panoptic[free] = segment_id
    return panoptic


def coco_combine(scene: Scene) -> np.ndarray:
    """Combine RLE masks through pycocotools, as COCO's script does, without its PNG."""
    panoptic = np.zeros(scene.size, dtype=np.uint32)
    used = None
    segment_id = 0
    entries = [e for e in scene.instance_rles if e["score"] >= SCORE_THRESHOLD]
    for entry in sorted(entries, key=lambda entry: -entry["score"]):
        rle = entry["segmentation"]
        area = coco_mask.area(rle)
        if area == 0:
            continue
        shared = 0 if used is None else coco_mask.area(coco_mask.merge([used, rle], intersect=True))
        if shared / area > OVERLAP_THRESHOLD:
            continue
        used = rle if used is None else coco_mask.merge([used, rle], intersect=False)
        mask = coco_mask.decode(rle) == 1
        if shared:
            mask = (panoptic == 0) & mask
        segment_id += 1
        panoptic[mask] = segment_id
    for entry in scene.stuff_rles:
        free = (panoptic == 0) & (coco_mask.decode(entry["segmentation"]) == 1)
        if free.sum() >= STUFF_AREA:
            segment_id += 1
            panoptic[free] = segment_id
    return panoptic


def torch_upsample_argmax(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Interpolate every class, then take the best."""
    return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0].argmax(0)


def pil_write(path: Path, panoptic_map: np.ndarray) -> None:
    """The map as an RGB PNG through PIL, as panopticapi writes it."""
    channels = [panoptic_map % 256, panoptic_map // 256 % 256, panoptic_map // 65536]
    Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8)).save(path)


def pil_read(path: Path) -> np.ndarray:
    """The ids of an RGB PNG through PIL, as panopticapi reads them."""
    rgb = np.array(Image.open(path), dtype=np.uint32)
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


def cv2_write(path: Path, panoptic_map: np.ndarray) -> None:
    """The map as an RGB PNG through cv2."""
    channels = panoptic_map.view(np.uint8).reshape(*panoptic_map.shape, 4)
    cv2.imwrite(str(path), np.ascontiguousarray(channels[..., 2::-1]))


def cv2_read(path: Path) -> np.ndarray:
    """The ids of an RGB PNG through cv2."""
    bgr = cv2.imread(str(path)).astype(np.int32)
    return bgr[..., 2] + 256 * bgr[..., 1] + 65536 * bgr[..., 0]


def hotcoco_pq(truth: Path, predicted: Path) -> dict[str, Any]:
    """PQ of two panoptic JSONs."""
    from hotcoco.panoptic import PanopticEval

    scorer = PanopticEval(str(truth), str(predicted))
    scorer.evaluate()
    return scorer.results()


def torchmetrics_pq(
    truth: PanopticDataset, predicted: PanopticDataset, images: int
) -> torch.Tensor:
    """PQ of the first images of two datasets; torchmetrics reads no files, so PIL does."""
    from torchmetrics.detection import PanopticQuality

    metric = PanopticQuality(
        set(SPACE.thing_ids), set(SPACE.stuff_ids), allow_unknown_preds_category=True
    )
    for image_id in list(truth.annotations)[:images]:
        maps = []
        for dataset in (predicted, truth):
            ids = pil_read(dataset.png_path(image_id)).astype(np.int64)
            categories = np.zeros_like(ids)  # 0 is none of the categories: void
            for segment in dataset.annotations[image_id].segments_info:
                categories[ids == segment.segment_id] = segment.category_id
            maps.append(torch.from_numpy(np.stack([categories, ids], axis=-1))[None])
        metric.update(*maps)
    return metric.compute()


def pycocotools_ap(images: list[tuple[Scene, Scene]]) -> np.ndarray:
    """COCO's twelve mask figures of each second scene's detections in the first one's map."""
    listed, annotations, detections = [], [], []
    for image_id, (truth, found) in enumerate(images, start=1):
        height, width = truth.size
        listed.append({"id": image_id, "height": height, "width": width})
        for segment in truth.fused.segments_info:
            if SPACE.by_id[segment.category_id].isthing:
                mask = truth.fused.panoptic_map == segment.segment_id
                rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": segment.category_id,
                        "segmentation": rle,
                        "area": segment.area,
                        "bbox": list(segment.bbox),
                        "iscrowd": 0,
                    }
                )
        detections += [{"image_id": image_id, **entry} for entry in found.encode_instances()]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": listed,
            "annotations": annotations,
            "info": {},  # pycocotools 2.0.10 asks for it
            "categories": [{"id": c, "name": str(c)} for c in SPACE.thing_ids],
        }
        truth.createIndex()
        scorer = COCOeval(truth, truth.loadRes(detections), "segm")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return scorer.stats
