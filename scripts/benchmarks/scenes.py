"""Images to measure on: what two nets would say of them, generated or from real ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from fuse import (
    BoxMasks,
    Instances,
    PanopticPrediction,
    SemanticPrediction,
    fuse_by_overlap,
    load_space,
    read_panoptic_json,
)
from fuse.ops.masks import paste_mask
from fuse.ops.rle import encode_crop

SPACE = load_space("coco_panoptic")
SAMPLES = 28  # side of a Mask R-CNN's soft mask
DETECTIONS = 80  # of a Mask R-CNN per image, most of them below the threshold
STUFF_REGIONS = 14
SCORE_THRESHOLD = 0.5


@dataclass(frozen=True)
class Scene:
    """One image's semantic map and instances, and the forms that other tools want them in."""

    semantic: SemanticPrediction
    instances: Instances

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.semantic.size

    @cached_property
    def kept(self) -> np.ndarray:
        """Places of the instances that pass the threshold, best first."""
        order = np.argsort(-self.instances.scores, kind="stable")
        return order[self.instances.scores[order] >= SCORE_THRESHOLD]

    @cached_property
    def instance_rles(self) -> list[dict[str, Any]]:
        """COCO results of all instances, made once."""
        return self.encode_instances()

    def encode_instances(self) -> list[dict[str, Any]]:
        """COCO results of all instances."""
        rows = zip(
            self.instances.scores.tolist(),
            self.instances.category_ids.tolist(),
            (
                encode_crop(*paste_mask(self.instances, index), self.instances.size)
                for index in range(len(self.instances))
            ),
            strict=True,
        )
        return [{"score": s, "category_id": c, "segmentation": rle} for s, c, rle in rows]

    @cached_property
    def stuff_rles(self) -> list[dict[str, Any]]:
        """COCO results of the semantic map's stuff."""
        labels = self.semantic.label_map
        present = set(np.unique(labels).tolist())
        return [
            {
                "category_id": category_id,
                "segmentation": coco_mask.encode(
                    np.asfortranarray(labels == category_id, dtype=np.uint8)
                ),
            }
            for category_id in SPACE.stuff_ids
            if category_id in present
        ]

    @cached_property
    def fused(self) -> PanopticPrediction:
        """What fuse makes of it."""
        return fuse_by_overlap(self.semantic, self.instances, SPACE)


def generate_scene(rng: np.random.Generator, size: tuple[int, int], kept: int) -> Scene:
    """An image as crowded as COCO's: Voronoi regions, and blobs of log-uniform sizes."""
    height, width = size
    centers = rng.random((STUFF_REGIONS, 2, 1, 1)) * np.reshape(size, (2, 1, 1))
    # A quarter of the resolution gives borders with steps, as upsampled nets have.
    y, x = np.mgrid[0:height:4, 0:width:4]
    nearest = ((y - centers[:, 0]) ** 2 + (x - centers[:, 1]) ** 2).argmin(axis=0)
    labels = rng.choice([c.category_id for c in SPACE.categories], STUFF_REGIONS, replace=False)
    label_map = labels[nearest].repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
    center = rng.random((DETECTIONS, 2)) * (width, height)
    half = np.exp(rng.uniform(np.log(0.02), np.log(0.35), (DETECTIONS, 2))) * (width, height)
    boxes = np.concatenate([center - half, center + half], axis=1)
    boxes = boxes.clip(0, [width, height, width, height]).astype(np.float32)
    scores = np.where(
        np.arange(DETECTIONS) < kept,
        rng.uniform(SCORE_THRESHOLD, 1, DETECTIONS),
        rng.uniform(0.05, SCORE_THRESHOLD - 0.01, DETECTIONS),
    )
    return _make_scene(rng, label_map, boxes, scores, _blobs(rng, DETECTIONS))


def scenes_of_truth(path: Path, count: int) -> list[Scene]:
    """Scenes whose stuff and things are those of real images; things as soft masks."""
    rng = np.random.default_rng(0)
    truth = read_panoptic_json(path)
    scenes = []
    for image_id in list(truth.annotations)[:count]:
        image = truth.load(image_id)
        label_map = np.zeros(image.size, dtype=np.int32)
        boxes, soft, category_ids = [], [], []
        for segment in image.segments_info:
            mask = image.panoptic_map == segment.segment_id
            label_map[mask] = segment.category_id
            if SPACE.by_id[segment.category_id].isthing:
                left, top, width, height = segment.bbox
                crop = mask[top : top + height, left : left + width].astype(np.float32)
                boxes.append((left, top, left + width, top + height))
                soft.append(cv2.resize(crop, (SAMPLES, SAMPLES), interpolation=cv2.INTER_AREA))
                category_ids.append(segment.category_id)
        count_things = len(boxes)
        instances = Instances(
            boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            scores=rng.uniform(SCORE_THRESHOLD, 1, count_things),
            category_ids=np.array(category_ids, dtype=np.int32),
            masks=BoxMasks(np.array(soft, dtype=np.float32).reshape(-1, SAMPLES, SAMPLES)),
            size=image.size,
        )
        scenes.append(Scene(SemanticPrediction(label_map), instances))
    return scenes


def generate_logits(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """float32 (C, h, w): smooth fields with a clear best class in most places."""
    classes, height, width = shape
    coarse = rng.normal(size=(classes, height // 8 + 2, width // 8 + 2)).astype(np.float32) * 3
    return np.stack(
        [cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC) for field in coarse]
    )


def disturb(rng: np.random.Generator, scene: Scene) -> Scene:
    """The same image as seen by worse nets: shifted things, one stuff class taken for another."""
    instances = scene.instances
    shift = rng.normal(size=(len(instances), 4)) * 4
    label_map = np.roll(scene.semantic.label_map, 5, axis=1)
    label_map[label_map == SPACE.stuff_ids[0]] = SPACE.stuff_ids[1]
    moved = Instances(
        (instances.boxes + shift).astype(np.float32),
        instances.scores,
        instances.category_ids,
        instances.masks,
        instances.size,
    )
    return Scene(SemanticPrediction(label_map), moved)


def _blobs(rng: np.random.Generator, count: int) -> np.ndarray:
    """float32 (count, 28, 28): ellipses with waves on their rims."""
    y, x = np.mgrid[:SAMPLES, :SAMPLES] / (SAMPLES - 1) - 0.5
    radius = rng.uniform(0.35, 0.6, (count, 2, 1, 1))
    phase = rng.uniform(0, 6, (count, 1, 1))
    inside = 1 - (y / radius[:, 0]) ** 2 - (x / radius[:, 1]) ** 2
    inside = inside + 0.3 * np.sin(9 * x + phase) * np.cos(8 * y)
    return (1 / (1 + np.exp(-8 * inside))).astype(np.float32)


def _make_scene(
    rng: np.random.Generator,
    label_map: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    soft: np.ndarray,
) -> Scene:
    label_map = np.ascontiguousarray(label_map, dtype=np.int32)
    category_ids = rng.choice(SPACE.thing_ids, len(scores)).astype(np.int32)
    size = (label_map.shape[0], label_map.shape[1])
    instances = Instances(boxes, scores, category_ids, BoxMasks(soft), size)
    return Scene(SemanticPrediction(label_map), instances)
