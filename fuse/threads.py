"""Work on many images by threads, in order and a few at a time."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from os import cpu_count
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 16  # items per thread: enough to keep all busy behind a slow one, few enough to stay small
KEPT_BYTES = 24 * 2**20  # glibc looks at blocks of at most 32 MiB, headers included


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
    keep_freed_memory()
    threads = workers or cpu_count() or 1
    if threads == 1:
        yield _tell(map(function, items), on_result)
        return
    with closing(map_ahead(function, items, threads, lambda: ahead * threads)) as results:
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


def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed arrays up to image size, for the next image.

    By default it hands blocks from 128 KiB on back to the system, and the first touch of
    each fresh page then costs more than the work on it: over a quarter of the time of scoring.
    glibc keeps what is no larger than the largest block it has handed back, so handing back
    one that was never touched is enough (mallopt(3), M_MMAP_THRESHOLD). Other C libraries
    take no notice.
    """
    np.empty(KEPT_BYTES, dtype=np.uint8)


@contextmanager
def search_no_cycles() -> Iterator[None]:
    """Have Python not look for cycles of objects in the block.

    Loading makes objects that stay, and it would look through all of them again and again: with
    torch for half a second, and with nets for a fifth.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def map_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    limit: Callable[[], int],
) -> Generator[Result, None, None]:
    """The results of a function, called on threads, in the order of the items.

    At most ``limit()`` items, asked each time, are in the works or wait for their turn. An error
    is raised at its item's turn. No thread works on once the generator is closed.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        submitted = (pool.submit(function, item) for item in items)
        yield from map(Future.result, draw_ahead(submitted, limit))
    finally:
        pool.shutdown(cancel_futures=True)


def draw_ahead(items: Iterable[Item], limit: Callable[[], int]) -> Iterator[Item]:
    """The items in their order, each once ``limit()`` of them, itself among them, are drawn.

    >>> list(draw_ahead(iter("abc"), lambda: 2))
    ['a', 'b', 'c']
    """
    drawn: deque[Item] = deque()
    for item in items:
        drawn.append(item)
        while len(drawn) >= limit():
            yield drawn.popleft()
    while drawn:
        yield drawn.popleft()
