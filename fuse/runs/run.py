"""A run over many images: from inputs to the output folder, continued where it was cut off."""

from __future__ import annotations

import platform
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Any

from fuse.clock import StageClock
from fuse.errors import ConfigError, RunStoppedError
from fuse.evaluation.evaluate import Evaluation, TruthScorer
from fuse.evaluation.image_scores import ImageScores
from fuse.inference.fetch import place_weights
from fuse.inference.presets import read_pipeline, refuse_plugins
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.files import take_text
from fuse.io.remote import is_url
from fuse.labels import find_truth_map, load_space
from fuse.models.weights.fetching import Progress as FetchProgress
from fuse.runs.engines.assignment import Assignment, Engine
from fuse.runs.engines.local import LocalEngine
from fuse.runs.engines.ray_data import RayEngine
from fuse.runs.engines.ray_pool import RayPool
from fuse.runs.folder import RunFolder
from fuse.runs.records import ImageTask, JournalRecord
from fuse.runs.tasks import check_truth, describe_tasks, make_tasks
from fuse.runs.worker import FinishedImage, recall_image
from fuse.types import LabelSpace
from fuse.version import __version__

Progress = Callable[[int, int], None]  # after each image: how many there are, failed so far

# Named in run.json besides the weights, as results may depend on them.
REPORTED_PACKAGES = ("torch", "torchvision", "segmentation-models-pytorch", "numpy", "numba")
READ_TIMEOUT = 60.0  # seconds; a network file system that takes longer has gone


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """What a run did.

    Attributes:
        out: the output folder.
        done: how many images have a map, those of an earlier run of the same settings too.
        tried: how many images this call did, or tried to; its seconds went into them.
        failed: (file name, reason) of each image without one.
        seconds: by stage, added up over threads; ``total`` is wall-clock.
        evaluation: PQ where ground truth was given.
        unknown: how many images that ground truth does not know.
        pictures: whether pictures were drawn.
    """

    out: Path
    done: int
    tried: int
    failed: tuple[tuple[str, str], ...]
    seconds: dict[str, float]
    evaluation: Evaluation | None = None
    unknown: int = 0
    pictures: bool = False

    def to_json(self) -> dict[str, Any]:
        """The result in plain values."""
        summary: dict[str, Any] = {
            "photos": {"done": self.done, "failed": len(self.failed), "tried": self.tried},
            "failed": dict(self.failed),
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        }
        if self.evaluation:
            summary |= self.evaluation.to_json() | {"unscored": self.unknown}
        return summary


@take_text
def run(
    images: Sequence[str | Path] | str | Path,
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
    engine: str = "local",
    ray_address: str | None = None,
    workers: int | None = None,
    gpus_per_worker: float = 0,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Make panoptic maps of images; score them where there is ground truth.

    A folder that holds a cut-off run of the same settings is continued.

    Args:
        images: folders, files and globs, also behind URLs as ``s3://bucket/images``; or one.
        out: the output folder; the README says what it holds.
        pipeline: name or file of a preset.
        overrides: ``section.key=value`` each, changes to the preset.
        device: ``auto``, ``cpu``, ``cuda:0``, ...
        gt: COCO panoptic JSON to score against.
        gt_dir: its PNGs, where they are not in the folder of its name.
        pictures: also draw each image with its semantic map, instances and fused map.
        keep_predictions: also write what the nets said, for other rules and thresholds; finds
            instances down to a score of `fuse.inference.prediction.LOWEST_SAVED_SCORE`.
        batch_size: images per call of the nets; by default one on a CPU, and on a GPU as many
            as fit.
        timeout: seconds after which an image that is still being read has failed.
        retry_failed: try images again that failed in an earlier run of this folder.
        shard: (i, n) does the i-th of n equal parts of the images, counted from 1.
        overwrite: start anew where the folder holds a run.
        allow_plugins: let a preset load code that is not installed, as ``file.py:Class``.
        weights_dir: where published weights lie, or are put; see `fuse.inference.fetch.fetch`.
        on_fetch: called while weights are fetched.
        engine: ``local`` is this process; ``ray`` is many, on this machine or a Ray cluster.
        ray_address: of a running Ray cluster; by default one is started on this machine.
        workers: processes of the ray engine; by default as many as there is room for.
        gpus_per_worker: what each of them gets, at most 1; 0 runs the nets on the CPU.
        on_progress: called after each image.
        should_stop: asked after each image; what is done by then stays done.

    Raises:
        RunStoppedError: should_stop said so.
        FuseError: an input, the preset, a net or the folder is wrong.
    """
    if not 1 <= shard[0] <= shard[1]:
        raise ConfigError(f"shard {shard} is not (i, n) with 1 <= i <= n")
    if not timeout > 0:
        raise ConfigError(f"timeout must be above 0 seconds, is {timeout}")
    clock = StageClock()
    with clock.time("total"):
        config = read_pipeline(pipeline, overrides)
        if not allow_plugins:
            refuse_plugins(config)
        space = load_space(config.label_space)
        truth = read_panoptic_json(gt, gt_dir) if gt else None
        scorer = TruthScorer(truth, find_truth_map(truth.space, space)) if truth else None
        inputs = [str(i) for i in ([images] if isinstance(images, str | Path) else images)]
        all_tasks = make_tasks(inputs, out, truth)
        if truth:
            check_truth(all_tasks, truth)
        tasks = all_tasks[shard[0] - 1 :: shard[1]]
        place_weights(config, weights_dir, on_fetch)  # before any process reads them
        assignment = Assignment(
            *(config, device, weights_dir, out, gt, gt_dir),
            *(pictures, keep_predictions, batch_size, timeout),
        )
        pool = RayPool(ray_address, workers, gpus_per_worker)
        carrier = _choose_engine(engine, assignment, clock, scorer, pool)
        settings = _describe_run(assignment, carrier, inputs, shard)
        if shard[1] > 1:
            settings["listed"] = describe_tasks(all_tasks)
        folder = RunFolder(out, settings, overwrite=overwrite)
    with folder:
        with clock.time("total"):
            finished = _do_images(tasks, carrier, folder, space, scorer, retry_failed=retry_failed)
            with closing(finished):  # before the folder, into which threads may still write
                tried, failed, scores = _collect(finished, tasks, on_progress, should_stop)
            folder.write_maps(tasks, space)
        result = RunResult(
            out=out,
            done=len(tasks) - len(failed),
            tried=tried,
            failed=failed,
            seconds=dict(clock.seconds),
            unknown=len(tasks) - len(scores) if scorer else 0,
            pictures=pictures,
        )
        return _conclude(result, folder, carrier, scorer, scores)


def _describe_run(
    assignment: Assignment, carrier: Engine, inputs: Sequence[str], shard: tuple[int, int]
) -> dict[str, Any]:
    """What makes a run what it is; a run that goes on has the same."""
    return {
        "fuse": __version__,
        "pipeline": assignment.config.to_json(),
        **carrier.nets,
        "inputs": [given if is_url(given) else str(Path(given).resolve()) for given in inputs],
        "shard": "{}/{}".format(*shard),
        "predictions": assignment.keep_predictions,
        "pictures": assignment.pictures,
    }


def _choose_engine(
    name: str,
    assignment: Assignment,
    clock: StageClock,
    scorer: TruthScorer | None,
    pool: RayPool,
) -> Engine:
    """The engine of that name; ConfigError where there is none, or options of another one."""
    if name == "ray":
        return RayEngine(assignment, clock, scorer, pool)
    if name != "local":
        raise ConfigError(f"engine {name!r} is none of local, ray")
    if pool != RayPool():
        raise ConfigError("a Ray address, workers and GPUs per worker need --engine ray")
    return LocalEngine(assignment, clock, scorer, cores=cpu_count() or 1)


def _do_images(
    tasks: Sequence[ImageTask],
    engine: Engine,
    folder: RunFolder,
    space: LabelSpace,
    scorer: TruthScorer | None,
    *,
    retry_failed: bool,
) -> Generator[FinishedImage, None, None]:
    """The images that an earlier run settled, then the others as they are done and journalled."""
    to_do: list[ImageTask] = []
    for task in tasks:
        record = folder.find_record(task.file_name)
        if record and _settles(record, task, retry_failed=retry_failed):
            yield recall_image(task, record, folder.path, space, scorer)
        else:
            to_do.append(task)
    with closing(engine(to_do)) as images:
        for image in images:
            folder.append(image.record)
            yield image


def _settles(record: JournalRecord, task: ImageTask, *, retry_failed: bool) -> bool:
    """Whether what an earlier run made of an image stands.

    Not where an image that came or went since gave its map another name (`png_names`).
    """
    return not retry_failed if record.error is not None else record.png_name == task.png_name


def _collect(
    images: Iterable[FinishedImage],
    tasks: Sequence[ImageTask],
    on_progress: Progress | None,
    should_stop: Callable[[], bool],
) -> tuple[int, tuple[tuple[str, str], ...], ImageScores]:
    """How many images were tried now; which failed and why, and scores, in the tasks' order.

    Raises:
        RunStoppedError: should_stop said so.
    """
    tried = 0
    failed: dict[str, str] = {}
    scores = ImageScores()
    for done, image in enumerate(images, start=1):
        tried += not image.recalled
        if image.record.error is not None:
            failed[image.task.file_name] = image.record.error
        if image.score:
            scores.append(image.score)
        if on_progress:
            on_progress(len(tasks), len(failed))
        if should_stop() and done < len(tasks):
            raise RunStoppedError(
                f"stopped after {done} of {len(tasks)} images; the same command goes on from there"
            )
    names = (task.file_name for task in tasks)
    return (
        tried,
        tuple((name, failed[name]) for name in names if name in failed),
        scores.in_order_of(task.image_id for task in tasks),
    )


def _conclude(
    result: RunResult,
    folder: RunFolder,
    engine: Engine,
    scorer: TruthScorer | None,
    scores: ImageScores,
) -> RunResult:
    """Sum up the scores, and write run.json whatever is wrong with the ground truth.

    Raises:
        DataError: an image could not be scored.
    """
    try:
        if scorer:
            result = replace(result, evaluation=scorer.evaluation(scores))
    finally:
        folder.write_summary(engine.describe() | _describe_machine() | result.to_json())
    return result


def _describe_machine() -> dict[str, Any]:
    """What a run was made with, for whoever reads its figures."""
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in REPORTED_PACKAGES},
        "processor": platform.processor() or platform.machine(),
    }
