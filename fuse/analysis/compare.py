"""Runs side by side on one ground truth, and how sure their differences are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import isnan
from typing import Any

import numpy as np

from fuse.analysis.compared_runs import (
    ComparedRun,
    find_common_classes,
    find_common_images,
    score_run,
)
from fuse.analysis.interval import Interval
from fuse.analysis.opened_run import (
    OpenedRun,
    find_changed_images,
    open_run,
    read_image_sources,
)
from fuse.analysis.published_results import PublishedResult, find_published_results
from fuse.errors import DataError
from fuse.evaluation.measured import draw_measure
from fuse.io.coco.panoptic import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.files import StrPath, to_path
from fuse.metrics.bootstrap import bootstrap_ap, bootstrap_miou, bootstrap_scores
from fuse.metrics.calibration import bootstrap_ece, count_bins
from fuse.metrics.measures import CALIBRATION, expand_measures
from fuse.metrics.pq import GROUP_SCORES, GROUPS, SCORES, PQResult, PQStats, summarize
from fuse.threads import count_steps
from fuse.types import Float64Array, LabelSpace
from fuse.types.label_space import id_to_file
from fuse.types.short_repr import ShortRepr

RESAMPLES = 10_000
AP_RESAMPLES = 1000  # each sorts out all detections anew
LEAST_IMAGES = 5  # with a class; of fewer, resamples are too alike for an interval
EDGES = (0.025, 0.975)  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """How far the PQ of one class lies from the first run's.

    Attributes:
        category_id: as in files.
        name, isthing: of the class.
        before, after: its PQ in the first run, and in this one.
        pq: the difference.
        images: in how many images the class is, in the truth or in one of the two runs.
    """

    category_id: int
    name: str
    isthing: bool
    before: float
    after: float
    pq: Interval
    images: int

    @property
    def is_sampled(self) -> bool:
        """Whether enough images have it that resampling them says how sure the difference is."""
        return self.images >= LEAST_IMAGES


@dataclass(frozen=True, slots=True)
class Difference:
    """A run held against the first one.

    Attributes:
        pq: by group (all, things, stuff) and score (pq, sq, rq); None where one of the two runs
            has none.
        miou: of the semantic nets, None where one of the runs saved no predictions.
        ap: mask AP of the instance nets, None as with mIoU; its interval is of the first
            `AP_RESAMPLES` sets of images.
        classes: those that both have, the furthest apart first.
        measures: PQ of each further measure by group, and the calibration error of things and
            stuff, of which less is better; those that were asked for.
    """

    pq: dict[str, dict[str, Interval | None]]
    miou: Interval | None
    ap: Interval | None
    classes: tuple[ClassDifference, ...]
    measures: dict[str, dict[str, Interval | None]]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        values = asdict(self)
        return values if self.measures else {k: v for k, v in values.items() if k != "measures"}


@dataclass(frozen=True, slots=True)
class ComparedImage:
    """One image, and its PQ in each run over the classes that it has there; None = none."""

    image_id: ImageId
    file_name: str
    pq: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison(ShortRepr):
    """Runs side by side.

    Attributes:
        space: the classes that all have, with the ids of the first run.
        runs: in the order given.
        differences: of each further run to the first.
        images: those that all have, in the ground truth's order.
        resamples: of the intervals.
        published: results in this label space.
    """

    space: LabelSpace
    runs: tuple[ComparedRun, ...]
    differences: tuple[Difference, ...]
    images: tuple[ComparedImage, ...]
    resamples: int
    published: tuple[PublishedResult, ...]

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
                    "miou": run.miou,
                    "ap": run.ap,
                    "mapped": run.mapped,
                    "unscored": run.unknown,
                    "changed": len(run.changed),
                    "seconds": dict(run.seconds),
                    "photos_run": run.images_run,
                    "peak_memory_mib": dict(run.peak_memory_mib),
                    **({"measures": run.measured.to_json()} if run.measured else {}),
                }
                for run in self.runs
            ],
            "differences": [difference.to_json() for difference in self.differences],
            "per_photo": [asdict(image) for image in self.images],
            "anchors": [asdict(result) for result in self.published],
        }


def compare(
    runs: Sequence[StrPath],
    gt: StrPath,
    *,
    gt_dir: StrPath | None = None,
    intersect: bool = False,
    measures: Sequence[str] = (),
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
        measures: what to compare besides PQ, of `fuse.metrics.measures.CHOICES`.
        seed: of the bootstrap.
        workers: threads, by default one per processor.
        on_progress: called with the images scored and the images in all, over all runs.

    Raises:
        DataError: runs have different images, or a file cannot be scored.
        LabelSpaceError: runs have different classes.
    """
    if len(runs) < 2:
        raise DataError("one run cannot be compared; name two or more")
    truth = read_panoptic_json(gt, gt_dir)
    wanted = expand_measures(measures)
    opened = [open_run(to_path(path), truth=truth, measures=wanted) for path in runs]
    return compare_opened(
        opened, truth, intersect=intersect, seed=seed, workers=workers, on_progress=on_progress
    )


def compare_opened(
    opened: Sequence[OpenedRun],
    truth: PanopticDataset,
    *,
    intersect: bool,
    seed: int,
    workers: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> Comparison:
    """`compare` for runs that were opened with this ground truth; one alone has no differences."""
    image_ids = find_common_images(opened, intersect=intersect)
    space = find_common_classes(opened, intersect=intersect)
    total = len(image_ids) * (len(opened) + sum(run.saved is not None for run in opened))
    step = count_steps(on_progress, total)
    scored = _note_changed(
        [
            score_run(run, image_ids, space, workers=workers, on_image=step, seed=seed)
            for run in opened
        ],
        opened,
        image_ids,
    )
    return Comparison(
        space=space,
        runs=scored,
        differences=_find_differences(scored, space, seed),
        images=tuple(
            _compare_image(image_id, truth.image_name(image_id), scored, number, space)
            for number, image_id in enumerate(image_ids)
        ),
        resamples=RESAMPLES,
        published=find_published_results(space),
    )


def _note_changed(
    scored: Sequence[ComparedRun], opened: Sequence[OpenedRun], image_ids: Sequence[ImageId]
) -> tuple[ComparedRun, ...]:
    """The runs with the images that changed between the first run and each."""
    first, *others = map(read_image_sources, opened)
    common = set(image_ids)
    noted = [scored[0]]
    for run, one, sources in zip(scored[1:], opened[1:], others, strict=True):
        changed = [i for i in find_changed_images(first, sources) if i in common]
        noted.append(replace(run, changed=tuple(map(one.dataset.image_name, changed))))
    return tuple(noted)


def _compare_image(
    image_id: ImageId, file_name: str, runs: Sequence[ComparedRun], number: int, space: LabelSpace
) -> ComparedImage:
    """PQ of one image alone, the number-th of each run."""
    scores = [summarize(run.images[number], space).all for run in runs]
    return ComparedImage(image_id, file_name, tuple(s.pq if s.n else None for s in scores))


def _find_differences(
    runs: Sequence[ComparedRun], space: LabelSpace, seed: int
) -> tuple[Difference, ...]:
    """Each further run against the first, on the same resamples."""
    draws = bootstrap_scores([run.images for run in runs], space, resamples=RESAMPLES, seed=seed)
    unknown = np.zeros(1)  # without saved predictions there are no scores of nets to compare
    miou = [
        bootstrap_miou(run.semantic, space, resamples=RESAMPLES, seed=seed)
        if run.semantic
        else unknown
        for run in runs
    ]
    ap = [
        bootstrap_ap(run.detections, run.things, resamples=AP_RESAMPLES, seed=seed)
        if run.detections
        else unknown
        for run in runs
    ]
    first = runs[0]
    return tuple(
        Difference(
            pq=_compare_groups(first.result, run.result, draws[n] - draws[0]),
            miou=_make_interval(first.miou, run.miou, miou[n] - miou[0]),
            ap=_make_interval(first.ap, run.ap, ap[n] - ap[0]),
            classes=_compare_classes(first, run, draws[n] - draws[0]),
            measures=compare_measures(first, run, space, seed),
        )
        for n, run in enumerate(runs[1:], start=1)
    )


def _compare_groups(
    first: PQResult, second: PQResult, moved: Float64Array
) -> dict[str, dict[str, Interval | None]]:
    """Intervals by group and score; moved are the draws' differences (R, 9 + K)."""
    columns = iter(moved.T)
    return {
        group: {
            score: _make_interval(
                getattr(getattr(first, group), score),
                getattr(getattr(second, group), score),
                next(columns),
            )
            for score in SCORES
        }
        for group in GROUPS
    }


def _compare_classes(
    first: ComparedRun, second: ComparedRun, moved: Float64Array
) -> tuple[ClassDifference, ...]:
    """The classes that both runs have, the furthest apart first."""
    images = Counter(
        category_id
        for pair in zip(first.images, second.images, strict=True)
        for category_id in _find_counted(pair[0]) | _find_counted(pair[1])
    )
    scored = second.result.per_category
    classes = []
    for column, (category_id, after) in enumerate(scored.items(), start=GROUP_SCORES):
        before, pq = first.result.per_category[category_id].score.pq, after.score.pq
        if interval := _make_interval(before, pq, moved[:, column]):
            classes.append(
                ClassDifference(
                    id_to_file(category_id),
                    after.name,
                    after.isthing,
                    before,
                    pq,
                    interval,
                    images[category_id],
                )
            )
    return tuple(sorted(classes, key=lambda c: -abs(c.pq.difference)))


def _find_counted(stats: PQStats) -> set[int]:
    """The categories that an image counts for."""
    return set(stats.category_ids[stats.tp + stats.fp + stats.fn > 0].tolist())


def compare_measures(
    first: ComparedRun, second: ComparedRun, space: LabelSpace, seed: int
) -> dict[str, dict[str, Interval | None]]:
    """How far the further measures lie apart, by measure and group."""
    if first.measured is None or second.measured is None:
        return {}
    found: dict[str, dict[str, Interval | None]] = {}
    for measure in first.measured.pq:
        if measure == "pq":
            continue
        draws = [draw_measure(measure, run.layers, space, seed) for run in (first, second)]
        results = [run.measured.pq[measure].result for run in (first, second) if run.measured]
        groups = _compare_groups(results[0], results[1], draws[1] - draws[0])
        found[measure] = {group: scores["pq"] for group, scores in groups.items()}
    if first.scored and second.scored:
        found[CALIBRATION] = _compare_calibration(first, second, space, seed)
    return found


def _compare_calibration(
    first: ComparedRun, second: ComparedRun, space: LabelSpace, seed: int
) -> dict[str, Interval | None]:
    """How far the calibration errors of things and of stuff lie apart."""
    found = {}
    for group, ids in (("things", space.thing_ids), ("stuff", space.stuff_ids)):
        bins = [count_bins(run.scored, ids) for run in (first, second)]
        errors = [
            getattr(run.measured.calibration, group).ece
            for run in (first, second)
            if run.measured and run.measured.calibration
        ]
        moved = np.subtract(*bootstrap_ece([bins[1], bins[0]], seed=seed))
        found[group] = _make_interval(errors[0], errors[1], moved)
    return found


def _make_interval(
    before: float | None, after: float | None, moved: Float64Array
) -> Interval | None:
    """The difference of two scores, and 95 % of the draws'; None where a score is None or NaN."""
    if before is None or after is None or isnan(before) or isnan(after):
        return None
    low, high = np.nanquantile(moved, EDGES).tolist()
    return Interval(after - before, low, high)
