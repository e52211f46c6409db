"""Runs made comparable: the same images, the same classes, each scored on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from fuse.errors import DataError, LabelSpaceError
from fuse.evaluation.evaluate import TruthScorer
from fuse.evaluation.image_scores import ImageScores
from fuse.io.coco.pairing import match_images, renumber
from fuse.io.coco.panoptic import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.run_files import RUN_FILE
from fuse.labels import find_truth_map
from fuse.metrics.detections import Detections, match_detections, mean_ap
from fuse.metrics.pq import PQResult, PQStats, rename_categories, sum_stats, summarize
from fuse.metrics.semantic import SemanticStats, count_semantic
from fuse.runs.folder import read_run_file
from fuse.runs.records import PREDICTION_DIR
from fuse.runs.saved_predictions import SavedPredictions, open_saved_predictions
from fuse.threads import map_threads
from fuse.types import Instances, LabelSpace, PanopticPrediction

NAMED = 5  # images or classes that a message names


@dataclass(frozen=True, slots=True, eq=False)
class ComparedRun:
    """One run, scored on the images and classes that all runs have.

    Attributes:
        name: as the caller named it.
        result: PQ over the common classes.
        images: the counts of each common image, one order for all runs.
        mapped: how the ground truth was carried into its label space, None where it was not.
        unknown: how many of its images the ground truth lacks.
        semantic: pixels per common class and image; empty without kept predictions.
        ap: mask AP over the common things; None without kept predictions or things.
        detections: of its instance net, matched; None without kept predictions.
        things: category ids of the common things in them.
        seconds: by stage, added up over threads, ``total`` is wall-clock; empty where unknown.
        images_run: how many images these were spent on; a run that went on counts its last call.
        peak_memory_mib: of the process and of the device; empty where unknown.
    """

    name: str
    result: PQResult
    images: tuple[PQStats, ...]
    mapped: str | None
    unknown: int
    semantic: tuple[SemanticStats, ...] = ()
    ap: float | None = None
    detections: Detections | None = None
    things: tuple[int, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    images_run: int = 0
    peak_memory_mib: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class RunSource:
    """A run as it was opened, before it is clear what it shares with the others.

    Attributes:
        name: as the caller named it.
        dataset: its maps, by the ground truth's image ids.
        own_ids: its own image_id by the ground truth's.
        unknown: how many of its images the ground truth lacks.
        scorer: ground truth in its label space.
        run_file: what run.json says, empty where there is none.
        kept: its kept predictions, None where there are none.
    """

    name: str
    dataset: PanopticDataset
    own_ids: Mapping[ImageId, ImageId]
    unknown: int
    scorer: TruthScorer
    run_file: Mapping[str, Any]
    kept: SavedPredictions | None

    def class_names(self) -> dict[tuple[str, bool], int]:
        """category_id by name and kind, in the order of the label space."""
        return {(c.name, c.isthing): c.category_id for c in self.scorer.space.categories}


def open_source(path: Path, truth: PanopticDataset) -> RunSource:
    """Open a run or a prediction JSON and find its images in the ground truth.

    Raises:
        CocoFormatError: a file is missing or damaged.
        DataError: two images are the same one of the ground truth, or it knows none.
        LabelSpaceError: the categories differ from the ground truth's and no map ships.
    """
    dataset = read_panoptic_json(path, default_space=truth.space)
    own_ids = match_images(dataset, truth)
    if not own_ids:
        raise DataError(f"{truth.path} knows no image of {path}")
    run_file = find_run_file(path)
    has_kept = "photos" in run_file and (path / PREDICTION_DIR).is_dir()
    return RunSource(
        name=str(path),
        dataset=renumber(dataset, own_ids),
        own_ids=own_ids,
        unknown=len(dataset.annotations) - len(own_ids),
        scorer=TruthScorer(truth, find_truth_map(truth.space, dataset.space)),
        run_file=run_file,
        kept=open_saved_predictions(path) if has_kept else None,
    )


def find_run_file(path: Path) -> Mapping[str, Any]:
    """What run.json says of a run; nothing for a JSON alone, or a folder of `fuse combine`.

    Raises:
        CocoFormatError: it is damaged.
    """
    return read_run_file(path) if (path / RUN_FILE).is_file() else {}


def find_common_images(sources: Sequence[RunSource], *, intersect: bool) -> list[ImageId]:
    """The ground truth's image ids that all runs have, in its order.

    Raises:
        DataError: the runs have different images and `intersect` is False, or no image is
            common to all.
    """
    first = sources[0]
    every = set.intersection(*(set(source.own_ids) for source in sources))
    common = [i for i in first.scorer.truth.annotations if i in every]
    if not common:
        raise DataError("no image is in all of the runs: " + ", ".join(s.name for s in sources))
    for other in sources[1:]:
        lacks = [_count_named(source, other_ids) for source, other_ids in _lacking(first, other)]
        if lacks and not intersect:
            raise DataError(
                f"{first.name} and {other.name} are of different images: {'; '.join(lacks)}; "
                f"--intersect goes on with the {len(common)} common ones"
            )
    return common


def _lacking(a: RunSource, b: RunSource) -> Iterator[tuple[RunSource, list[ImageId]]]:
    """Of two runs the images that only one has."""
    for source, other in ((a, b), (b, a)):
        if only := [i for i in source.own_ids if i not in other.own_ids]:
            yield source, only


def _count_named(source: RunSource, image_ids: Sequence[ImageId]) -> str:
    names = [source.dataset.image_name(image_id) for image_id in image_ids]
    return f"only {source.name} has {_name_some(names)}"


def _name_some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def name_different_classes(first: tuple[str, LabelSpace], second: tuple[str, LabelSpace]) -> str:
    """The classes, by name and kind, that only one of two named spaces has; empty without any."""
    lacks = []
    for (name, space), (_, other) in ((first, second), (second, first)):
        known = {(c.name, c.isthing) for c in other.categories}
        if only := [c.name for c in space.categories if (c.name, c.isthing) not in known]:
            lacks.append(f"only {name} ({space.name}) has {_name_some(only)}")
    return "; ".join(lacks)


def find_common_classes(sources: Sequence[RunSource], *, intersect: bool) -> LabelSpace:
    """The classes that all runs have by name and kind, with the ids of the first run.

    Raises:
        LabelSpaceError: the runs have different classes and `intersect` is False, or no class
            is common to all.
    """
    names = [source.class_names() for source in sources]
    common = [key for key in names[0] if all(key in other for other in names)]
    first = sources[0]
    for source in sources[1:]:
        lacks = name_different_classes(
            (first.name, first.scorer.space), (source.name, source.scorer.space)
        )
        if lacks and not intersect:
            raise LabelSpaceError(
                f"{first.name} and {source.name} have different classes: {lacks}; "
                f"--intersect goes on with the {len(common)} common ones"
            )
    if not common:
        raise LabelSpaceError(
            "no class is in all of the runs: " + ", ".join(s.name for s in sources)
        )
    space = sources[0].scorer.space
    kept = tuple(c for c in space.categories if (c.name, c.isthing) in common)
    return space if kept == space.categories else LabelSpace(f"part of {space.name}", kept)


def score_source(
    source: RunSource,
    image_ids: Sequence[ImageId],
    space: LabelSpace,
    *,
    workers: int | None,
    on_image: Callable[[], None],
) -> ComparedRun:
    """Score a run on chosen images and classes, its nets too where it kept their predictions.

    Args:
        source: the run.
        image_ids: the ground truth's.
        space: the common classes (`find_common_classes`).
        workers: threads, by default one per processor.
        on_image: called after each image.

    Raises:
        DataError: a file cannot be scored.
    """
    images = ImageScores()
    score = source.scorer.score_file
    with map_threads(lambda i: score(i, source.dataset), image_ids, workers) as scored:
        for image in scored:
            images.append(image)
            on_image()
    source.scorer.evaluation(images)  # raises where an image could not be scored
    own = source.class_names()
    new_ids = {own[c.name, c.isthing]: c.category_id for c in space.categories}
    stats = tuple(rename_categories(image.stats, new_ids) for image in images)
    images_run = source.run_file.get("photos", {}).get("tried", 0)
    run = ComparedRun(
        name=source.name,
        result=summarize(sum_stats(stats), space),
        images=stats,
        mapped=source.scorer.mapped,
        unknown=source.unknown,
        seconds=dict(source.run_file.get("seconds", {})) if images_run else {},
        images_run=images_run,
        peak_memory_mib=dict(source.run_file.get("peak_memory_mib", {})),
    )
    if source.kept is None:
        return run
    semantic, detections, things = _score_nets(
        source, source.kept, image_ids, new_ids, workers, on_image
    )
    ap = mean_ap(detections, things)
    return replace(
        run,
        semantic=semantic,
        ap=None if isnan(ap) else ap,
        detections=detections,
        things=things,
    )


def _score_nets(
    source: RunSource,
    kept: SavedPredictions,
    image_ids: Sequence[ImageId],
    new_ids: Mapping[int, int],
    workers: int | None,
    on_image: Callable[[], None],
) -> tuple[tuple[SemanticStats, ...], Detections, tuple[int, ...]]:
    """Pixels of the semantic net per image, its instances' matches, and the things in common."""
    semantic: list[SemanticStats] = []

    def load(image_id: ImageId) -> tuple[PanopticPrediction, Instances, SemanticStats]:
        image = kept.load(source.own_ids[image_id])
        truth = source.scorer.load(image_id, image.size)
        return truth, image.instances, count_semantic(truth, image.label())

    def pairs(
        loaded: Iterable[tuple[PanopticPrediction, Instances, SemanticStats]],
    ) -> Iterator[tuple[PanopticPrediction, Instances]]:
        for truth, instances, stats in loaded:
            semantic.append(_choose_classes(stats, new_ids))
            on_image()
            yield truth, instances

    with map_threads(load, image_ids, workers) as loaded:
        detections = match_detections(pairs(loaded), source.scorer.space)
    common = tuple(i for i in source.scorer.space.thing_ids if i in new_ids)
    return tuple(semantic), detections, common


def _choose_classes(stats: SemanticStats, new_ids: Mapping[int, int]) -> SemanticStats:
    """The pixels of chosen classes under other ids."""
    rows = [row for row, i in enumerate(stats.category_ids.tolist()) if i in new_ids]
    renamed = np.array([new_ids[i] for i in stats.category_ids[rows].tolist()], dtype=np.int32)
    columns = (stats.right, stats.true, stats.predicted)
    return SemanticStats(renamed, *(column[rows] for column in columns))
