"""Baselines side by side: pipelines and earlier runs on one ground truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from fuse.analysis.compare import Comparison, compare_opened
from fuse.analysis.opened_run import OpenedRun, class_names, describe_difference, open_run
from fuse.analysis.profile import ProfileRow
from fuse.baselines.baseline import COST_DIR, RUN_DIR, Baseline, Job, make_baseline
from fuse.baselines.tables import write_tables
from fuse.errors import ConfigError, FuseError, LabelSpaceError
from fuse.inference.presets import read_pipeline
from fuse.io.coco.panoptic import PanopticDataset, read_panoptic_json
from fuse.io.files import StrPath, check_links, to_path, write_whole
from fuse.io.image_list import ImageList
from fuse.models.weights.fetching import Progress as FetchProgress
from fuse.report.build import report
from fuse.runs.run import Progress
from fuse.types.short_repr import ShortRepr

JSON_FILE, REPORT_FILE = "baselines.json", "report.html"
WAY_TO_COMMON = (
    "; a preset with another label_space, or a map of your own (fuse labels draft), is the way to "
    "common ones"
)
Opener = Callable[[str], AbstractContextManager[Progress | None]]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Baselines(ShortRepr):
    """Baselines side by side.

    Attributes:
        out: the folder with the runs, the tables and the report.
        baselines: in the order given, pipelines first; those that failed too.
        comparison: of those that did not, in this order; None where there are none, or where
            they share no image or no class.
        notes: what the figures are of, and what was left out of them.
        report: the page; None where there is nothing to show.
    """

    out: Path
    baselines: tuple[Baseline, ...]
    comparison: Comparison | None
    notes: tuple[str, ...]
    report: Path | None

    @property
    def profile(self) -> list[ProfileRow]:
        """What each net and each pipeline costs; times of pipelines compare with the first one."""
        rows = [
            replace(row, pipeline=baseline.name)
            for baseline in self.baselines
            for row in baseline.costs.profile
        ]
        first = next((row.seconds for row in rows if row.part == "total"), 0.0)
        return [replace(r, ratio=r.seconds / first) if r.part == "total" else r for r in rows]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "baselines": [baseline.to_json() for baseline in self.baselines],
            "comparison": self.comparison.to_json() if self.comparison else None,
            "notes": list(self.notes),
        }


def baselines(
    images: Sequence[StrPath] | StrPath = (),
    *,
    gt: StrPath,
    out: StrPath,
    image_list: ImageList | None = None,
    pipelines: Sequence[StrPath] = (),
    runs: Sequence[StrPath] = (),
    gt_dir: StrPath | None = None,
    device: str = "auto",
    measures: bool = True,
    seed: int = 0,
    workers: int | None = None,
    allow_plugins: bool = False,
    weights_dir: StrPath | None = None,
    on_fetch: FetchProgress | None = None,
    open_progress: Opener = lambda _stage: nullcontext(),
    should_stop: Callable[[], bool] = lambda: False,
) -> Baselines:
    """Run pipelines where they are not yet, and hold them and earlier runs against each other.

    The folder gets a run per pipeline, baselines.json, .csv, .md and .tex, and report.html. The
    same call goes on where an earlier one was cut off, and does nothing twice.

    Args:
        images: what the pipelines are run over, see `fuse.run`.
        gt: COCO panoptic JSON.
        out: the folder.
        image_list: images by name, see `fuse.run`.
        pipelines: names or files of presets.
        runs: runs made elsewhere, with kept predictions or without, or COCO panoptic JSONs.
        gt_dir: PNGs of the ground truth, where they are not in the folder of its name.
        device: ``auto``, ``cpu``, ``cuda:0``, ...
        measures: whether the nets are profiled.
        seed: of the bootstrap.
        workers: threads that score, by default one per processor.
        allow_plugins, weights_dir, on_fetch, should_stop: see `fuse.run`.
        open_progress: makes a context of words for a stage, which gives what `on_progress` of
            `fuse.run` is.

    Raises:
        RunStoppedError: should_stop said so.
        FuseError: there is nothing to do, or the ground truth is wrong.
    """
    given = [str(i) for i in ([images] if isinstance(images, str | Path) else images)]
    if not pipelines and not runs:
        raise ConfigError("no baselines: name pipelines, or runs made elsewhere")
    if pipelines and not (given or image_list):
        raise ConfigError("pipelines are run over images; give images")
    folder = Path(out)
    truth = read_panoptic_json(gt, gt_dir)  # wrong before the work, not after it
    named = _name(pipelines, runs, folder)
    folder.mkdir(parents=True, exist_ok=True)
    check_links(folder, folder / COST_DIR, *(one.path for one in named if one.pipeline))
    job = Job(
        given,
        folder,
        device,
        allow_plugins,
        to_path(weights_dir),
        measures,
        on_fetch,
        open_progress,
        should_stop,
        image_list,
    )
    named = [_check_pipeline(one, open_progress) for one in named]
    made = [make_baseline(one, job) if one.pipeline and not one.error else one for one in named]
    made, opened = _open(made, truth)
    comparison, notes = _compare(made, opened, truth, seed, workers, open_progress)
    page = (
        _report(opened, gt, gt_dir, folder, notes, workers, open_progress) if comparison else None
    )
    result = Baselines(folder, tuple(made), comparison, tuple(notes), page)
    write_whole(folder / JSON_FILE, json.dumps(result.to_json(), indent=1).encode())
    write_tables(folder, result.baselines, comparison, Path(gt).name)
    return result


def _name(pipelines: Sequence[StrPath], runs: Sequence[StrPath], out: Path) -> list[Baseline]:
    """Baselines by the names of presets and folders; equal ones get a number."""
    taken: set[str] = set()

    def choose(path: Path) -> str:
        stem = path.stem if path.suffix in (".toml", ".json") else path.resolve().name
        numbered = (f"{stem}-{number}" for number in count(2))
        name = next(name for name in chain([stem], numbered) if name not in taken)
        taken.add(name)
        return name

    own = [(choose(Path(pipeline)), str(pipeline)) for pipeline in pipelines]
    return [
        *(Baseline(name, out / RUN_DIR / name, pipeline) for name, pipeline in own),
        *(Baseline(choose(Path(path)), Path(path)) for path in runs),
    ]


def _check_pipeline(baseline: Baseline, open_progress: Opener) -> Baseline:
    """The baseline, failed and said so before any work where its pipeline cannot be read."""
    if baseline.pipeline is None:
        return baseline
    try:
        read_pipeline(baseline.pipeline)
    except FuseError as err:
        with open_progress(f"failed: {baseline.name}: {err}"):
            return replace(baseline, error=str(err))
    return baseline


def _open(
    made: Iterable[Baseline], truth: PanopticDataset
) -> tuple[list[Baseline], dict[str, OpenedRun]]:
    """The runs by name; one that the ground truth cannot score has failed."""
    checked: list[Baseline] = []
    opened: dict[str, OpenedRun] = {}
    for one in made:
        baseline = one
        if not one.error:
            try:
                opened[one.name] = open_run(one.path, truth=truth)
            except FuseError as err:
                baseline = replace(one, error=str(err))
        checked.append(baseline)
    return checked, opened


def _compare(
    made: Sequence[Baseline],
    opened: Mapping[str, OpenedRun],
    truth: PanopticDataset,
    seed: int,
    workers: int | None,
    open_progress: Opener,
) -> tuple[Comparison | None, list[str]]:
    """The runs on what all of them have, and what that is."""
    if not opened:
        return None, []
    with open_progress("scoring") as step:
        on_progress = (lambda _done, total: step(total, 0)) if step else None
        try:
            comparison = compare_opened(
                list(opened.values()),
                truth,
                intersect=True,
                seed=seed,
                workers=workers,
                on_progress=on_progress,
            )
        except FuseError as err:
            way = WAY_TO_COMMON if isinstance(err, LabelSpaceError) else ""
            return None, [f"not compared: {err}{way}"]
    return comparison, [
        *_describe_images(made, opened, len(comparison.images)),
        *_describe_spaces(opened, comparison),
    ]


def _describe_images(
    made: Sequence[Baseline], opened: Mapping[str, OpenedRun], scored: int
) -> list[str]:
    """How many images were scored, and why not all."""
    notes = []
    for baseline in made:
        run = opened.get(baseline.name)
        if run and (run.unknown or len(run.own_ids) > scored):
            total = len(run.own_ids) + run.unknown
            lacks = f", {run.unknown} that the ground truth lacks" if run.unknown else ""
            others = len(run.own_ids) - scored
            rest = f", {others} that other baselines lack" if others else ""
            notes.append(f"{baseline.name}: {scored} of {total} images are scored{lacks}{rest}")
        if baseline.failed:
            notes.append(f"{baseline.name}: {baseline.failed} images failed")
        notes += [f"{baseline.name}: {note}" for note in baseline.notes]
    return notes


def _describe_spaces(opened: Mapping[str, OpenedRun], comparison: Comparison) -> list[str]:
    """Which classes were scored, where the baselines have different ones."""
    (first, run), *others = opened.items()
    known = class_names(run.space)
    return [
        f"{first} ({run.space.name}) and {name} ({other.space.name}) have different classes: "
        f"{lacks}; scored are the {len(comparison.space.categories)} that all have"
        for name, other in others
        if (lacks := describe_difference((first, known), (name, class_names(other.space))))
    ]


def _report(
    opened: Mapping[str, OpenedRun],
    gt: StrPath,
    gt_dir: StrPath | None,
    out: Path,
    notes: list[str],
    workers: int | None,
    open_progress: Opener,
) -> Path | None:
    """The page of all runs, without scores where their classes differ.

    Why there are none, or no page, is added to the notes.
    """
    spaces = [class_names(run.space) for run in opened.values()]
    is_scored = all(space == spaces[0] for space in spaces)
    unscored = None
    if not is_scored:
        unscored = "the report shows no scores, as the baselines have different classes"
        notes.append(unscored)
    with open_progress("drawing the report") as step:
        try:
            return report(
                *(run.path for run in opened.values()),
                gt=gt if is_scored else None,
                gt_dir=gt_dir if is_scored else None,
                unscored=unscored,
                out=out / REPORT_FILE,
                workers=workers,
                on_progress=(lambda _done, total: step(total, 0)) if step else None,
            ).path
        except FuseError as err:
            notes.append(f"no report: {err}")
            return None
