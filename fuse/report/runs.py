"""The one or two runs that a report shows, opened and held against the ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any

from fuse.analysis.compared_runs import find_run_file, name_different_classes
from fuse.errors import DataError, LabelSpaceError
from fuse.evaluation.evaluate import TruthScorer
from fuse.io.coco.pairing import match_images, renumber
from fuse.io.coco.panoptic import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.images import list_images
from fuse.io.remote import is_url
from fuse.labels import find_truth_map
from fuse.runs.records import PREDICTION_DIR
from fuse.runs.saved_predictions import SavedPredictions, open_saved_predictions
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
        unknown: how many of its images the ground truth, or the first run, lacks.
    """

    path: Path
    dataset: PanopticDataset
    own_ids: Mapping[ImageId, ImageId]
    scorer: TruthScorer | None
    run_file: Mapping[str, Any]
    kept: SavedPredictions | None
    unknown: int

    @property
    def space(self) -> LabelSpace:
        """Its categories."""
        return self.dataset.space


def open_runs(paths: Sequence[Path], truth: PanopticDataset | None) -> list[ShownRun]:
    """Open runs; with ground truth only the images that it knows are kept.

    Args:
        paths: output folders of runs, or COCO panoptic JSONs.
        truth: the ground truth, if there is one.

    Raises:
        CocoFormatError: a file is missing or damaged.
        DataError: the ground truth, or the first run, knows no image of a run.
        LabelSpaceError: the categories differ from the ground truth's and no map ships, or two
            runs that are scored have different ones.
    """
    if truth:
        runs = [_open(path, truth, truth) for path in paths]
        _check_classes(runs)
        return runs
    first = _open(paths[0], None, None)
    return [first, *(_open(path, first.dataset, None) for path in paths[1:])]


def _open(path: Path, known: PanopticDataset | None, truth: PanopticDataset | None) -> ShownRun:
    """A run whose images go by the image ids of `known`, or by its own."""
    dataset = read_panoptic_json(path, default_space=known.space if known else None)
    own_ids = match_images(dataset, known) if known else {i: i for i in dataset.annotations}
    if known and not own_ids:
        raise DataError(f"{path} has no image of {known.path}")
    run_file = find_run_file(path)
    has_kept = "photos" in run_file and (path / PREDICTION_DIR).is_dir()
    return ShownRun(
        path=path,
        dataset=renumber(dataset, own_ids),
        own_ids=own_ids,
        scorer=TruthScorer(truth, find_truth_map(truth.space, dataset.space)) if truth else None,
        run_file=run_file,
        kept=open_saved_predictions(path) if has_kept else None,
        unknown=len(dataset.annotations) - len(own_ids),
    )


def _check_classes(runs: Sequence[ShownRun]) -> None:
    """Raise LabelSpaceError where PQ of two runs would be over different classes."""
    named = [(str(run.path), run.space) for run in runs]
    if len(runs) > 1 and (lacks := name_different_classes(*named)):
        raise LabelSpaceError(
            f"{runs[0].path} and {runs[1].path} have different classes: {lacks}; "
            "leave out --gt, or fuse compare --intersect scores what they share"
        )


def find_images(
    names: Iterable[str], run_files: Iterable[Mapping[str, Any]], images: Path | None
) -> dict[str, Path | str]:
    """Where the images of a run lie, URLs as text; those that are not found have no entry.

    Args:
        names: relative names of the images.
        run_files: what the run.json of each run says of its inputs, URLs among them; the first
            that knows an image counts.
        images: a folder to look in instead. There an image may also lie by its bare name.

    Raises:
        DataError: there is no image at all in `images`.
    """
    wanted = list(names)
    if images:
        return _find_below(images, wanted)
    found: dict[str, Path | str] = {}
    for run_file in run_files:
        inputs = run_file.get("settings", {}).get("inputs", ())
        present = [
            given for given in inputs if is_url(given) or has_magic(given) or Path(given).exists()
        ]
        with suppress(DataError):  # moved away since: the report says so of each image
            found = {p.relative_name: p.path for p in list_images(present)} | found
    return {name: found[name] for name in wanted if name in found}


def _find_below(images: Path, names: Iterable[str]) -> dict[str, Path | str]:
    """Images in a folder by their relative name, or by a bare name that is there once."""
    listed = list_images([str(images)])
    by_path = {image.relative_name: image.path for image in listed}
    bare = [PurePosixPath(image.relative_name).name for image in listed]
    uses = Counter(bare)
    by_name = {
        name: image.path for name, image in zip(bare, listed, strict=True) if uses[name] == 1
    }
    found = {name: by_path.get(name, by_name.get(PurePosixPath(name).name)) for name in names}
    return {name: path for name, path in found.items() if path}


def describe_run(run: ShownRun) -> dict[str, Any]:
    """What run.json tells of a run, in plain values; empty where there is none."""
    settings = run.run_file.get("settings", {})
    keys = ("photos", "seconds", "peak_memory_mib", "device", "processor", "python", "packages")
    return {
        "path": str(run.path),
        "pipeline": settings.get("pipeline"),
        "weights": settings.get("weights", {}),
        "label_space": run.space.name,
        "unknown": run.unknown,
        **{key: run.run_file[key] for key in keys if key in run.run_file},
    }


def name_apart(paths: Sequence[Path]) -> list[str]:
    """What to call runs: their last folders, or their whole paths where these are the same.

    >>> name_apart([Path("out/a"), Path("out/b")]), name_apart([Path("a/out"), Path("b/out")])
    (['a', 'b'], ['a/out', 'b/out'])
    """
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
