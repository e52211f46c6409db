"""Score the two branches on their own: mIoU of the semantic one, mask AP of the instances."""

from __future__ import annotations

from collections.abc import Callable

from fuse.io.coco.panoptic import ImageId, PanopticDataset
from fuse.io.coco.results import LabelFolder, ResultsFile
from fuse.metrics.instances import MaskAP, mask_ap
from fuse.metrics.semantic import (
    SemanticResult,
    count_semantic,
    sum_semantic_stats,
    summarize_semantic,
)
from fuse.types import LabelSpace, PanopticPrediction

LoadTruth = Callable[[ImageId], PanopticPrediction]


def score_semantic(
    predictions: ResultsFile | LabelFolder,
    truth: PanopticDataset,
    load_truth: LoadTruth,
    space: LabelSpace,
) -> SemanticResult:
    """Mean IoU of a result JSON or a folder of label PNGs, over the images of the ground truth.

    Args:
        predictions: in category ids of `space`.
        truth: names the images.
        load_truth: an image's ground truth in `space`.
        space: the categories that are scored.

    Raises:
        CocoFormatError: a prediction or a true PNG is wrong or missing.
    """
    images = ((image_id, load_truth(image_id)) for image_id in truth.annotations)
    stats = [
        count_semantic(
            image, predictions.load_semantic(image_id, truth.image_name(image_id), image.size)
        )
        for image_id, image in images
    ]
    return summarize_semantic(sum_semantic_stats(stats), space)


def score_instances(
    results: ResultsFile, truth: PanopticDataset, load_truth: LoadTruth, space: LabelSpace
) -> MaskAP:
    """Mask AP of a COCO result file, over the images of the ground truth.

    Args:
        results: the detections, in category ids of `space`.
        truth: names the images.
        load_truth: an image's ground truth in `space`.
        space: the categories; its things are scored.

    Raises:
        CocoFormatError: an entry or a true PNG is wrong or missing.
    """
    images = ((image_id, load_truth(image_id)) for image_id in truth.annotations)
    return mask_ap(
        ((image, results.load_instances(image_id, image.size)) for image_id, image in images), space
    )
