"""The two nets scored on their own: mIoU of the semantic one, mask AP of the instances."""

from __future__ import annotations

from collections.abc import Set

from fuse.evaluation.scorer import TruthScorer
from fuse.io.coco.image_names import place_inside
from fuse.io.coco.panoptic import ImageId
from fuse.io.coco.results import LabelFolder, ResultsFile
from fuse.metrics.instances import MaskAP, mask_ap
from fuse.metrics.semantic import (
    SemanticResult,
    count_semantic,
    sum_semantic_stats,
    summarize_semantic,
)


def score_semantic(
    predictions: ResultsFile | LabelFolder,
    scorer: TruthScorer,
    left_out: Set[ImageId] = frozenset(),
) -> SemanticResult:
    """Mean IoU of a result JSON or a folder of label PNGs, over the images of the ground truth.

    Args:
        predictions: in category ids of the scorer's space.
        scorer: names the images and loads their ground truth.
        left_out: images that are not scored.

    Raises:
        CocoFormatError: a prediction or a true PNG is wrong or missing, or a label PNG would be of
            two images.
    """
    image_ids = list(scorer.truth.annotations)
    placed = place_inside([scorer.truth.image_name(image_id) for image_id in image_ids])
    names = dict(zip(image_ids, placed, strict=True))
    if isinstance(predictions, LabelFolder):
        predictions.refuse_shared(names.values())
    stats = []
    for image_id in _list_images(scorer, left_out):
        truth, name = scorer.load(image_id), names[image_id]
        stats.append(count_semantic(truth, predictions.load_semantic(image_id, name, truth.size)))
    return summarize_semantic(sum_semantic_stats(stats), scorer.space)


def score_instances(
    results: ResultsFile, scorer: TruthScorer, left_out: Set[ImageId] = frozenset()
) -> MaskAP:
    """Mask AP of a COCO result file, as `score_semantic`; the space's things are scored."""
    truths = ((image_id, scorer.load(image_id)) for image_id in _list_images(scorer, left_out))
    return mask_ap(
        ((truth, results.load_instances(image_id, truth.size)) for image_id, truth in truths),
        scorer.space,
    )


def _list_images(scorer: TruthScorer, left_out: Set[ImageId]) -> list[ImageId]:
    return [image_id for image_id in scorer.truth.annotations if image_id not in left_out]
