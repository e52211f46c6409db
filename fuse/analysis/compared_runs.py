"""Runs made comparable: the same images, the same classes, each scored on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan

import numpy as np

from fuse.analysis.opened_run import OpenedRun, name_different_classes, name_some
from fuse.errors import DataError, LabelSpaceError
from fuse.evaluation.evaluate import summarize_images
from fuse.evaluation.image_scores import ImageScores
from fuse.evaluation.scorer import TruthScorer
from fuse.io.coco.panoptic import ImageId
from fuse.metrics.instances import Detections, match_detections, mean_ap
from fuse.metrics.pq import PQResult, PQStats, rename_categories, sum_stats, summarize
from fuse.metrics.semantic import (
    SemanticStats,
    count_semantic,
    sum_semantic_stats,
    summarize_semantic,
)
from fuse.runs.saved_predictions import SavedPredictions
from fuse.threads import map_threads
from fuse.types import Instances, LabelSpace, PanopticPrediction

Step = Callable[[], object] | None


@dataclass(frozen=True, slots=True, eq=False)
class ComparedRun:
    """One run, scored on the images and classes that all runs have.

    Attributes:
        name: as the caller named it.
        result: PQ over the common classes.
        images: the counts of each common image, one order for all runs.
        mapped: how the ground truth was carried into its label space, None where it was not.
        unknown: how many of its images the ground truth lacks.
        seconds: by stage, added up over threads, ``total`` is wall-clock; empty where unknown.
        images_run: how many images these were spent on; a run that went on counts its last call.
        peak_memory_mib: of the process and of the device; empty where unknown.
        semantic: pixels per common class and image; empty without saved predictions.
        detections: of its instance net, matched; None without saved predictions.
        things: category ids of the common things in them.
        miou: of the semantic net; None without saved predictions or classes.
        ap: mask AP over the common things; None without saved predictions or things.
    """

    name: str
    result: PQResult
    images: tuple[PQStats, ...]
    mapped: str | None
    unknown: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    images_run: int = 0
    peak_memory_mib: Mapping[str, int | None] = field(default_factory=dict)
    semantic: tuple[SemanticStats, ...] = ()
    detections: Detections | None = None
    things: tuple[int, ...] = ()
    miou: float | None = None
    ap: float | None = None


def find_common_images(runs: Sequence[OpenedRun], *, intersect: bool) -> list[ImageId]:
    """The ground truth's image ids that all runs have, in its order.

    Raises:
        DataError: the runs have different images and `intersect` is False, or no image is
            common to all.
    """
    first = runs[0]
    every = set.intersection(*(set(run.own_ids) for run in runs))
    common = [image_id for image_id in scorer_of(first).truth.annotations if image_id in every]
    if not common:
        raise DataError(f"no image is in all of the runs: {', '.join(str(r.path) for r in runs)}")
    for other in runs[1:]:
        lacks = []
        for run, without in ((first, other), (other, first)):
            if only := [i for i in run.own_ids if i not in without.own_ids]:
                names = name_some([run.dataset.image_name(i) for i in only])
                lacks.append(f"only {run.path} has {names}")
        if lacks and not intersect:
            raise DataError(
                f"{first.path} and {other.path} are of different images: {'; '.join(lacks)}; "
                f"--intersect goes on with the {len(common)} common ones"
            )
    return common


def find_common_classes(runs: Sequence[OpenedRun], *, intersect: bool) -> LabelSpace:
    """The classes that all runs have by name and kind, with the ids of the first run.

    Raises:
        LabelSpaceError: the runs have different classes and `intersect` is False, or no class
            is common to all.
    """
    spaces = [scorer_of(run).space for run in runs]
    known = [class_ids(space) for space in spaces]
    common = tuple(
        c for c in spaces[0].categories if all((c.name, c.isthing) in ids for ids in known)
    )
    first = runs[0].path
    for run, space in zip(runs[1:], spaces[1:], strict=True):
        lacks = name_different_classes((str(first), spaces[0]), (str(run.path), space))
        if lacks and not intersect:
            raise LabelSpaceError(
                f"{first} and {run.path} have different classes: {lacks}; "
                f"--intersect goes on with the {len(common)} common ones"
            )
    if not common:
        names = ", ".join(str(run.path) for run in runs)
        raise LabelSpaceError(f"no class is in all of the runs: {names}")
    whole = common == spaces[0].categories
    return spaces[0] if whole else LabelSpace(f"part of {spaces[0].name}", common)


def class_ids(space: LabelSpace) -> dict[tuple[str, bool], int]:
    """category_id by name and kind, in the order of the label space."""
    return {(c.name, c.isthing): c.category_id for c in space.categories}


def scorer_of(run: OpenedRun) -> TruthScorer:
    """The scorer of a run that was opened with ground truth."""
    if run.scorer is None:
        raise ValueError(f"{run.path} was opened without ground truth")
    return run.scorer


def score_run(
    run: OpenedRun,
    image_ids: Sequence[ImageId],
    space: LabelSpace,
    *,
    workers: int | None,
    on_image: Step,
) -> ComparedRun:
    """Score a run on chosen images and classes, its nets too where it saved their predictions.

    Args:
        run: opened with ground truth.
        image_ids: the ground truth's.
        space: the common classes (`find_common_classes`).
        workers: threads, by default one per processor.
        on_image: called after each image, and again after each image of the nets.

    Raises:
        DataError: a file cannot be scored.
    """
    scorer = scorer_of(run)
    score = scorer.score_file
    with map_threads(
        lambda i: score(i, run.dataset), image_ids, workers, on_result=on_image
    ) as scored:
        images = ImageScores(scored)
    summarize_images(scorer, images)  # raises where an image could not be scored
    own_ids = class_ids(scorer.space)
    new_ids = {own_ids[c.name, c.isthing]: c.category_id for c in space.categories}
    stats = tuple(rename_categories(image.stats, new_ids) for image in images)
    images_run = run.run_file.get("photos", {}).get("tried", 0)
    compared = ComparedRun(
        name=str(run.path),
        result=summarize(sum_stats(stats), space),
        images=stats,
        mapped=scorer.mapped,
        unknown=run.unknown,
        seconds=dict(run.run_file.get("seconds", {})) if images_run else {},
        images_run=images_run,
        peak_memory_mib=dict(run.run_file.get("peak_memory_mib", {})),
    )
    if run.saved is None:
        return compared
    semantic, detections = _score_nets(run, run.saved, image_ids, new_ids, workers, on_image)
    things = tuple(i for i in scorer.space.thing_ids if i in new_ids)
    miou = summarize_semantic(sum_semantic_stats(semantic), space).miou
    ap = mean_ap(detections, things)
    return replace(
        compared,
        semantic=tuple(semantic),
        detections=detections,
        things=things,
        miou=None if isnan(miou) else miou,
        ap=None if isnan(ap) else ap,
    )


def _score_nets(
    run: OpenedRun,
    saved: SavedPredictions,
    image_ids: Sequence[ImageId],
    new_ids: Mapping[int, int],
    workers: int | None,
    on_image: Step,
) -> tuple[list[SemanticStats], Detections]:
    """Pixels of the semantic net per image, and the detections of the instance net, matched."""
    scorer = scorer_of(run)
    semantic: list[SemanticStats] = []

    def load(image_id: ImageId) -> tuple[PanopticPrediction, Instances, SemanticStats]:
        prediction = saved.load(run.own_ids[image_id])
        truth = scorer.load(image_id, prediction.size)
        return truth, prediction.instances, count_semantic(truth, prediction.label())

    def split(
        loaded: Iterable[tuple[PanopticPrediction, Instances, SemanticStats]],
    ) -> Iterator[tuple[PanopticPrediction, Instances]]:
        for truth, instances, stats in loaded:
            semantic.append(_choose_classes(stats, new_ids))
            yield truth, instances

    with map_threads(load, image_ids, workers, on_result=on_image) as loaded:
        detections = match_detections(split(loaded), scorer.space)
    return semantic, detections


def _choose_classes(stats: SemanticStats, new_ids: Mapping[int, int]) -> SemanticStats:
    """The pixels of chosen classes under other ids."""
    rows = [row for row, i in enumerate(stats.category_ids.tolist()) if i in new_ids]
    renamed = np.array([new_ids[i] for i in stats.category_ids[rows].tolist()], dtype=np.int32)
    columns = (stats.right, stats.true, stats.predicted)
    return SemanticStats(renamed, *(column[rows] for column in columns))
