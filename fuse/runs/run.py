"""A run over many images: from inputs to the output folder, continued where it was cut off."""

from __future__ import annotations

import platform
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Any

from fuse.clock import StageClock
from fuse.errors import ConfigError, RunStoppedError
from fuse.evaluation.evaluate import summarize_images
from fuse.evaluation.image_scores import ImageScores
from fuse.evaluation.scorer import TruthScorer
from fuse.inference.presets import PipelineConfig, read_pipeline, refuse_plugins
from fuse.io.files import StrPath, to_path
from fuse.io.image_list import ImageList
from fuse.io.listing import list_images
from fuse.labels import load_space
from fuse.models.weights.fetching import Progress as FetchProgress
from fuse.runs.call import describe_call, describe_run, read_flags
from fuse.runs.engines import Engine
from fuse.runs.engines.pool import RayPool
from fuse.runs.first_use import compile_ahead
from fuse.runs.folder import RunFolder, check_run_folder
from fuse.runs.journal import JournalRecord
from fuse.runs.run_result import RunResult
from fuse.runs.tasks import ImageTask, make_tasks
from fuse.runs.worker import (
    FinishedImage,
    RunOptions,
    list_wanted,
    load_finished,
    open_scorer,
)

Progress = Callable[[int, int], None]  # after each image: how many there are, failed so far

# Named in run.json besides the weights, as results may depend on them.
REPORTED_PACKAGES = ("torch", "torchvision", "segmentation-models-pytorch", "numpy", "numba")
READ_TIMEOUT = 60.0  # seconds; a network file system that takes longer has gone


def run(
    images: Sequence[StrPath] | StrPath,
    out: StrPath,
    *,
    image_list: ImageList | None = None,
    pipeline: StrPath | PipelineConfig = "tiny",
    overrides: Sequence[str] = (),
    as_stored: bool = False,
    device: str = "auto",
    gt: StrPath | None = None,
    gt_dir: StrPath | None = None,
    pictures: bool = False,
    keep_predictions: bool = False,
    batch_size: int | None = None,
    timeout: float = READ_TIMEOUT,
    retry_failed: bool = False,
    check_images: bool = False,
    strict_images: bool = False,
    shard: tuple[int, int] = (1, 1),
    overwrite: bool = False,
    allow_plugins: bool = False,
    weights_dir: StrPath | None = None,
    on_fetch: FetchProgress | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    workers: int | None = None,
    gpus_per_worker: float = 0,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Make panoptic maps of images; score them where there is ground truth.

    A folder that holds a run of the same settings is continued. Pictures and predictions may be
    asked for later: then what is missing of them is made, and a run that has them goes on with
    them.

    Args:
        images: folders, files and globs, also behind URLs as ``s3://bucket/images``; or one.
        out: the output folder; docs/runs.md says what it holds.
        image_list: images by name, see `fuse.io.image_list.read_image_list`; instead of `images`,
            which may be empty then, or besides them.
        pipeline: name or file of a preset, or one that was read.
        overrides: ``section.key=value`` each, changes to the preset.
        as_stored: read images as their files have them, and do not turn them upright by their EXIF
            orientation; as the preset's key of that name.
        device: ``auto``, ``cpu``, ``cuda:0``, ...
        gt: COCO panoptic JSON to score against.
        gt_dir: its PNGs, where they are not in the folder of its name.
        pictures: also draw each image with its semantic map, instances and fused map.
        keep_predictions: also write what the nets predicted, for other rules and thresholds; finds
            instances down to a score of `fuse.inference.prediction.LOWEST_SAVED_SCORE`.
        batch_size: images per call of the nets; by default one on a CPU, and on a GPU as many
            as fit.
        timeout: seconds after which an image that is still being read has failed.
        retry_failed: try images again that failed in an earlier run of this folder.
        check_images: tell changed images from those that an earlier run did by their content,
            not by size and time of their files.
        strict_images: let images fail that their decoder takes although data is missing; else
            the result names them.
        shard: (i, n) does the i-th of n equal parts of the images, counted from 1.
        overwrite: start anew where the folder holds a run.
        allow_plugins: let a preset load code that is not installed, as ``file.py:Class``.
        weights_dir: where published weights lie, or are put; see `fuse.inference.fetch.fetch`.
        on_fetch: called while weights are fetched.
        engine: ``local`` is this machine; ``ray`` a pool of workers, here or on a Ray cluster.
        ray_address: of a running Ray cluster; by default one is started on this machine.
        workers: processes of the ray engine; by default as many as there is room for.
        gpus_per_worker: what each of them gets, at most 1; 0 runs the nets on the CPU.
        on_progress: called after each image.
        should_stop: asked after each image; what is done by then stays done.

    Raises:
        RunStoppedError: should_stop said so.
        FuseError: an input, the preset, a net or the folder is wrong.
    """
    clock = StageClock()
    with clock.time("total"):
        pool = RayPool(ray_address, workers, gpus_per_worker)
        _check_engine(engine, pool)
        config = _read_config(pipeline, overrides, as_stored, allow_plugins=allow_plugins)
        kept = (False, False) if overwrite else read_flags(to_path(out))
        options = RunOptions(
            config,
            device,
            to_path(weights_dir),
            to_path(out),
            to_path(gt),
            to_path(gt_dir),
            pictures=pictures or kept[0],
            keep_predictions=keep_predictions or kept[1],
            batch_size=batch_size,
            timeout=timeout,
            strict_images=strict_images,
        )
        inputs = [str(i) for i in ([images] if isinstance(images, str | Path) else images)]
        listing = list_images(inputs, listed=image_list, leave_out=options.out)
        scorer = open_scorer(options)
        listed = make_tasks(listing.images, scorer.truth if scorer else None)
        tasks = _take_shard(listed, shard)
        settings = describe_run(options, inputs, image_list, listed, shard)
        check_run_folder(options.out, settings, overwrite=overwrite, partly=True)
        started = _start_engine(engine, options, clock, scorer, pool, on_fetch)
        call = describe_call(options, engine, pool)
        folder = RunFolder(options.out, settings | started.nets, call=call, overwrite=overwrite)
    with folder:
        folder.write_list(image_list)
        find = partial(folder.find_finished, retry_failed=retry_failed)
        find = partial(find, check_hash=check_images, strict=strict_images)
        with clock.time("total"):
            # Closed before the folder, into which threads may still write.
            with closing(_process(tasks, started, folder, options, scorer, find)) as done:
                result, scores = _collect(done, tasks, options, on_progress, should_stop)
            folder.write_maps(tasks, load_space(config.label_space))
        result = replace(result, unread=listing.unread, doubled=listing.doubled)
        return _write_result(result, folder, started, clock, scorer, scores)


def _read_config(
    pipeline: StrPath | PipelineConfig,
    overrides: Sequence[str],
    as_stored: bool,
    *,
    allow_plugins: bool,
) -> PipelineConfig:
    """The preset; ConfigError where it is wrong, or runs code without permission."""
    if isinstance(pipeline, PipelineConfig):
        config = pipeline
    else:
        config = read_pipeline(str(pipeline), overrides)
    if not allow_plugins:
        refuse_plugins(config)
    return replace(config, as_stored=config.as_stored or as_stored)


def _check_engine(name: str, pool: RayPool) -> None:
    """Raise ConfigError where there is no such engine, or the options are another one's."""
    if name not in ("local", "ray"):
        raise ConfigError(f"engine {name!r} is none of local, ray")
    if name == "local" and pool != RayPool():
        raise ConfigError("a Ray address, workers and GPUs per worker need --engine ray")


def _take_shard(tasks: list[ImageTask], shard: tuple[int, int]) -> list[ImageTask]:
    """The i-th of n equal parts; ConfigError where there is no such part."""
    if not 1 <= shard[0] <= shard[1]:
        raise ConfigError(f"shard {shard} is not (i, n) with 1 <= i <= n")
    return tasks[shard[0] - 1 :: shard[1]]


def _start_engine(
    name: str,
    options: RunOptions,
    clock: StageClock,
    scorer: TruthScorer | None,
    pool: RayPool,
    on_fetch: FetchProgress | None,
) -> Engine:
    """The engine of that name, its nets built, their weights fetched."""
    # Imported here as both load torch: what is wrong at the start is said without waiting for it.
    if name == "ray":
        from fuse.runs.engines.ray_data import RayEngine

        return RayEngine(options, clock, scorer, pool, on_fetch)
    scored = ("match",) if scorer else ()
    compile_ahead(
        ("align", "label", *scored), ("suppress", "paint", "read")
    )  # as long as each other
    from fuse.runs.engines.local import LocalEngine

    return LocalEngine(options, clock, scorer, cores=cpu_count() or 1, on_fetch=on_fetch)


def _process(
    tasks: Sequence[ImageTask],
    engine: Engine,
    folder: RunFolder,
    options: RunOptions,
    scorer: TruthScorer | None,
    find_finished: Callable[[ImageTask], JournalRecord | None],
) -> Generator[FinishedImage, None, None]:
    """The images that an earlier run finished, then the others as they are done and recorded."""
    to_do: list[ImageTask] = []
    space = load_space(options.config.label_space)
    for task in tasks:
        record = find_finished(task)
        if record is None:
            to_do.append(task)
        elif record.error is None and list_wanted(task, options) - record.files.keys():
            to_do.append(replace(task, recorded_at=folder.journal.locate(task.file_name)))
        else:
            yield load_finished(task, record, folder.path, space, scorer)
    with closing(engine.process(to_do)) as images:
        for image in images:
            folder.journal.append(image.record)
            yield image


def _collect(
    images: Iterable[FinishedImage],
    tasks: Sequence[ImageTask],
    options: RunOptions,
    on_progress: Progress | None,
    should_stop: Callable[[], bool],
) -> tuple[RunResult, ImageScores]:
    """What became of the images, and their scores, in the tasks' order.

    Raises:
        RunStoppedError: should_stop said so.
    """
    tried = earlier = differing = 0
    errors: dict[str, str] = {}
    damages: dict[str, str] = {}
    scores = ImageScores()
    for done, image in enumerate(images, start=1):
        tried += not image.was_finished_before
        earlier += image.was_finished_before and image.record.error is None
        differing += image.differs
        if image.record.error is not None:
            errors[image.task.file_name] = image.record.error
        if image.record.damage is not None:
            damages[image.task.file_name] = image.record.damage
        if image.score:
            scores.append(image.score)
        if on_progress:
            on_progress(len(tasks), len(errors))
        if should_stop() and done < len(tasks):
            raise RunStoppedError(
                f"stopped after {done} of {len(tasks)} images; the same command goes on from there"
            )
    names = [task.file_name for task in tasks]
    failed, incomplete = (
        tuple((name, reasons[name]) for name in names if name in reasons)
        for reasons in (errors, damages)
    )
    result = RunResult(
        *(options.out, len(tasks) - len(failed), tried, failed, {}),
        earlier=earlier,
        pictures=options.pictures,
        incomplete=incomplete,
        differing=differing,
    )
    return result, scores.in_order_of(task.image_id for task in tasks)


def _write_result(
    result: RunResult,
    folder: RunFolder,
    engine: Engine,
    clock: StageClock,
    scorer: TruthScorer | None,
    scores: ImageScores,
) -> RunResult:
    """Sum up the scores, and write run.json whatever is wrong with the ground truth.

    Raises:
        DataError: an image could not be scored.
    """
    unknown = result.done + len(result.failed) - len(scores) if scorer else 0
    journal = folder.journal
    result = replace(
        result,
        seconds=dict(clock.seconds),
        unknown=unknown,
        changed=journal.changed,
        damaged=journal.damaged,
        missing=folder.missing,
        gone=journal.count_done() - result.done,
    )
    try:
        if scorer:
            result = replace(result, evaluation=summarize_images(scorer, scores))
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
