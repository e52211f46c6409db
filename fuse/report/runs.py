"""The runs that a report shows, opened and held against the ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fuse.analysis.opened_run import OpenedRun, class_names, describe_difference, open_run
from fuse.errors import LabelSpaceError
from fuse.evaluation.evaluate import Evaluation
from fuse.evaluation.measured import Measured
from fuse.io.coco.panoptic import PanopticDataset
from fuse.metrics.measures import TITLES, expand_measures
from fuse.metrics.pq import GROUPS, none_if_nan


def open_runs(paths: Sequence[Path], truth: PanopticDataset | None) -> list[OpenedRun]:
    """Open runs; with ground truth only the images that it knows are kept.

    Args:
        paths: output folders of runs, or COCO panoptic JSONs.
        truth: the ground truth, if there is one; without it the other runs go by the image ids
            of the first.

    Raises:
        FuseError: see `open_run`.
        LabelSpaceError: runs that are scored have different categories.
    """
    if truth:
        measures = expand_measures(["all"])
        runs = [open_run(path, truth=truth, measures=measures) for path in paths]
        _check_classes(runs)
        return runs
    first = open_run(paths[0])
    return [first, *(open_run(path, known=first.dataset) for path in paths[1:])]


def _check_classes(runs: Sequence[OpenedRun]) -> None:
    """Raise LabelSpaceError where PQ of the runs would be over different classes."""
    first, *others = [(f"{run.path} ({run.space.name})", class_names(run.space)) for run in runs]
    for run, other in zip(runs[1:], others, strict=True):
        if lacks := describe_difference(first, other):
            raise LabelSpaceError(
                f"{runs[0].path} and {run.path} have different classes: {lacks}; "
                "leave out --gt, or fuse compare --intersect scores what they share"
            )


def describe_run(run: OpenedRun, name: str, scored: Evaluation | None) -> dict[str, Any]:
    """What the page says of a run, in plain values: of run.json, its scores and its classes."""
    settings = run.run_file.get("settings", {})
    keys = ("seconds", "peak_memory_mib", "device", "processor", "python", "packages")
    return {
        "name": name,
        "path": str(run.path),
        "pipeline": settings.get("pipeline"),
        "weights": settings.get("weights", {}),
        "label_space": run.space.name,
        "unknown": run.unknown,
        **{key: run.run_file[key] for key in keys if key in run.run_file},
        "images": run.run_file.get("photos"),
        "scores": scored.result.to_json() if scored else None,
        "measures": list_measures(scored.measured) if scored and scored.measured else [],
        "calibration": list_calibration(scored),
        "images_here": len(run.own_ids),
        "lacking": len(run.scorer.truth.annotations) - len(run.own_ids) if run.scorer else 0,
        "classes": {
            str(c.file_id): {"name": c.name, "isthing": c.isthing, "color": hex_color(c.color)}
            for c in run.space.categories
        },
    }


def list_measures(measured: Measured) -> list[dict[str, Any]]:
    """Title, PQ and interval by group of each measure, in plain values."""
    return [
        {
            "title": TITLES[name],
            "pq": {group: none_if_nan(getattr(one.result, group).pq) for group in GROUPS},
            "interval": {group: one.intervals[group]["pq"] for group in GROUPS},
        }
        for name, one in measured.pq.items()
    ]


def list_calibration(scored: Evaluation | None) -> dict[str, Any] | None:
    """Calibration of things and stuff in plain values; None where no segment has a score."""
    calibration = scored.measured.calibration if scored and scored.measured else None
    if calibration is None:
        return None
    groups = {"things": calibration.things, "stuff": calibration.stuff}
    found = {name: group.to_json() for name, group in groups.items() if group.counts.any()}
    return found or None


def hex_color(color: Iterable[int]) -> str:
    """``#rrggbb``.

    >>> hex_color((255, 0, 16))
    '#ff0010'
    """
    return "#" + "".join(f"{channel:02x}" for channel in color)


def name_apart(paths: Sequence[Path]) -> list[str]:
    """What to call runs: their last folders, or their whole paths where these are the same.

    >>> name_apart([Path("out/a"), Path("out/b")]), name_apart([Path("a/out"), Path("b/out")])
    (['a', 'b'], ['a/out', 'b/out'])
    """
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
