"""Runs side by side on one ground truth, and how sure their differences are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from fuse.analysis.compared_runs import (
    ComparedRun,
    find_common_classes,
    find_common_images,
    open_source,
    score_source,
)
from fuse.analysis.published_results import Anchor, find_anchors
from fuse.errors import DataError
from fuse.io.coco.panoptic import ImageId, read_panoptic_json
from fuse.io.files import take_text
from fuse.metrics.bootstrap import bootstrap_ap, bootstrap_miou, bootstrap_scores
from fuse.metrics.counts import GROUP_SCORES, GROUPS, SCORES
from fuse.metrics.pq import PQResult, summarize
from fuse.metrics.semantic import sum_semantic_stats, summarize_semantic
from fuse.ops.memory import keep_freed_memory
from fuse.types import Float64Array, LabelSpace

RESAMPLES = 10_000
AP_RESAMPLES = 1000  # each sorts out all detections anew
EDGES = (0.025, 0.975)  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class Interval:
    """How far a score lies from that of the first run.

    Attributes:
        difference: in -1..1; above 0 is better than the first run.
        low, high: 95 % of the differences over resampled images lie between them.
    """

    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """True where the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def to_json(self) -> dict[str, float]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """How far the PQ of one class lies from the first run's."""

    category_id: int
    name: str
    isthing: bool
    before: float
    after: float
    pq: Interval

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """A run held against the first one.

    Attributes:
        scores: by group (all, things, stuff) and score (pq, sq, rq); None where one of the two
            runs has none.
        miou: of the semantic nets, None where one of the runs kept no predictions.
        ap: mask AP of the instance nets, None as with mIoU; its interval is of the first
            `AP_RESAMPLES` sets of images.
        classes: those that both have, the furthest apart first.
    """

    scores: dict[str, dict[str, Interval | None]]
    miou: Interval | None
    ap: Interval | None
    classes: tuple[ClassDifference, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "pq": {
                group: {key: i.to_json() if i else None for key, i in scores.items()}
                for group, scores in self.scores.items()
            },
            "miou": self.miou.to_json() if self.miou else None,
            "ap": self.ap.to_json() if self.ap else None,
            "classes": [c.to_json() for c in self.classes],
        }


@dataclass(frozen=True, slots=True)
class ComparedImage:
    """One image, and its PQ in each run over the classes that it has there; None = none."""

    image_id: ImageId
    file_name: str
    pq: tuple[float | None, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"image_id": self.image_id, "file_name": self.file_name, "pq": list(self.pq)}


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Runs side by side.

    Attributes:
        space: the classes that all have, with the ids of the first run.
        runs: in the order given.
        miou: of each run's semantic net, None without kept predictions.
        differences: of each further run to the first.
        images: those that all have, in the ground truth's order.
        resamples: of the intervals.
        anchors: what was published in this label space.
    """

    space: LabelSpace
    runs: tuple[ComparedRun, ...]
    miou: tuple[float | None, ...]
    differences: tuple[Difference, ...]
    images: tuple[ComparedImage, ...]
    resamples: int
    anchors: tuple[Anchor, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values, fractions in 0..1, None where nothing was scored."""
        return {
            "label_space": self.space.name,
            "images": len(self.images),
            "resamples": self.resamples,
            "runs": [
                {
                    "name": run.name,
                    **run.result.to_json(),
                    "miou": miou,
                    "ap": run.ap,
                    "mapped": run.mapped,
                    "unscored": run.unknown,
                    "seconds": dict(run.seconds),
                    "photos_run": run.images_run,
                    "peak_memory_mib": dict(run.peak_memory_mib),
                }
                for run, miou in zip(self.runs, self.miou, strict=True)
            ],
            "differences": [difference.to_json() for difference in self.differences],
            "per_photo": [image.to_json() for image in self.images],
            "anchors": [anchor.to_json() for anchor in self.anchors],
        }


@take_text
def compare(
    runs: Sequence[Path],
    gt: Path,
    *,
    gt_dir: Path | None = None,
    intersect: bool = False,
    seed: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Score runs on one ground truth and hold each against the first.

    Intervals are a paired bootstrap: all runs are scored on the same sets of images, drawn
    with replacement, and the differences of each set are ranked (Efron 1979).

    Args:
        runs: output folders of runs, or COCO panoptic JSONs; at least two.
        gt: COCO panoptic JSON.
        gt_dir: its PNGs, where they are not in the folder of its name.
        intersect: where runs have different images or classes, go on with the common ones.
        seed: of the bootstrap.
        workers: threads, by default one per processor.
        on_progress: called with the images scored and the images in all, over all runs.

    Raises:
        DataError: runs have different images, or a file cannot be scored.
        LabelSpaceError: runs have different classes.
    """
    keep_freed_memory()
    if len(runs) < 2:
        raise DataError("one run cannot be compared; name two or more")
    truth = read_panoptic_json(gt, gt_dir)
    sources = [open_source(path, truth) for path in runs]
    image_ids = find_common_images(sources, intersect=intersect)
    space = find_common_classes(sources, intersect=intersect)
    total = len(image_ids) * (len(sources) + sum(source.kept is not None for source in sources))
    done = 0

    def on_image() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, total)

    scored = tuple(
        score_source(source, image_ids, space, workers=workers, on_image=on_image)
        for source in sources
    )
    names = [truth.image_name(image_id) for image_id in image_ids]
    return Comparison(
        space=space,
        runs=scored,
        miou=tuple(_miou(run, space) for run in scored),
        differences=_differences(scored, space, seed),
        images=_compare_images(scored, list(zip(image_ids, names, strict=True)), space),
        resamples=RESAMPLES,
        anchors=find_anchors(space),
    )


def _miou(run: ComparedRun, space: LabelSpace) -> float | None:
    """Mean IoU of a run's semantic net."""
    if not run.semantic:
        return None
    miou = summarize_semantic(sum_semantic_stats(run.semantic), space).miou
    return None if isnan(miou) else miou


def _differences(
    runs: Sequence[ComparedRun], space: LabelSpace, seed: int
) -> tuple[Difference, ...]:
    """Each further run against the first."""
    draws = bootstrap_scores([run.images for run in runs], space, resamples=RESAMPLES, seed=seed)
    miou_draws = [
        bootstrap_miou(run.semantic, space, resamples=RESAMPLES, seed=seed)
        if run.semantic
        else None
        for run in runs
    ]
    ap_draws = [
        bootstrap_ap(run.detections, run.things, resamples=AP_RESAMPLES, seed=seed)
        if run.detections
        else None
        for run in runs
    ]
    first = runs[0]
    return tuple(
        Difference(
            scores=_score_intervals(first.result, run.result, draws[number] - draws[0]),
            miou=_net_interval(
                _miou(first, space), _miou(run, space), miou_draws[0], miou_draws[number]
            ),
            ap=_net_interval(first.ap, run.ap, ap_draws[0], ap_draws[number]),
            classes=_class_intervals(first.result, run.result, draws[number] - draws[0]),
        )
        for number, run in enumerate(runs[1:], start=1)
    )


def _score_intervals(
    first: PQResult, second: PQResult, moved: Float64Array
) -> dict[str, dict[str, Interval | None]]:
    """Intervals by group and score; moved are the draws' differences (R, 9 + K)."""
    columns = iter(range(len(GROUPS) * len(SCORES)))
    return {
        group: {
            score: _interval(
                getattr(getattr(first, group), score),
                getattr(getattr(second, group), score),
                moved[:, next(columns)],
            )
            for score in SCORES
        }
        for group in GROUPS
    }


def _class_intervals(
    first: PQResult, second: PQResult, moved: Float64Array
) -> tuple[ClassDifference, ...]:
    """The classes that both runs have, the furthest apart first."""
    classes = []
    for column, (category_id, after) in enumerate(second.per_category.items(), start=GROUP_SCORES):
        before = first.per_category[category_id].score.pq
        interval = _interval(before, after.score.pq, moved[:, column])
        if interval:
            name, isthing = after.name, after.isthing
            classes.append(
                ClassDifference(category_id, name, isthing, before, after.score.pq, interval)
            )
    return tuple(sorted(classes, key=lambda c: -abs(c.pq.difference)))


def _net_interval(
    before: float | None,
    after: float | None,
    draws_before: Float64Array | None,
    draws_after: Float64Array | None,
) -> Interval | None:
    """The difference of two nets; None where one of the runs kept no predictions."""
    if before is None or after is None or draws_before is None or draws_after is None:
        return None
    return _interval(before, after, draws_after - draws_before)


def _interval(before: float, after: float, moved: Float64Array) -> Interval | None:
    """The difference of two scores, and 95 % of the draws'; None where a score is NaN."""
    if isnan(before) or isnan(after):
        return None
    low, high = np.nanquantile(moved, EDGES).tolist()
    return Interval(after - before, low, high)


def _compare_images(
    runs: Sequence[ComparedRun], images: Sequence[tuple[ImageId, str]], space: LabelSpace
) -> tuple[ComparedImage, ...]:
    """PQ of each image alone."""
    compared = []
    for number, (image_id, file_name) in enumerate(images):
        scores = [summarize(run.images[number], space).all for run in runs]
        pq = tuple(score.pq if score.n else None for score in scores)
        compared.append(ComparedImage(image_id, file_name, pq))
    return tuple(compared)
