"""Reading images ahead of the nets, and giving up on one that never arrives."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread

from fuse.clock import count_down
from fuse.runs.engines.memory import MemoryBudget
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import LoadedImage
from fuse.threads import draw_ahead

# Reads an image; calls the second argument with the bytes that the image takes before it does.
Read = Callable[[ImageTask, Callable[[int], None]], LoadedImage]
Answers = SimpleQueue[LoadedImage | BaseException | None]  # None: it waits for memory
Job = tuple[ImageTask, Answers]


def read_ahead(
    read: Read,
    tasks: Iterable[ImageTask],
    *,
    ahead: Callable[[], int],
    threads: int,
    timeout: float,
    budget: MemoryBudget,
) -> Generator[LoadedImage | None, None, None]:
    """Images in order, at most ``ahead()`` of them in memory, and no more than fit the budget.

    Where an image waits for memory that those before it have, None comes in its place, until there
    is room: whoever takes it must go on with what it has.

    A thread that hangs in the file system cannot be ended. So the readers are daemons, which
    no interpreter waits for, and one that hangs is replaced.

    Args:
        read: reads one image; called on other threads.
        tasks: what to read.
        ahead: how many images may be in flight; asked before each.
        threads: how many readers there are.
        timeout: seconds to wait for an image whose turn it is, in which this process runs.
        budget: which images join here, and leave when they are finished.
    """
    jobs: SimpleQueue[Job | None] = SimpleQueue()
    is_over = Event()

    def start_reader() -> None:
        serve = partial(_serve, jobs, read, budget, is_over)
        Thread(target=serve, name="read", daemon=True).start()

    def submit(task: ImageTask) -> Job:
        budget.join(task)
        job: Job = task, SimpleQueue()
        jobs.put(job)
        return job

    def wait(job: Job) -> Iterator[LoadedImage | None]:
        task, answers = job
        answer = None
        while answer is None:
            try:
                answer = _get(answers, timeout)
            except TimeoutError:
                start_reader()
                budget.leave(task)
                answer = LoadedImage(task, error=f"{task.path}: not read within {timeout:g} s")
            while answer is None and budget.is_short(task):
                yield None
        if isinstance(answer, BaseException):
            raise answer
        yield answer

    for _ in range(threads):
        start_reader()
    try:
        for job in draw_ahead(map(submit, tasks), ahead):
            yield from wait(job)
    finally:
        is_over.set()
        budget.close()
        jobs.put(None)


def _get(answers: Answers, timeout: float) -> LoadedImage | BaseException | None:
    """The next answer; TimeoutError where none comes in so many seconds."""
    for seconds in count_down(timeout):
        with suppress(Empty):
            return answers.get(timeout=seconds)
    raise TimeoutError


def _serve(jobs: SimpleQueue[Job | None], read: Read, budget: MemoryBudget, is_over: Event) -> None:
    """Read image after image until there is no job left, or none is wanted any more."""
    while (job := jobs.get()) is not None and not is_over.is_set():
        task, answers = job
        try:
            answer = read(task, partial(budget.take, task, on_wait=partial(answers.put, None)))
        except BaseException as err:  # noqa: BLE001 - whoever takes the image sees it
            answers.put(err)
        else:
            answers.put(answer)
        budget.settle(task)
    jobs.put(None)  # for the next reader
