"""Runs made comparable: the same images, the same classes, each scored on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fuse.analysis.opened_run import Key, OpenedRun, class_names, describe_difference
from fuse.errors import DataError, FuseError, LabelSpaceError
from fuse.evaluation.evaluate import summarize_images
from fuse.evaluation.image_scores import ImageScores
from fuse.evaluation.measured import Measured, measure_images
from fuse.evaluation.scorer import TruthScorer
from fuse.io.coco.panoptic import ImageId
from fuse.metrics.instances import Detections, match_detections, mean_ap
from fuse.metrics.measures import ScoredSegments, choose_categories
from fuse.metrics.pq import PQResult, PQStats, none_if_nan, rename_categories, sum_stats, summarize
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
        changed: names of common images that were other files when the first run read them.
        seconds: by stage, added up over threads, ``total`` is wall-clock; empty where unknown.
        images_run: how many images these were spent on; a run that went on counts its last call.
        peak_memory_mib: of the process and of the device; empty where unknown.
        semantic: pixels per common class and image; empty without saved predictions.
        detections: of its instance net, matched; None without saved predictions.
        things: category ids of the common things in them.
        miou: of the semantic net; None without saved predictions or classes.
        miou_classes: over how many classes that is, in words; empty where there is no net.
        ap: mask AP over the common things; None without saved predictions or things.
        layers: further counts of each common image, of the measures that were asked for.
        scored: segments by score of each common image, where calibration was asked for.
        measured: the measures over all images; None where none was asked for.
    """

    name: str
    result: PQResult
    images: tuple[PQStats, ...]
    mapped: str | None
    unknown: int
    changed: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    images_run: int = 0
    peak_memory_mib: Mapping[str, int | None] = field(default_factory=dict)
    semantic: tuple[SemanticStats, ...] = ()
    detections: Detections | None = None
    things: tuple[int, ...] = ()
    miou: float | None = None
    miou_classes: str = ""
    ap: float | None = None
    layers: Mapping[str, Sequence[PQStats]] = field(default_factory=dict)
    scored: tuple[ScoredSegments, ...] = ()
    measured: Measured | None = None


def find_common_images(runs: Sequence[OpenedRun], *, intersect: bool) -> list[ImageId]:
    """The ground truth's image ids that all runs have, in its order.

    Raises:
        DataError: the runs have different images and `intersect` is False, or no image is
            common to all.
    """
    names = [(str(run.path), {i: run.dataset.image_name(i) for i in run.own_ids}) for run in runs]
    common = set(_find_common(names, "images", DataError, intersect=intersect))
    return [i for i in scorer_of(runs[0]).truth.annotations if i in common]


def find_common_classes(runs: Sequence[OpenedRun], *, intersect: bool) -> LabelSpace:
    """The classes that all runs have by name and kind, with the ids of the first run.

    Raises:
        LabelSpaceError: the runs have different classes and `intersect` is False, or no class
            is common to all.
    """
    spaces = [scorer_of(run).space for run in runs]
    names = [
        (f"{run.path} ({space.name})", class_names(space))
        for run, space in zip(runs, spaces, strict=True)
    ]
    common = set(_find_common(names, "classes", LabelSpaceError, intersect=intersect))
    first = spaces[0]
    categories = tuple(c for c in first.categories if (c.name, c.isthing) in common)
    whole = categories == first.categories
    return first if whole else LabelSpace(f"part of {first.name}", categories)


def _find_common(
    runs: Sequence[tuple[str, Mapping[Key, str]]],
    what: str,
    error: type[FuseError],
    *,
    intersect: bool,
) -> list[Key]:
    """The keys that all runs have, each given as for `describe_difference`."""
    common = [key for key in runs[0][1] if all(key in names for _, names in runs)]
    if not common:
        raise error(f"no {what} are in all of the runs: {', '.join(run for run, _ in runs)}")
    for other in runs[1:]:
        lacks = describe_difference(runs[0], other)
        if lacks and not intersect:
            raise error(
                f"{runs[0][0]} and {other[0]} have different {what}: {lacks}; "
                f"--intersect goes on with the {len(common)} common ones"
            )
    return common


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
    seed: int = 0,
) -> ComparedRun:
    """Score a run on the common images and classes, its nets too where predictions were saved.

    After each image `on_image` is called, and again after each image of the nets.

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
    ids = {(c.name, c.isthing): c.category_id for c in scorer.space.categories}
    new_ids = {ids[c.name, c.isthing]: c.category_id for c in space.categories}
    compared = _describe_run(run, images, space, new_ids, seed)
    if run.saved is None:
        return compared
    semantic, detections = _score_nets(run, run.saved, image_ids, new_ids, workers, on_image)
    things = tuple(i for i in scorer.space.thing_ids if i in new_ids)
    summed = summarize_semantic(sum_semantic_stats(semantic), space)
    known = frozenset(new_ids[i] for i in run.saved.find_semantic_ids() if i in new_ids)
    ap = mean_ap(detections, things)
    return replace(
        compared,
        semantic=tuple(semantic),
        detections=detections,
        things=things,
        miou=none_if_nan(summed.miou),
        miou_classes=summed.describe_classes(known),
        ap=none_if_nan(ap),
    )


def _describe_run(
    run: OpenedRun, images: ImageScores, space: LabelSpace, new_ids: Mapping[int, int], seed: int
) -> ComparedRun:
    """A run's scores over the common classes, and what its run.json says."""
    stats = tuple(rename_categories(one, new_ids) for one in images.stats)
    layers = {
        layer: tuple(rename_categories(one, new_ids) for one in of_images)
        for layer, of_images in images.layers.items()
    }
    scored = tuple(choose_categories(one, new_ids) for one in images.scored)
    images_run = run.run_file.get("photos", {}).get("tried", 0)
    return ComparedRun(
        name=str(run.path),
        result=summarize(sum_stats(stats), space),
        images=stats,
        mapped=scorer_of(run).mapped,
        unknown=run.unknown,
        seconds=dict(run.run_file.get("seconds", {})) if images_run else {},
        images_run=images_run,
        peak_memory_mib=dict(run.run_file.get("peak_memory_mib", {})),
        layers=layers,
        scored=scored,
        measured=measure_images(stats, layers, scored, space, seed=seed),
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
