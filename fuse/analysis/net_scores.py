"""`fuse.evaluate`: of a run that kept what its nets said it scores the two nets as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from fuse.analysis.compared_runs import scorer_of
from fuse.analysis.opened_run import OpenedRun, open_run
from fuse.evaluation import evaluate as files
from fuse.evaluation.evaluate import Evaluation
from fuse.evaluation.scorer import TruthScorer
from fuse.io.coco.panoptic import ImageId, read_panoptic_json
from fuse.io.files import RUN_FILE, StrPath, to_path
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


def evaluate(
    gt: StrPath,
    pred: StrPath,
    *,
    gt_dir: StrPath | None = None,
    pred_dir: StrPath | None = None,
    official: bool = False,
    strict: bool = False,
    semantic: StrPath | None = None,
    instances: StrPath | None = None,
    measures: Sequence[str] = (),
    seed: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """`fuse.evaluation.evaluate.evaluate`, which has the contract, and for a run its nets' scores.

    A run that kept its predictions has mIoU and mask AP of its two nets as well, unless `semantic`
    or `instances` name others.
    """
    evaluation = files.evaluate(
        *(gt, pred),
        gt_dir=gt_dir,
        pred_dir=pred_dir,
        official=official,
        strict=strict,
        semantic=semantic,
        instances=instances,
        measures=measures,
        seed=seed,
        workers=workers,
        on_progress=on_progress,
    )
    if semantic or instances:
        return evaluation
    return _add_nets(evaluation, gt, pred, gt_dir, workers)


def _add_nets(
    evaluation: Evaluation,
    gt: StrPath,
    pred: StrPath,
    gt_dir: StrPath | None,
    workers: int | None,
) -> Evaluation:
    """The evaluation with mIoU and mask AP of the nets, where the run kept what they said."""
    path = to_path(pred)
    if not (path / RUN_FILE).is_file():
        return evaluation
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
