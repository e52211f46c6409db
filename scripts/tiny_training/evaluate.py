"""Figures of a net on images whose truth is known, as the trainings print them."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tiny_training.loop import autocast, find_device, normalise
from tiny_training.photos import Photo, decode_mask, encode_mask, read_image, read_label_map
from tiny_training.targets import VOID, to_class_index, to_tensor
from torch import nn
from torch.nn import functional

from fuse.models.weights import tiny

THING_CLASSES = 12
SEMANTIC_CLASSES = 16


@torch.inference_mode()
def measure_ap(net: nn.Module, photos: list[Photo], root: Path) -> dict[str, float]:
    """Measure and print box and mask AP over the 12 classes on photos with complete instances."""
    net = copy.deepcopy(net).eval()
    device = find_device(net)
    found: list[dict[str, Any]] = []
    for image_id, photo in enumerate(photos, 1):
        pixels = torch.from_numpy(read_image(root / photo.file_name)).permute(2, 0, 1).float()
        with autocast(device):
            answer = net([pixels.to(device) / 255])[0]
        answer = {name: value.cpu() for name, value in answer.items()}
        masks = (answer["masks"][:, 0] > 0.5).numpy()
        for box, score, label, mask in zip(
            answer["boxes"].tolist(), answer["scores"], answer["labels"], masks, strict=True
        ):
            where = {"bbox": to_xywh(box), "segmentation": encode_mask(mask)}
            found.append(
                {"image_id": image_id, "category_id": int(label), "score": float(score), **where}
            )
    figures = score_instances(list_truth(photos), found)
    print(json.dumps(figures), flush=True)
    return figures


def list_truth(photos: list[Photo]) -> dict[str, list[Any]]:
    """List the objects of photos as COCO does; image_id is the place in the list, from 1."""
    truth: dict[str, list[Any]] = {"images": [], "annotations": []}
    truth["categories"] = [{"id": category_id} for category_id in range(1, THING_CLASSES + 1)]
    for image_id, photo in enumerate(photos, 1):
        truth["images"].append({"id": image_id, "height": photo.height, "width": photo.width})
        for labelled in photo.objects:
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": labelled.category_id,
                    "bbox": to_xywh(labelled.box),
                    "area": float(decode_mask(labelled).sum()),
                    "iscrowd": int(labelled.confidence == 0),
                    "segmentation": labelled.rle,
                }
            )
    return truth


def to_xywh(box: list[float]) -> list[float]:
    """Turn the edges of a box into COCO's corner and sides."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def score_instances(truth: dict[str, Any], found: list[Any]) -> dict[str, float]:
    """Score COCO results held in memory: AP and AP50 of boxes and masks."""
    figures: dict[str, float] = {}
    if not found:
        return {f"{kind}_{name}": 0.0 for kind in ("bbox", "segm") for name in ("ap", "ap50")}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        results = coco.loadRes(found)
        for kind in ("bbox", "segm"):
            evaluation = COCOeval(coco, results, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            figures[f"{kind}_ap"] = round(float(evaluation.stats[0]), 4)
            figures[f"{kind}_ap50"] = round(float(evaluation.stats[1]), 4)
    return figures


@torch.inference_mode()
def measure_iou(net: smp.FPN, photos: list[Photo], root: Path) -> dict[str, float]:
    """Measure mean IoU and the share of right pixels on photos with panoptic truth; prints them."""
    net = copy.deepcopy(net).eval()
    device = find_device(net)
    counts = np.zeros((SEMANTIC_CLASSES, SEMANTIC_CLASSES))
    for photo in photos:
        image = read_image(root / photo.file_name)
        truth = to_class_index(read_label_map(photo, root))
        scale = tiny.SEMANTIC_MIN_SIZE / min(image.shape[:2])
        height, width = (round(side * scale / 32) * 32 for side in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        with autocast(device):
            batch = normalise(to_tensor(small)[None].to(device))
            logits = net.segmentation_head[0](net.decoder(net.encoder(batch))).float().cpu()
        logits = functional.interpolate(logits, truth.shape, mode="bilinear", align_corners=False)
        answer = logits[0].argmax(0).numpy()
        known = truth != VOID
        np.add.at(counts, (truth[known], answer[known]), 1)
    if not counts.any():
        return {}
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    iou = counts.diagonal() / np.maximum(union, 1)
    present = counts.sum(1) > 0
    figures = {"mean_iou": iou[present].mean(), "pixel": counts.diagonal().sum() / counts.sum()}
    print(
        json.dumps({k: round(float(v), 4) for k, v in figures.items()}),
        iou.round(2).tolist(),
        flush=True,
    )
    return {name: float(value) for name, value in figures.items()}
