"""Reading images ahead of the nets, and giving up on one that never arrives."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import TIMEOUT_MAX, Event, Thread

from fuse.runs.tasks import ImageTask
from fuse.runs.worker import LoadedImage
from fuse.threads import draw_ahead

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
    is_over = Event()

    def start_reader() -> None:
        Thread(target=_serve, args=(jobs, read, is_over), name="read", daemon=True).start()

    def submit(task: ImageTask) -> Job:
        job = task, Future[LoadedImage]()
        jobs.put(job)
        return job

    def wait(job: Job) -> LoadedImage:
        task, image = job
        try:
            return image.result(min(timeout, TIMEOUT_MAX))
        except TimeoutError:
            if image.done():  # just now, or the error is the reader's own
                return image.result()
            start_reader()
            return LoadedImage(task, error=f"{task.path}: not read within {timeout:g} s")

    for _ in range(threads):
        start_reader()
    try:
        yield from map(wait, draw_ahead(map(submit, tasks), ahead))
    finally:
        is_over.set()
        jobs.put(None)


def _serve(jobs: SimpleQueue[Job | None], read: Read, is_over: Event) -> None:
    """Read image after image until there is no job left, or none is wanted any more."""
    while (job := jobs.get()) is not None and not is_over.is_set():
        task, image = job
        try:
            image.set_result(read(task))
        except BaseException as err:  # noqa: BLE001 - whoever takes the image sees it
            image.set_exception(err)
    jobs.put(None)  # for the next reader
