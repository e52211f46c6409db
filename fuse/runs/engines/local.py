"""This machine: reader threads, the nets, finishing threads, and bounded queues between them.

Where several images are in the nets at once and nothing speaks against it, each of these lanes is a
process with all of this to itself: threads wait for each other's Python.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

from fuse.clock import StageClock, peak_memory, to_mebibytes
from fuse.errors import EngineError
from fuse.evaluation.scorer import TruthScorer
from fuse.inference.batches import BatchPredictor, plan_lanes
from fuse.inference.pipeline import Pipeline
from fuse.inference.prediction import RawPrediction
from fuse.inference.prediction_file import lowest_saved_score
from fuse.models.dense import expect_lanes, has_opened_runtime
from fuse.models.runtime import limit_threads, peak_device_memory
from fuse.models.weights.fetching import Progress as FetchProgress
from fuse.ops._jit import is_compiling
from fuse.processes import CannotForkError, ProcessKilledError, can_fork, draw_from_forks
from fuse.runs.engines import describe_nets, describe_runtimes
from fuse.runs.engines.memory import IN_FLIGHT_BYTES, MemoryBudget
from fuse.runs.engines.reading import read_ahead
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import FinishedImage, ImageWorker, LoadedImage, RunOptions
from fuse.threads import map_ahead

MAX_THREADS = 8  # for reading, and as many for finishing
FORKED_RUNTIMES = {"torch", "openvino"}  # what is known of others is too little
FEWEST = 96  # images that are worth the start of processes, each of which warms up by itself


class _Done(NamedTuple):
    """An image that a lane did in its process, and what else there was since the last one."""

    image: FinishedImage
    seconds: dict[str, float]
    memory: int | None
    told: list[Warning | str]


class LocalEngine:
    """Does images in this process, in order.

    Args:
        options: which nets, and what to make of images.
        clock: where the seconds go.
        scorer: the ground truth of the options, if any.
        cores: how many processor cores there are for it.
        forks: whether it may start processes, which a worker of another engine does not.
        on_fetch: called while weights are fetched.

    Raises:
        FuseError: the device or a net is wrong.
    """

    def __init__(
        self,
        options: RunOptions,
        clock: StageClock,
        scorer: TruthScorer | None,
        *,
        cores: int,
        forks: bool = True,
        on_fetch: FetchProgress | None = None,
    ) -> None:
        pipeline = Pipeline(
            options.config, options.device, weights_dir=options.weights_dir, on_fetch=on_fetch
        )
        self.nets = describe_nets(pipeline)
        self._runtimes = describe_runtimes(pipeline)
        self._device = pipeline.device
        self._lanes = plan_lanes(pipeline.device, is_thread_safe=pipeline.is_thread_safe)
        lowest = lowest_saved_score(pipeline.config.fusion) if options.keep_predictions else None
        self._predictor: BatchPredictor[LoadedImage, RawPrediction] = BatchPredictor(
            pipeline,
            clock,
            batch_size=options.batch_size or (1 if pipeline.device == "cpu" else None),
            score_threshold=lowest,
            lanes=self._lanes.lanes,
        )
        self._worker = ImageWorker(pipeline, options, clock, scorer)
        self._threads = min(cores, MAX_THREADS)
        self._timeout = options.timeout
        self._clock = clock
        self._forks = forks
        self._worker_memory = 0

    def process(self, tasks: Sequence[ImageTask]) -> Generator[FinishedImage, None, None]:
        """Do the images in order; see `run_local`.

        Raises:
            EngineError: a process was killed.
        """
        if self._may_fork() and len(tasks) >= FEWEST:
            try:
                yield from self._process_by_forks(tasks)
            except CannotForkError:  # threads may do
                pass
            else:
                return
        with limit_threads(self._lanes.threads):
            yield from run_local(
                tasks, self._predictor, self._worker, threads=self._threads, timeout=self._timeout
            )

    def _may_fork(self) -> bool:
        """Whether a copy of this process can run the nets.

        Threads do not come along: not those that torch has to share a layer, nor other runtimes'.
        """
        runtimes = [runtime["runtime"] for runtime in self._runtimes.values()]
        return (
            self._forks
            and (self._lanes.lanes > 1 and self._lanes.threads == 1)
            and (len(runtimes) == 2 and set(runtimes) <= FORKED_RUNTIMES)
            and not has_opened_runtime()
            and can_fork()
            and not is_compiling()  # each process would do it again
        )

    def _process_by_forks(self, tasks: Sequence[ImageTask]) -> Generator[FinishedImage, None, None]:
        """The images, by a process for each lane."""
        lanes = self._lanes.lanes
        parts = [partial(self._process_part, tasks[lane::lanes]) for lane in range(lanes)]
        try:
            with closing(draw_from_forks(parts)) as done:
                for image, seconds, memory, told in done:
                    self._clock.add(seconds)
                    self._worker_memory = max(self._worker_memory, memory or 0)
                    for warning in told:
                        warnings.warn(warning, stacklevel=2)
                    yield image
        except ProcessKilledError as err:
            raise EngineError(f"{err}; the same command goes on from there") from err

    def _process_part(self, tasks: Sequence[ImageTask]) -> Generator[_Done, None, None]:
        """Images in a process of their own."""
        self._clock.take()  # what is in there counts already
        self._predictor.lanes = 1
        expect_lanes(1)
        with limit_threads(1), warnings.catch_warnings(record=True) as told:
            images = run_local(
                tasks,
                self._predictor,
                self._worker,
                threads=1,
                timeout=self._timeout,
                memory=IN_FLIGHT_BYTES // self._lanes.lanes,
            )
            for image in images:
                messages = [warning.message for warning in told]
                told.clear()
                yield _Done(image, self._clock.take(), peak_memory(), messages)

    def describe(self) -> dict[str, Any]:
        """How images are done, for run.json."""
        peak = to_mebibytes(self.peak_memory())
        return {
            "engine": "local",
            "device": self._device,
            "runtimes": self._runtimes,
            "peak_memory_mib": peak,
        }

    def peak_memory(self) -> dict[str, int | None]:
        """Most bytes so far of this process, of one of its workers, of tensors on its device."""
        workers = {"worker": self._worker_memory} if self._worker_memory else {}
        memory = {"process": peak_memory(), "device": peak_device_memory(self._device)}
        return {**memory, **workers}


def run_local(
    tasks: Iterable[ImageTask],
    predictor: BatchPredictor[LoadedImage, RawPrediction],
    worker: ImageWorker,
    *,
    threads: int,
    timeout: float,
    memory: int = IN_FLIGHT_BYTES,
) -> Generator[FinishedImage, None, None]:
    """Do the images in order.

    While the nets have a few batches, threads read the next images and finish the last ones.
    A few batches are in memory at any time, however many images there are, and fewer where these
    are large: see `MemoryBudget`.

    Args:
        tasks: what to do.
        predictor: runs the nets.
        worker: reads and finishes images.
        threads: for reading, and as many for finishing.
        timeout: seconds after which an image that is still being read has failed.
        memory: bytes of the images in flight.
    """
    budget = MemoryBudget(memory)
    read = partial(read_ahead, worker.read, tasks, threads=threads, timeout=timeout, budget=budget)

    def ahead() -> int:
        return 2 * predictor.batch_size * predictor.lanes + threads

    def finish(predicted: tuple[LoadedImage, RawPrediction | None] | None) -> FinishedImage | None:
        if predicted is None:
            return None
        try:
            return worker.finish(*predicted)
        finally:
            budget.leave(predicted[0].task)

    with (
        closing(read(ahead=ahead)) as loaded,
        closing(predictor.predict_all(loaded)) as predicted,
        closing(map_ahead(finish, predicted, threads, ahead)) as finished,
    ):
        yield from (image for image in finished if image is not None)
