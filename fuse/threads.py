"""Work on many images by threads, in order and a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from os import cpu_count
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 16  # items per thread: enough to keep all busy behind a slow one, few enough to stay small


@contextmanager
def map_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int | None = None,
    *,
    ahead: int = AHEAD,
    on_result: Callable[[], object] | None = None,
) -> Iterator[Iterator[Result]]:
    """The results of a function, in the order of the items.

    However many items there are, at most ``ahead`` per thread are in the works or wait for their
    turn. An error is raised at its item's turn. No thread works on after the ``with`` block.

    >>> with map_threads(abs, [-1, 2, -3]) as results:
    ...     list(results)
    [1, 2, 3]

    Args:
        function: called on other threads, or on the caller's own where there is one worker.
        items: what it is called with; read as it is needed.
        workers: threads, by default one per processor.
        ahead: items per thread.
        on_result: called on the caller's own thread, after it is done with a result.
    """
    threads = workers or cpu_count() or 1
    if threads == 1:
        yield _tell(map(function, items), on_result)
        return
    with closing(_map(function, items, threads, ahead)) as results:
        yield _tell(results, on_result)


def count_steps(
    on_progress: Callable[[int, int], None] | None, total: int
) -> Callable[[], object] | None:
    """What to call after each of ``total`` steps, so that ``on_progress`` gets (done, total)."""
    if on_progress is None:
        return None
    done = count(1)
    return lambda: on_progress(next(done), total)


def _tell(results: Iterator[Result], on_result: Callable[[], object] | None) -> Iterator[Result]:
    for result in results:
        yield result
        if on_result:
            on_result()


def _map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int
) -> Generator[Result, None, None]:
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
