"""COCO's combine script as a plain loop over full-frame masks, with running segment ids."""

from collections import defaultdict

import numpy as np
from pycocotools import mask as coco_mask


def combine_slowly(
    images: list[dict],
    instances: list[dict],
    stuff: list[dict],
    things: set[int],
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 64 * 64,
) -> dict[int, tuple[np.ndarray, list[tuple[int, int]]]]:
    """Per image_id the map and (segment_id, category_id) of each segment with pixels.

    All segmentations are compressed RLE.
    """
    instances_of, stuff_of = defaultdict(list), defaultdict(list)
    for entry in instances:
        if entry["score"] >= score_threshold:
            instances_of[entry["image_id"]].append(entry)
    for entry in stuff:
        if entry["category_id"] not in things:
            stuff_of[entry["image_id"]].append(entry)
    return {
        image["id"]: _combine_one(
            (image["height"], image["width"]),
            sorted(instances_of[image["id"]], key=lambda entry: -entry["score"]),
            stuff_of[image["id"]],
            overlap_threshold,
            stuff_area,
        )
        for image in images
    }


def _combine_one(
    size: tuple[int, int],
    instances: list[dict],
    stuff: list[dict],
    overlap_threshold: float,
    stuff_area: float,
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    panoptic_map = np.zeros(size, dtype=np.int32)
    used = None  # union of the masks taken, as RLE
    segments = []

    def paint(mask: np.ndarray, category_id: int) -> None:
        if mask.any():
            segments.append((len(segments) + 1, category_id))
            panoptic_map[mask] = len(segments)

    for entry in instances:
        rle = entry["segmentation"]
        area = coco_mask.area(rle)
        if area == 0:
            continue
        shared = 0 if used is None else coco_mask.area(coco_mask.merge([used, rle], intersect=True))
        if shared / area > overlap_threshold:
            continue
        used = rle if used is None else coco_mask.merge([used, rle], intersect=False)
        paint((coco_mask.decode(rle) == 1) & (panoptic_map == 0), entry["category_id"])
    stuff_ids: dict[int, int] = {}  # the script's ids are colours, and stuff has one colour
    for entry in stuff:
        free = (coco_mask.decode(entry["segmentation"]) == 1) & (panoptic_map == 0)
        if free.sum() < stuff_area:
            continue
        if entry["category_id"] in stuff_ids:
            panoptic_map[free] = stuff_ids[entry["category_id"]]
        elif free.any():
            paint(free, entry["category_id"])
            stuff_ids[entry["category_id"]] = len(segments)
    return panoptic_map, segments
