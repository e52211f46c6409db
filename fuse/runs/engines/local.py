"""One process: reader threads, the nets, finishing threads, and bounded queues between them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from fuse.clock import StageClock, peak_memory, to_mebibytes
from fuse.evaluation.scorer import TruthScorer
from fuse.inference.batches import BatchPredictor, plan_lanes
from fuse.inference.pipeline import Pipeline
from fuse.inference.prediction import RawPrediction
from fuse.inference.prediction_file import lowest_saved_score
from fuse.models.runtime import limit_threads, peak_device_memory
from fuse.models.weights.fetching import Progress as FetchProgress
from fuse.runs.engines import describe_nets, describe_runtimes
from fuse.runs.engines.memory import MemoryBudget
from fuse.runs.engines.reading import read_ahead
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import FinishedImage, ImageWorker, LoadedImage, RunOptions
from fuse.threads import map_ahead

MAX_THREADS = 8  # for reading, and as many for finishing


class LocalEngine:
    """Does images in this process, in order.

    Args:
        options: which nets, and what to make of images.
        clock: where the seconds go.
        scorer: the ground truth of the options, if any.
        cores: how many processor cores there are for it.
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
        on_fetch: FetchProgress | None = None,
    ) -> None:
        pipeline = Pipeline(
            options.config, options.device, weights_dir=options.weights_dir, on_fetch=on_fetch
        )
        self.nets = describe_nets(pipeline)
        self._runtimes = describe_runtimes(pipeline)
        self._device = pipeline.device
        lanes, self._threads_per_lane = plan_lanes(
            pipeline.device, is_thread_safe=pipeline.is_thread_safe
        )
        lowest = lowest_saved_score(pipeline.config.fusion) if options.keep_predictions else None
        self._predictor: BatchPredictor[LoadedImage, RawPrediction] = BatchPredictor(
            pipeline,
            clock,
            batch_size=options.batch_size or (1 if pipeline.device == "cpu" else None),
            score_threshold=lowest,
            lanes=lanes,
        )
        self._worker = ImageWorker(pipeline, options, clock, scorer)
        self._threads = min(cores, MAX_THREADS)
        self._timeout = options.timeout

    def process(self, tasks: Sequence[ImageTask]) -> Generator[FinishedImage, None, None]:
        """Do the images in order; see `run_local`."""
        with limit_threads(self._threads_per_lane):
            yield from run_local(
                tasks, self._predictor, self._worker, threads=self._threads, timeout=self._timeout
            )

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
        """Most bytes so far of this process, and of tensors on its device."""
        return {"process": peak_memory(), "device": peak_device_memory(self._device)}


def run_local(
    tasks: Iterable[ImageTask],
    predictor: BatchPredictor[LoadedImage, RawPrediction],
    worker: ImageWorker,
    *,
    threads: int,
    timeout: float,
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
    """
    budget = MemoryBudget()
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
