"""A run over many photos: from inputs to the output folder, continued where it was cut off."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from os import cpu_count
from pathlib import Path, PurePosixPath
from typing import Any

import fuse
from fuse.clock import StageClock, peak_memory
from fuse.config import read_pipeline, refuse_plugins
from fuse.engines.local import run_local
from fuse.errors import CocoFormatError, DataError, RunStoppedError
from fuse.io.coco import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.images import list_images, png_names
from fuse.models.fetching import Progress as FetchProgress
from fuse.models.runtime import peak_device_memory
from fuse.photo import FinishedPhoto, PhotoWorker
from fuse.pipeline import Pipeline
from fuse.records import PhotoTask
from fuse.run_folder import RunFolder
from fuse.scoring import Evaluation, PhotoScore, TruthScorer, find_truth_map

Progress = Callable[[int, int], None]  # after each photo: how many there are, failed so far

# Named in run.json besides the weights, as results may depend on them.
REPORTED_PACKAGES = ("torch", "torchvision", "segmentation-models-pytorch", "numpy", "numba")
KEPT_SCORE = 0.05  # what detectors are customarily scored down to
MAX_THREADS = 8  # for reading, and as many for finishing


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """What a run did.

    Attributes:
        out: the output folder.
        done: how many photos have a map, those of an earlier run of the same settings too.
        failed: (file name, reason) of each photo without one.
        seconds: by stage, added up over threads; ``total`` is wall-clock.
        evaluation: PQ where ground truth was given.
        unknown: how many photos that ground truth does not know.
    """

    out: Path
    done: int
    failed: tuple[tuple[str, str], ...]
    seconds: dict[str, float]
    evaluation: Evaluation | None = None
    unknown: int = 0

    def to_json(self) -> dict[str, Any]:
        """The result in plain values."""
        summary: dict[str, Any] = {
            "photos": {"done": self.done, "failed": len(self.failed)},
            "failed": dict(self.failed),
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        }
        if self.evaluation:
            summary |= self.evaluation.to_json() | {"unscored": self.unknown}
        return summary


def run(
    images: Sequence[str],
    out: Path,
    *,
    pipeline: str = "tiny",
    overrides: Sequence[str] = (),
    device: str = "auto",
    gt: Path | None = None,
    gt_dir: Path | None = None,
    pictures: bool = False,
    keep_predictions: bool = False,
    batch_size: int | None = None,
    shard: tuple[int, int] = (1, 1),
    overwrite: bool = False,
    allow_plugins: bool = False,
    weights_dir: Path | None = None,
    on_fetch: FetchProgress | None = None,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Make panoptic maps of photos; score them where there is ground truth.

    A folder that holds a cut-off run of the same settings is continued.

    Args:
        images: folders, files and globs.
        out: the output folder; the README says what it holds.
        pipeline: name or file of a preset.
        overrides: ``section.key=value`` each, changes to the preset.
        device: ``auto``, ``cpu``, ``cuda:0``, ...
        gt: COCO panoptic JSON to score against.
        gt_dir: its PNGs, where they are not in the folder of its name.
        pictures: also draw each photo with its semantic map, instances and fused map.
        keep_predictions: also write what the nets said, for other rules and thresholds; finds
            instances down to a score of KEPT_SCORE.
        batch_size: photos per call of the nets; by default 1 on a CPU and 8 on a GPU.
        shard: (i, n) does the i-th of n equal parts of the photos, counted from 1.
        overwrite: start anew where the folder holds a run.
        allow_plugins: let a preset load code that is not installed, as ``file.py:Class``.
        weights_dir: where published weights lie, or are put; see `fuse.fetch.fetch`.
        on_fetch: called while weights are fetched.
        on_progress: called after each photo.
        should_stop: asked after each photo; what is done by then stays done.

    Raises:
        RunStoppedError: should_stop said so.
        FuseError: an input, the preset, a net or the folder is wrong.
    """
    clock = StageClock()
    with clock.time("total"):
        config = read_pipeline(pipeline, overrides)
        if not allow_plugins:
            refuse_plugins(config)
        truth = read_panoptic_json(gt, gt_dir) if gt else None
        tasks = make_tasks(images, out, truth)[shard[0] - 1 :: shard[1]]
        if truth:
            _check_truth_pngs(tasks, truth)
        nets = Pipeline(config, device, weights_dir=weights_dir, on_fetch=on_fetch)
        scorer = TruthScorer(truth, find_truth_map(truth.space, nets.space)) if truth else None
        worker = PhotoWorker(
            nets,
            out,
            clock,
            scorer=scorer,
            pictures=pictures,
            keep_predictions=keep_predictions,
        )
        settings = _describe_settings(nets, images, shard) | {"predictions": keep_predictions}
        folder = RunFolder(out, settings, overwrite=overwrite)
    with folder:
        with clock.time("total"):
            failed: list[tuple[str, str]] = []
            scores: list[PhotoScore] = []
            score_floor = KEPT_SCORE if keep_predictions else None
            photos = _do_photos(tasks, nets, worker, folder, clock, batch_size, score_floor)
            for done, photo in enumerate(photos, start=1):
                if photo.record.error is not None:
                    failed.append((photo.task.file_name, photo.record.error))
                if photo.score:
                    scores.append(photo.score)
                if on_progress:
                    on_progress(len(tasks), len(failed))
                if should_stop() and done < len(tasks):
                    raise RunStoppedError(
                        f"stopped after {done} of {len(tasks)} photos; "
                        "the same command goes on from there"
                    )
            folder.write_maps(tasks, nets.space)
        result = RunResult(
            out=out,
            done=len(tasks) - len(failed),
            failed=tuple(failed),
            seconds=dict(clock.seconds),
            evaluation=scorer.evaluation(scores) if scorer else None,
            unknown=len(tasks) - len(scores) if scorer else 0,
        )
        folder.write_summary(_describe_machine(nets) | result.to_json())
    return result


def _do_photos(
    tasks: Sequence[PhotoTask],
    nets: Pipeline,
    worker: PhotoWorker,
    folder: RunFolder,
    clock: StageClock,
    batch_size: int | None,
    score_floor: float | None,
) -> Iterator[FinishedPhoto]:
    """Each photo in order, finished now and in the journal, or finished by an earlier run."""
    fresh = run_local(
        [task for task in tasks if not folder.is_done(task.file_name)],
        nets,
        worker,
        clock,
        batch_size=batch_size or (1 if nets.device == "cpu" else 8),
        threads=min(cpu_count() or 1, MAX_THREADS),
        score_floor=score_floor,
    )
    with closing(fresh):
        for task in tasks:
            if folder.is_done(task.file_name):
                yield worker.recall(task, folder.read_record(task.file_name))
            else:
                photo = next(fresh)
                folder.append(photo.record)
                yield photo


def make_tasks(
    images: Sequence[str], out: Path, truth: PanopticDataset | None = None
) -> list[PhotoTask]:
    """What there is to do: photos with the names of their maps and their image ids.

    Raises:
        DataError: there are no photos, or two of them are the same one of the ground truth.
    """
    photos = list_images(images, leave_out=out)
    names = [photo.relative_name for photo in photos]
    return [
        PhotoTask(photo.path, photo.relative_name, png_name, image_id)
        for photo, png_name, image_id in zip(
            photos, png_names(names), assign_image_ids(names, truth), strict=True
        )
    ]


def _check_truth_pngs(tasks: Sequence[PhotoTask], truth: PanopticDataset) -> None:
    """Raise CocoFormatError before any work is done where a true PNG is missing."""
    scored = [task.image_id for task in tasks if task.image_id in truth.annotations]
    missing = [png for png in map(truth.png_path, scored) if not png.is_file()]
    if missing:
        raise CocoFormatError(
            f"{truth.path}: {len(missing)} of {len(scored)} PNGs of the photos are missing, "
            f"first {missing[0]}; name their folder with --gt-dir"
        )


def assign_image_ids(
    file_names: Sequence[str], truth: PanopticDataset | None = None
) -> list[ImageId]:
    """An image_id per photo.

    The ground truth's where it knows the file name, and numbers above its largest for the
    other photos. Without ground truth the number that each name is, as in COCO, where every
    name is another number; else 1, 2, 3, ...

    Raises:
        DataError: two photos are the same one of the ground truth.

    >>> assign_image_ids(["000000000139.jpg", "000000000285.jpg"])
    [139, 285]
    >>> assign_image_ids(["cat.jpg", "dog.jpg"])
    [1, 2]
    """
    if truth is None:
        stems = [PurePosixPath(name).stem for name in file_names]
        numbers = {int(stem) for stem in stems if stem.isdecimal() and stem.isascii()}
        if len(numbers) == len(stems):
            return [int(stem) for stem in stems]
        return list(range(1, len(file_names) + 1))
    largest = max((i for i in truth.annotations if isinstance(i, int)), default=0)
    unknown_ids = count(largest + 1)
    owners: dict[ImageId, str] = {}
    for name in file_names:
        image_id = truth.find_image(name)
        if image_id is None:
            image_id = next(unknown_ids)
        if image_id in owners:
            raise DataError(
                f"{owners[image_id]} and {name} are both photo {image_id!r} of {truth.path}; "
                "leave one out, or run them apart"
            )
        owners[image_id] = name
    return list(owners)


def _describe_settings(
    nets: Pipeline, images: Sequence[str], shard: tuple[int, int]
) -> dict[str, Any]:
    """What the maps of a run depend on."""
    return {
        "fuse": fuse.__version__,
        "pipeline": nets.config.to_json(),
        "weights": dict(nets.weights),
        "label_spaces": dict(nets.label_spaces),
        "device": nets.device.partition(":")[0],
        "inputs": [str(Path(given).resolve()) for given in images],
        "shard": "{}/{}".format(*shard),
    }


def _describe_machine(nets: Pipeline) -> dict[str, Any]:
    """Where a run was made and what it took, for whoever reads its figures."""
    memory = {"process": peak_memory(), "device": peak_device_memory(nets.device)}
    return {
        "peak_memory_mib": {
            where: None if peak is None else peak >> 20 for where, peak in memory.items()
        },
        "device": nets.device,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in REPORTED_PACKAGES},
        "processor": platform.processor() or platform.machine(),
    }
