"""What a person sees of a long job: how far it is, and that it was asked to stop."""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

# rich is imported where a bar is drawn: `fuse --help` draws none.

SECONDS_PER_LINE = 30
SECONDS_PER_FRAME = 0.1


@contextmanager
def stop_flag() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a flag, so that work ends between two images.

    The second one acts as ever. Job schedulers send SIGTERM some time before they kill.
    """
    asked: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        asked.append(number)
        restore()
        print("stopping after this image; once more stops at once", file=sys.stderr)

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    previous = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        restore()


@contextmanager
def image_progress() -> Iterator[Callable[[int, int], None]]:
    """Yields a function to call after each image with how many there are, and failed so far.

    On a terminal it moves a bar with images/s and the time left; in a log it writes a line
    every half minute. With the first image all is loaded, so Python may look for cycles again.
    """
    with _show_images() as show:

        def on_progress(total: int, failed: int) -> None:
            if not gc.isenabled():
                gc.freeze()  # what is there now stays to the end
                gc.enable()
            show(total, failed)

        yield on_progress


@contextmanager
def _show_images() -> Iterator[Callable[[int, int], None]]:
    """`image_progress`, but for what is not seen."""
    if not sys.stderr.isatty():
        yield log_images()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images, {task.fields[rate]}, {task.fields[failed]} failed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    # Drawn here, not by a thread of the bar: work is forked where there are no threads.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        bar = progress.add_task("", total=None, rate="-/s", failed=0)
        drawn = 0.0

        def on_progress(total: int, failed: int) -> None:
            nonlocal drawn
            speed = progress.tasks[bar].speed
            rate = f"{speed:.1f}/s" if speed else "-/s"
            progress.update(bar, total=total, advance=1, rate=rate, failed=failed)
            if (now := time.monotonic()) - drawn > SECONDS_PER_FRAME:
                drawn = now
                progress.refresh()

        yield on_progress


def log_images() -> Callable[[int, int], None]:
    """A function to call as that of `image_progress`; writes a line each half minute."""
    last_line, done, then_done = time.monotonic(), 0, 0

    def on_progress(total: int, failed: int) -> None:
        nonlocal last_line, done, then_done
        done += 1
        now = time.monotonic()
        if now - last_line > SECONDS_PER_LINE:
            rate = (done - then_done) / (now - last_line)
            last_line, then_done = now, done
            line = f"{done} of {total} images, {rate:.1f}/s, {failed} failed"
            print(line, file=sys.stderr)

    return on_progress


@contextmanager
def count_progress() -> Iterator[Callable[[int, int], None]]:
    """`image_progress` for jobs that tell how many images are done, of how many.

    It begins with the first image that is done: before that a job may find its files wrong, and an
    error has no empty bar above it.
    """
    with ExitStack() as stack:
        begun: list[Callable[[int, int], None]] = []

        def on_progress(_done: int, total: int) -> None:
            if not begun:
                begun.append(stack.enter_context(image_progress()))
            begun[0](total, 0)

        yield on_progress


@contextmanager
def download_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function to call with a file's name, its bytes there and its bytes in all.

    On a terminal it moves a bar for each file; in a log it writes as `log_download` does.
    """
    if not sys.stderr.isatty():
        yield log_download()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[str, TaskID] = {}

        def on_progress(name: str, there: int, total: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name)
            progress.update(bars[name], completed=there, total=total)

        yield on_progress


def log_download() -> Callable[[str, int, int], None]:
    """A function to call as that of `download_progress`; writes a line now and each half minute."""
    last_line = dict[str, float]()

    def on_progress(name: str, there: int, total: int) -> None:
        now = time.monotonic()
        if now - last_line.get(name, 0) > SECONDS_PER_LINE or there == total:
            last_line[name] = now
            print(f"fetching {name}: {there / 1e6:.0f} of {total / 1e6:.0f} MB", file=sys.stderr)

    return on_progress
