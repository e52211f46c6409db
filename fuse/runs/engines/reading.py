"""Reading images ahead of the nets, and giving up on one that never arrives."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import TIMEOUT_MAX, Thread

from fuse.runs.records import ImageTask
from fuse.runs.worker import LoadedImage

Read = Callable[[ImageTask], LoadedImage]
Job = tuple[ImageTask, "Future[LoadedImage]"]


def read_ahead(
    read: Read,
    tasks: Iterable[ImageTask],
    *,
    ahead: Callable[[], int],
    threads: int,
    timeout: float,
) -> Generator[LoadedImage, None, None]:
    """Images in order, at most ``ahead()`` of them in memory.

    A thread that hangs in the file system cannot be ended. So the readers are daemons, which
    no interpreter waits for, and one that hangs is replaced.

    Args:
        read: reads one image; called on other threads.
        tasks: what to read.
        ahead: how many images may be in flight; asked before each.
        threads: how many readers there are.
        timeout: seconds to wait for an image whose turn it is; infinity waits as long as can be.
    """
    jobs: SimpleQueue[Job | None] = SimpleQueue()
    pending: deque[Job] = deque()

    def start_reader() -> None:
        Thread(target=_serve, args=(jobs, read), name="read", daemon=True).start()

    def take() -> LoadedImage:
        task, future = pending.popleft()
        try:
            return future.result(min(timeout, TIMEOUT_MAX))
        except TimeoutError:
            if future.done():  # just now, or the error is the reader's own
                return future.result()
            start_reader()
            return LoadedImage(task, error=f"{task.path}: not read within {timeout:g} s")

    for _ in range(threads):
        start_reader()
    try:
        for task in tasks:
            pending.append((task, Future()))
            jobs.put(pending[-1])
            while len(pending) >= ahead():
                yield take()
        while pending:
            yield take()
    finally:
        for _, future in pending:
            future.cancel()
        for _ in range(threads):
            jobs.put(None)


def _serve(jobs: SimpleQueue[Job | None], read: Read) -> None:
    """Read image after image until there is no job left."""
    while (job := jobs.get()) is not None:
        task, future = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(read(task))
            except BaseException as err:  # noqa: BLE001 - whoever takes the image sees it
                future.set_exception(err)
