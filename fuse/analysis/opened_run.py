"""Runs opened for analysis: their maps by the image ids of a ground truth, or of another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fuse.errors import DataError
from fuse.evaluation.scorer import TruthScorer
from fuse.io.coco.pairing import leave_out_turned, pair_images, renumber
from fuse.io.coco.panoptic import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.files import RUN_FILE, StrPath
from fuse.io.image_source import ImageSource
from fuse.labels import find_truth_map
from fuse.runs.folder import read_run_file
from fuse.runs.journal import read_sources
from fuse.runs.saved_predictions import SavedPredictions, open_saved_predictions
from fuse.runs.tasks import PREDICTION_DIR
from fuse.types import LabelSpace

NAMED = 5  # images or classes that a message names

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, eq=False)
class OpenedRun:
    """A run, or a COCO panoptic JSON.

    Attributes:
        path: the output folder of the run, or the JSON.
        dataset: its maps by the image ids of the ground truth or of another run, or its own.
        own_ids: its own image_id by that one.
        unknown: how many of its images the ground truth, or the other run, lacks.
        scorer: ground truth in its label space, None where none was given.
        run_file: what run.json says, empty for a JSON alone or a folder of `fuse combine`.
        saved: its saved predictions, None where there are none.
    """

    path: Path
    dataset: PanopticDataset
    own_ids: Mapping[ImageId, ImageId]
    unknown: int
    scorer: TruthScorer | None
    run_file: Mapping[str, Any]
    saved: SavedPredictions | None

    @property
    def as_stored(self) -> bool:
        """Whether it read its images as their files have them (`PipelineConfig.as_stored`)."""
        pipeline = self.run_file.get("settings", {}).get("pipeline")
        return isinstance(pipeline, dict) and pipeline.get("as_stored") is True

    @property
    def space(self) -> LabelSpace:
        """Its categories."""
        return self.dataset.space


def open_run(
    path: Path,
    *,
    known: PanopticDataset | None = None,
    truth: PanopticDataset | None = None,
    measures: Sequence[str] = (),
) -> OpenedRun:
    """Open the output folder of a run, or a COCO panoptic JSON.

    Args:
        path: of it.
        known: only images that it knows are taken, and by its image ids; by default the truth.
        truth: the ground truth, if there is one.
        measures: what its scorer counts besides PQ, see `expand_measures`.

    Raises:
        CocoFormatError: a file is missing or damaged.
        DataError: `known` knows none of the images, or two of them are the same one of it.
        LabelSpaceError: the categories differ from the ground truth's and no map ships.
    """
    known = known or truth
    dataset = read_panoptic_json(path, default_space=known.space if known else None)
    own_ids = pair_images(dataset, known) if known else {i: i for i in dataset.annotations}
    if known and not own_ids:
        raise DataError(f"{path} has no images")
    unknown = len(dataset.annotations) - len(own_ids)
    scorer = None
    if truth:
        own_ids = leave_out_turned(dataset, truth, own_ids)
        label_map = find_truth_map(truth.space, dataset.space)
        scorer = TruthScorer(truth, label_map, measures=measures)
    run_file = read_run_file(path) if (path / RUN_FILE).is_file() else {}
    has_saved = "photos" in run_file and (path / PREDICTION_DIR).is_dir()
    return OpenedRun(
        path=path,
        dataset=renumber(dataset, own_ids),
        own_ids=own_ids,
        unknown=unknown,
        scorer=scorer,
        run_file=run_file,
        saved=open_saved_predictions(path) if has_saved else None,
    )


def read_image_sources(run: OpenedRun) -> dict[ImageId, ImageSource]:
    """What the file of each image was when a run read it; empty for what is no run's folder."""
    by_name = read_sources(run.path) if run.path.is_dir() else {}
    names = {i: run.dataset.image_name(i) for i in run.own_ids} if by_name else {}
    return {i: by_name[name] for i, name in names.items() if name in by_name}


def find_changed_images(
    first: Mapping[ImageId, ImageSource], other: Mapping[ImageId, ImageSource]
) -> list[ImageId]:
    """The images of which two runs read other contents, so that not their nets alone differ."""
    return [
        image_id
        for image_id, source in first.items()
        if image_id in other and other[image_id].sha256 != source.sha256
    ]


def read_truth_of(
    run: SavedPredictions, gt: StrPath, gt_dir: StrPath | None
) -> tuple[TruthScorer, list[tuple[ImageId, ImageId]]]:
    """The ground truth in a run's label space, and the images that both have.

    Returns:
        The second are pairs (image_id of the run, image_id of the ground truth).

    Raises:
        DataError: the ground truth knows none of the images, or one of them twice.
        LabelSpaceError: the categories differ and no map ships.
        CocoFormatError: the ground truth cannot be read.
    """
    truth = read_panoptic_json(gt, gt_dir)
    return TruthScorer(truth, find_truth_map(truth.space, run.space)), run.match_truth(truth)


def class_names(space: LabelSpace) -> dict[tuple[str, bool], str]:
    """The name of each class by name and kind, which tell classes of two spaces apart."""
    return {(c.name, c.isthing): c.name for c in space.categories}


def describe_difference(
    first: tuple[str, Mapping[Key, str]], second: tuple[str, Mapping[Key, str]]
) -> str:
    """What only one of two runs has, as "only A has x, y; only B has z"; empty without any.

    Each is given by what to call it, and the names of its images or classes by their keys.
    """
    lacks = []
    for (run, names), (_, others) in ((first, second), (second, first)):
        if only := [name for key, name in names.items() if key not in others]:
            more = f" and {len(only) - NAMED} more" if len(only) > NAMED else ""
            lacks.append(f"only {run} has {', '.join(only[:NAMED])}{more}")
    return "; ".join(lacks)
