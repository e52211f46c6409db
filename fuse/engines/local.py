"""One process: reader threads, the nets, finishing threads, and bounded queues between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from fuse.clock import StageClock
from fuse.errors import FuseError
from fuse.photo import FinishedPhoto, PhotoWorker, ReadPhoto
from fuse.pipeline import Pipeline, RawPrediction
from fuse.records import PhotoTask

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_local(
    tasks: Iterable[PhotoTask],
    pipeline: Pipeline,
    worker: PhotoWorker,
    clock: StageClock,
    *,
    batch_size: int,
    threads: int,
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
        batch_size: photos per call of the nets.
        threads: for reading, and as many for finishing.
        score_floor: see `Pipeline.predict`.
    """
    ahead = 2 * batch_size + threads
    readers = ThreadPoolExecutor(threads, thread_name_prefix="read")
    finishers = ThreadPoolExecutor(threads, thread_name_prefix="finish")
    try:
        reads = map_ahead(readers, worker.read, tasks, ahead=ahead)
        predicted = _predict_batches(reads, pipeline, clock, batch_size, score_floor)
        yield from map_ahead(finishers, lambda pair: worker.finish(*pair), predicted, ahead=ahead)
    finally:
        readers.shutdown(cancel_futures=True)
        finishers.shutdown(cancel_futures=True)


def map_ahead(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """Results of function over items, in order, with at most ``ahead`` of them in flight."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(executor.submit(function, item))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _predict_batches(
    reads: Iterable[ReadPhoto],
    pipeline: Pipeline,
    clock: StageClock,
    batch_size: int,
    score_floor: float | None,
) -> Iterator[tuple[ReadPhoto, RawPrediction | None]]:
    """Each photo with what the nets say of it, in order."""
    batch: list[ReadPhoto] = []
    for read in reads:
        batch.append(read)
        if len(batch) == batch_size:
            yield from _predict(batch, pipeline, clock, score_floor)
            batch = []
    if batch:
        yield from _predict(batch, pipeline, clock, score_floor)


def _predict(
    batch: list[ReadPhoto], pipeline: Pipeline, clock: StageClock, score_floor: float | None
) -> list[tuple[ReadPhoto, RawPrediction | None]]:
    """Run the nets over a batch; photos that could not be read pass through.

    Where the nets raise, each photo is tried alone, so that one photo does not take its
    batch mates with it.
    """
    photos = [read.photo for read in batch if read.photo is not None]
    if not photos:
        return [(read, None) for read in batch]
    try:
        with clock.time("nets"):
            answers = iter(pipeline.predict(photos, score_floor=score_floor))
    except Exception as err:  # noqa: BLE001 - a net may raise anything; the record says what
        if len(batch) > 1:
            return [
                pair for read in batch for pair in _predict([read], pipeline, clock, score_floor)
            ]
        reason = str(err) if isinstance(err, FuseError) else f"{type(err).__name__}: {err}"
        return [(replace(batch[0], photo=None, error=reason), None)]
    return [(read, None if read.photo is None else next(answers)) for read in batch]
