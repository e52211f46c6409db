"""The one or two runs that a report shows, opened and held against the ground truth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from fuse.analysis.compared_runs import match_photos, open_source, read_run_file
from fuse.errors import DataError
from fuse.io.coco import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.images import list_images
from fuse.kept_run import KeptRun, read_kept_run
from fuse.records import PREDICTION_DIR
from fuse.scoring import TruthScorer
from fuse.types import LabelSpace


@dataclass(frozen=True, slots=True, eq=False)
class ShownRun:
    """A run as a report shows it.

    Attributes:
        path: its output folder, or a COCO panoptic JSON.
        dataset: its maps by the image ids of the report: the ground truth's, or without one
            those of the first run.
        own_ids: its own image_id by that of the report.
        scorer: ground truth in its label space, None where none was given.
        run_file: what its run.json says, empty where there is none.
        kept: its kept predictions, None where there are none.
        unknown: how many of its photos the ground truth, or the first run, lacks.
    """

    path: Path
    dataset: PanopticDataset
    own_ids: Mapping[ImageId, ImageId]
    scorer: TruthScorer | None
    run_file: Mapping[str, Any]
    kept: KeptRun | None
    unknown: int

    @property
    def space(self) -> LabelSpace:
        """Its categories."""
        return self.dataset.space


def open_runs(paths: Sequence[Path], truth: PanopticDataset | None) -> list[ShownRun]:
    """Open runs; with ground truth only the photos that it knows are kept.

    Args:
        paths: output folders of runs, or COCO panoptic JSONs.
        truth: the ground truth, if there is one.

    Raises:
        CocoFormatError: a file is missing or damaged.
        DataError: the ground truth, or the first run, knows no photo of a run.
        LabelSpaceError: the categories differ from the ground truth's and no map ships.
    """
    if truth:
        return [_open_scored(path, truth) for path in paths]
    first = _open_plain(paths[0], None)
    return [first, *(_open_plain(path, first.dataset) for path in paths[1:])]


def _open_scored(path: Path, truth: PanopticDataset) -> ShownRun:
    source = open_source(path, truth)
    return ShownRun(
        path=path,
        dataset=source.dataset,
        own_ids=source.own_ids,
        scorer=source.scorer,
        run_file=source.run_file,
        kept=source.kept,
        unknown=source.unknown,
    )


def _open_plain(path: Path, known: PanopticDataset | None) -> ShownRun:
    """A run without ground truth; its photos go by the image ids of `known`."""
    dataset = read_panoptic_json(path, default_space=known.space if known else None)
    own_ids = match_photos(dataset, known or dataset)
    if not own_ids:
        raise DataError(f"{path} has no photo of {known.path if known else path}")
    run_file = read_run_file(path)
    has_kept = "photos" in run_file and (path / PREDICTION_DIR).is_dir()
    return ShownRun(
        path=path,
        dataset=replace(
            dataset,
            images={i: dataset.images[own] for i, own in own_ids.items() if own in dataset.images},
            annotations={i: dataset.annotations[own] for i, own in own_ids.items()},
        ),
        own_ids=own_ids,
        scorer=None,
        run_file=run_file,
        kept=read_kept_run(path) if has_kept else None,
        unknown=len(dataset.annotations) - len(own_ids),
    )


def find_photos(
    names: Iterable[str], run_files: Iterable[Mapping[str, Any]], images: Path | None
) -> dict[str, Path]:
    """Where the photos of a run lie; those that are not found have no entry.

    Args:
        names: relative names of the photos.
        run_files: what the run.json of each run says of its inputs; the first that knows a
            photo counts.
        images: a folder to look in instead. There a photo may also lie by its bare name.

    Raises:
        DataError: there is no photo at all in `images`.
    """
    found: dict[str, Path] = {}
    if images:
        listed = [(photo.relative_name, photo.path) for photo in list_images([str(images)])]
        found = {PurePosixPath(name).name: path for name, path in reversed(listed)} | dict(listed)
        return {
            name: path
            for name in names
            if (path := found.get(name) or found.get(PurePosixPath(name).name))
        }
    for run_file in run_files:
        inputs = run_file.get("settings", {}).get("inputs", ())
        if present := [given for given in inputs if os.path.lexists(given) or "*" in given]:
            try:
                photos = list_images(present)
            except DataError:  # moved away since: the report says so of each photo
                continue
            found = {photo.relative_name: photo.path for photo in photos} | found
    return {name: found[name] for name in names if name in found}


def describe_run(run: ShownRun) -> dict[str, Any]:
    """What run.json tells of a run, in plain values; empty where there is none."""
    settings = run.run_file.get("settings", {})
    keys = ("photos", "seconds", "peak_memory_mib", "device", "processor", "python", "packages")
    return {
        "name": run.path.name or str(run.path),
        "path": str(run.path),
        "pipeline": settings.get("pipeline"),
        "weights": settings.get("weights", {}),
        "label_space": run.space.name,
        "unknown": run.unknown,
        **{key: run.run_file[key] for key in keys if key in run.run_file},
    }
