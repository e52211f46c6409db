"""One process: reader threads, the nets, finishing threads, and bounded queues between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing

from fuse.clock import StageClock
from fuse.engines.batches import BatchPredictor, Predicted
from fuse.engines.reading import read_ahead
from fuse.photo import FinishedPhoto, PhotoWorker
from fuse.pipeline import Pipeline
from fuse.records import PhotoTask


def run_local(
    tasks: Iterable[PhotoTask],
    pipeline: Pipeline,
    worker: PhotoWorker,
    clock: StageClock,
    *,
    batch_size: int | None,
    threads: int,
    timeout: float,
    score_floor: float | None = None,
) -> Generator[FinishedPhoto, None, None]:
    """Do the photos in order.

    The nets run on the calling thread, one batch after the other; meanwhile threads read the
    next photos and finish the last ones. A few batches are in memory at any time, however
    many photos there are.

    Args:
        tasks: what to do.
        pipeline: the nets.
        worker: reads and finishes photos.
        clock: where the seconds go.
        batch_size: photos per call of the nets; None finds how many fit the device.
        threads: for reading, and as many for finishing.
        timeout: seconds after which a photo that is still being read has failed.
        score_floor: see `Pipeline.predict`.
    """
    predictor = BatchPredictor(pipeline, clock, batch_size=batch_size, score_floor=score_floor)

    def ahead() -> int:
        return 2 * predictor.batch_size + threads

    reads = read_ahead(worker.read, tasks, ahead=ahead, threads=threads, timeout=timeout)
    finishers = ThreadPoolExecutor(threads, thread_name_prefix="finish")
    try:
        with closing(reads):
            yield from _finish_ahead(finishers, worker, predictor.predict_all(reads), ahead)
    finally:
        finishers.shutdown(cancel_futures=True)


def _finish_ahead(
    finishers: Executor,
    worker: PhotoWorker,
    predicted: Iterable[Predicted],
    ahead: Callable[[], int],
) -> Iterator[FinishedPhoto]:
    """Photos finished on other threads, in order, at most ``ahead()`` of them in flight."""
    pending: deque[Future[FinishedPhoto]] = deque()
    for read, raw in predicted:
        pending.append(finishers.submit(worker.finish, read, raw))
        while len(pending) >= ahead():
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
