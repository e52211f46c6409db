"""Scores of the two nets of a run that kept what they said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fuse.analysis.compared_runs import scorer_of
from fuse.analysis.opened_run import OpenedRun, open_run
from fuse.evaluation.evaluate import Evaluation
from fuse.evaluation.scorer import TruthScorer
from fuse.io.coco.panoptic import ImageId, read_panoptic_json
from fuse.io.files import StrPath
from fuse.metrics.instances import mask_ap
from fuse.metrics.semantic import count_semantic, sum_semantic_stats, summarize_semantic
from fuse.runs.saved_predictions import SavedPredictions
from fuse.threads import map_threads
from fuse.types import (
    Instances,
    PanopticPrediction,
    SemanticPrediction,
)

Loaded = tuple[PanopticPrediction, SemanticPrediction, Instances]


def add_nets(
    evaluation: Evaluation,
    path: Path,
    gt: StrPath,
    gt_dir: StrPath | None,
    workers: int | None,
) -> Evaluation:
    """The evaluation of a run with mIoU and mask AP of its nets, where it kept what they said.

    Args:
        evaluation: of the maps.
        path: the run's folder.
        gt: ground truth, as in `fuse.evaluation.evaluate.evaluate`.
        gt_dir: the same.
        workers: the same.
    """
    run = open_run(path, truth=read_panoptic_json(gt, gt_dir))
    if run.saved is None:
        return evaluation
    saved, scorer, stats = run.saved, scorer_of(run), []
    with map_threads(
        lambda image_id: _load(image_id, run, saved, scorer), scorer.truth.annotations, workers
    ) as loaded:

        def split() -> Iterator[tuple[PanopticPrediction, Instances]]:
            for truth, semantic, instances in loaded:
                stats.append(count_semantic(truth, semantic))
                yield truth, instances

        ap = mask_ap(split(), scorer.space)
    miou = summarize_semantic(sum_semantic_stats(stats), scorer.space)
    known = saved.find_semantic_ids()
    return replace(evaluation, semantic=miou, semantic_ids=known, instances=ap)


def _load(
    image_id: ImageId, run: OpenedRun, saved: SavedPredictions, scorer: TruthScorer
) -> Loaded:
    """Truth and what the nets said of an image; nothing where the run lacks the image."""
    if image_id in run.own_ids:
        prediction = saved.load(run.own_ids[image_id])
        truth = scorer.load(image_id, prediction.size)
        return truth, prediction.label(), prediction.instances
    truth = scorer.load(image_id)
    return (
        truth,
        SemanticPrediction(np.zeros(truth.size, dtype=np.int32)),
        Instances.empty(truth.size),
    )
