"""A run over many photos: from inputs to the output folder, continued where it was cut off."""

from __future__ import annotations

import platform
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Any

import fuse
from fuse.clock import StageClock, peak_memory
from fuse.config import PipelineConfig, read_pipeline
from fuse.engines.local import run_local
from fuse.errors import ConfigError, RunStoppedError
from fuse.io.coco import read_panoptic_json
from fuse.models.fetching import Progress as FetchProgress
from fuse.models.registry import needs_plugin_permission
from fuse.models.runtime import peak_device_memory
from fuse.photo import FinishedPhoto, PhotoWorker
from fuse.pipeline import Pipeline
from fuse.records import PhotoTask
from fuse.run_folder import RunFolder
from fuse.scoring import Evaluation, PhotoScore, TruthScorer, find_truth_map
from fuse.tasks import check_truth_pngs, make_tasks

Engine = Callable[[Sequence[PhotoTask]], Generator[FinishedPhoto, None, None]]
Progress = Callable[[int, int], None]  # after each photo: how many there are, failed so far

# Named in run.json besides the weights, as results may depend on them.
REPORTED_PACKAGES = ("torch", "torchvision", "segmentation-models-pytorch", "numpy", "numba")
KEPT_SCORE = 0.05  # what detectors are customarily scored down to
READ_TIMEOUT = 60.0  # seconds; a network file system that takes longer has gone
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
    timeout: float = READ_TIMEOUT,
    retry_failed: bool = False,
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
        batch_size: photos per call of the nets; by default one on a CPU, and on a GPU as many
            as fit.
        timeout: seconds after which a photo that is still being read has failed.
        retry_failed: try photos again that failed in an earlier run of this folder.
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
            _refuse_plugins(config)
        truth = read_panoptic_json(gt, gt_dir) if gt else None
        tasks = make_tasks(images, out, truth)[shard[0] - 1 :: shard[1]]
        if truth:
            check_truth_pngs(tasks, truth)
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

    def engine(photos_to_do: Sequence[PhotoTask]) -> Generator[FinishedPhoto, None, None]:
        return run_local(
            photos_to_do,
            nets,
            worker,
            clock,
            batch_size=batch_size or (1 if nets.device == "cpu" else None),
            threads=min(cpu_count() or 1, MAX_THREADS),
            timeout=timeout,
            score_floor=KEPT_SCORE if keep_predictions else None,
        )

    with folder:
        with clock.time("total"):
            failed: list[tuple[str, str]] = []
            scores: list[PhotoScore] = []
            photos = _do_photos(tasks, worker, folder, engine, retry_failed=retry_failed)
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


def _refuse_plugins(config: PipelineConfig) -> None:
    """Raise ConfigError where a preset would run code that nobody installed."""
    for branch, model in (("semantic", config.semantic), ("instance", config.instance)):
        if needs_plugin_permission(model.model):
            raise ConfigError(
                f"pipeline {config.name!r}: its {branch} model {model.model!r} runs code of its "
                "own; read that code, then give --allow-plugins"
            )


def _do_photos(
    tasks: Sequence[PhotoTask],
    worker: PhotoWorker,
    folder: RunFolder,
    engine: Engine,
    *,
    retry_failed: bool,
) -> Iterator[FinishedPhoto]:
    """Each photo in order, finished now and in the journal, or settled by an earlier run."""

    def is_settled(task: PhotoTask) -> bool:
        name = task.file_name
        return folder.is_done(name) or (folder.has_failed(name) and not retry_failed)

    with closing(engine([task for task in tasks if not is_settled(task)])) as fresh:
        for task in tasks:
            if is_settled(task):
                yield worker.recall(task, folder.read_record(task.file_name))
            else:
                photo = next(fresh)
                folder.append(photo.record)
                yield photo


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
