"""Mask AP of an instance branch against the things of panoptic ground truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from pycocotools import mask as coco_mask

from fuse.ops.masks import encode_rles
from fuse.types import Instances, LabelSpace, PanopticPrediction

# Rows of COCOeval's twelve figures, https://cocodataset.org/#detection-eval.
STATS = {"ap": 0, "ap50": 1, "ap75": 2, "ap_small": 3, "ap_medium": 4, "ap_large": 5}


@dataclass(frozen=True, slots=True)
class MaskAP:
    """COCO's mask AP, fractions in 0..1; NaN where no true instance counts.

    Attributes:
        ap: mean over IoU .50:.05:.95 and over the categories with true instances.
        ap50: at IoU .50.
        ap75: at IoU .75.
        ap_small: of instances below 32 x 32 pixels.
        ap_medium: of those in between.
        ap_large: of instances above 96 x 96 pixels.
        per_category: `ap` by category_id of things.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    per_category: dict[int, float]

    def to_json(self) -> dict[str, Any]:
        """As plain values; None where nothing was scored."""
        scores = {key: _none_if_nan(getattr(self, key)) for key in STATS}
        per_class = {str(c): _none_if_nan(ap) for c, ap in self.per_category.items()}
        return {**scores, "per_class": per_class}


def mask_ap(images: Iterable[tuple[PanopticPrediction, Instances]], space: LabelSpace) -> MaskAP:
    """Mask AP of detections over a set of images.

    True instances are the things of a panoptic map, crowds as crowds. Small, medium and
    large go by the pixels of a mask, for detections too.

    Args:
        images: ground truth and detections of each image; read once.
        space: the label space of both.
    """
    described = describe_detections(images, space)
    coco = COCO(described.truth)
    scorer = COCOeval_faster(coco, coco.loadRes(described.detections), "segm")
    scorer.run()
    # (IoU thresholds, recall levels, categories, sizes, detections per image); -1 = nothing.
    precision = scorer.eval["precision"][:, :, :, 0, -1]
    return MaskAP(
        **{key: _nan_if_nothing(scorer.stats[row]) for key, row in STATS.items()},
        per_category={
            category_id: _nan_if_nothing(precision[:, :, row].mean())
            for row, category_id in enumerate(sorted(space.thing_ids))
        },
    )


@dataclass(frozen=True, slots=True)
class DescribedDetections:
    """Ground truth and detections as COCO's instance files have them.

    Attributes:
        truth: images, annotations, categories.
        detections: results; their image ids count the images from 1.
    """

    truth: dict[str, list[dict[str, Any]]]
    detections: list[dict[str, Any]]


def describe_detections(
    pairs: Iterable[tuple[PanopticPrediction, Instances]], space: LabelSpace
) -> DescribedDetections:
    """The things of panoptic maps and the detections of the same images, for COCO's scorers."""
    images: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image_id, (truth, found) in enumerate(pairs, start=1):
        height, width = truth.size
        images.append({"id": image_id, "height": height, "width": width})
        instances += _true_instances(truth, image_id, space, len(instances) + 1)
        detections += [
            {"image_id": image_id, "category_id": category_id, "score": score, "segmentation": rle}
            for category_id, score, rle in zip(
                found.category_ids.tolist(), found.scores.tolist(), encode_rles(found), strict=True
            )
        ]
    categories = [{"id": category_id, "name": str(category_id)} for category_id in space.thing_ids]
    return DescribedDetections(
        {"images": images, "annotations": instances, "categories": categories}, detections
    )


def _true_instances(
    truth: PanopticPrediction, image_id: int, space: LabelSpace, first_id: int
) -> list[dict[str, Any]]:
    """The things of an image as COCO instance annotations, numbered from first_id."""
    things = [s for s in truth.segments_info if space.by_id[s.category_id].isthing]
    column_major = np.asfortranarray(truth.panoptic_map)
    return [
        {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": segment.category_id,
            "segmentation": coco_mask.encode((column_major == segment.segment_id).view(np.uint8)),
            "area": segment.area,
            "bbox": list(segment.bbox),
            "iscrowd": int(segment.iscrowd),
        }
        for annotation_id, segment in enumerate(things, start=first_id)
    ]


def _nan_if_nothing(value: float) -> float:
    """COCOeval says -1 where there is nothing to score."""
    return float(value) if value > -1 else float("nan")


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else value
