"""One process: reader threads, the nets, finishing threads, and bounded queues between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

from fuse.clock import StageClock, peak_memory, to_mebibytes
from fuse.evaluation.evaluate import TruthScorer
from fuse.inference.pipeline import Pipeline
from fuse.inference.prediction import lowest_saved_score
from fuse.models.runtime import count_threads, limit_threads, peak_device_memory
from fuse.runs.engines.assignment import Assignment, describe_nets
from fuse.runs.engines.batches import BatchPredictor, Predicted
from fuse.runs.engines.reading import read_ahead
from fuse.runs.records import ImageTask
from fuse.runs.worker import FinishedImage, ImageWorker

MAX_THREADS = 8  # for reading, and as many for finishing
# Up to so many cores have a batch each to themselves, and beyond that so many share one: a batch
# in the nets needs its own working memory, and layers of small nets do not fill many cores.
LANE_CORES = 4


class LocalEngine:
    """Does images in this process, in order.

    Args:
        assignment: which nets, and what to make of images.
        clock: where the seconds go.
        scorer: the assignment's ground truth, if any.
        cores: how many processor cores there are for it.

    Raises:
        FuseError: the device or a net is wrong.
    """

    def __init__(
        self, assignment: Assignment, clock: StageClock, scorer: TruthScorer | None, *, cores: int
    ) -> None:
        pipeline = Pipeline(
            assignment.config, assignment.device, weights_dir=assignment.weights_dir
        )
        self.nets = describe_nets(pipeline)
        self._device = pipeline.device
        lanes, self._threads_per_lane = plan_lanes(pipeline)
        floor = lowest_saved_score(pipeline.config.fusion) if assignment.keep_predictions else None
        self._predictor = BatchPredictor(
            pipeline,
            clock,
            batch_size=assignment.batch_size or (1 if pipeline.device == "cpu" else None),
            score_threshold=floor,
            lanes=lanes,
        )
        self._worker = ImageWorker(
            pipeline,
            assignment.out,
            clock,
            scorer=scorer,
            pictures=assignment.pictures,
            keep_predictions=assignment.keep_predictions,
        )
        self._threads = min(cores, MAX_THREADS)
        self._timeout = assignment.timeout

    def __call__(self, tasks: Sequence[ImageTask]) -> Generator[FinishedImage, None, None]:
        """Do the images in order; see `run_local`."""
        with limit_threads(self._threads_per_lane):
            yield from run_local(
                tasks, self._predictor, self._worker, threads=self._threads, timeout=self._timeout
            )

    def describe(self) -> dict[str, Any]:
        """How images are done, for run.json."""
        peak = to_mebibytes(self.peak_memory())
        return {"engine": "local", "device": self._device, "peak_memory_mib": peak}

    def peak_memory(self) -> dict[str, int | None]:
        """Most bytes so far of this process, and of tensors on its device."""
        return {"process": peak_memory(), "device": peak_device_memory(self._device)}


def plan_lanes(pipeline: Pipeline) -> tuple[int, int]:
    """How many batches the nets get at once, and the threads that each has.

    Two images on a core each are done sooner than two images one after the other on both: cores
    that share a layer's sums wait for each other at its end. And a net's last bits depend on how
    its sums are shared, so that up to `LANE_CORES` cores all give the same bytes.
    """
    threads = count_threads()
    lanes = 1
    if pipeline.device == "cpu" and pipeline.is_thread_safe:
        lanes = max(min(threads, LANE_CORES), threads // LANE_CORES)
    return lanes, threads // lanes


def run_local(
    tasks: Iterable[ImageTask],
    predictor: BatchPredictor,
    worker: ImageWorker,
    *,
    threads: int,
    timeout: float,
) -> Generator[FinishedImage, None, None]:
    """Do the images in order.

    While the nets have a few batches, threads read the next images and finish the last ones.
    A few batches are in memory at any time, however many images there are.

    Args:
        tasks: what to do.
        predictor: runs the nets.
        worker: reads and finishes images.
        threads: for reading, and as many for finishing.
        timeout: seconds after which an image that is still being read has failed.
    """

    def ahead() -> int:
        return 2 * predictor.batch_size * predictor.lanes + threads

    reads = read_ahead(worker.read, tasks, ahead=ahead, threads=threads, timeout=timeout)
    finishers = ThreadPoolExecutor(threads, thread_name_prefix="finish")
    try:
        with closing(reads):
            yield from _finish_ahead(finishers, worker, predictor.predict_all(reads), ahead)
    finally:
        finishers.shutdown(cancel_futures=True)


def _finish_ahead(
    finishers: Executor,
    worker: ImageWorker,
    predicted: Iterable[Predicted],
    ahead: Callable[[], int],
) -> Iterator[FinishedImage]:
    """Images finished on other threads, in order, at most ``ahead()`` of them in flight."""
    pending: deque[Future[FinishedImage]] = deque()
    for read, raw in predicted:
        pending.append(finishers.submit(worker.finish, read, raw))
        while len(pending) >= ahead():
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
