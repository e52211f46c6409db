"""Scores of many images by processes: threads wait for each other's Python half of the time."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from multiprocessing.connection import Connection

from fuse.errors import DataError
from fuse.evaluation.image_scores import ImageScore, ImageScores
from fuse.io.coco.panoptic import ImageId
from fuse.threads import keep_freed_memory, map_threads

FEWEST = 500  # images that are worth the start of a process, some 20 ms
CHUNK = 50  # images whose scores a process sends at once


def score_images(
    score: Callable[[ImageId], ImageScore],
    image_ids: Sequence[ImageId],
    workers: int | None = None,
    *,
    on_result: Callable[[], object] | None = None,
) -> ImageScores:
    """The scores of images in their order, by threads, or by processes where that is faster.

    Processes are forked, so they share what was read. That is safe on Linux alone, and in a
    process without other threads and without torch, which has threads of its own.

    Args:
        score: answers the same however often, and in whatever process, it is called.
        image_ids: what it is called with.
        workers: how many, by default one per processor.
        on_result: called after each image.

    Raises:
        DataError: a process was killed.
    """
    chunks = [image_ids[at : at + CHUNK] for at in range(0, len(image_ids), CHUNK)]
    count = min(workers or os.cpu_count() or 1, len(chunks))
    if not (count > 1 and len(image_ids) >= FEWEST and can_fork()):
        with map_threads(score, image_ids, workers, on_result=on_result) as scores:
            return ImageScores(scores)
    keep_freed_memory()
    score(image_ids[0])  # kernels are loaded once, and shared
    scored = ImageScores()
    with ExitStack() as stack:
        connections: list[Connection] = []
        for first in range(count):
            own = chunks[first::count]
            connections.append(stack.enter_context(_fork(score, own, connections)))
        for connection, chunk in zip(cycle(connections), chunks, strict=False):
            answer = _receive(connection)
            scored.extend(ImageScores(map(score, chunk)) if answer is None else answer)
            if on_result:
                for _image in chunk:
                    on_result()
    return scored


def can_fork() -> bool:
    """Whether a copy of this process can go on: no thread is there that it would lack."""
    return (
        sys.platform == "linux"
        and threading.active_count() == 1
        and "torch" not in sys.modules
        and not multiprocessing.current_process().daemon  # which may have no children
    )


@contextmanager
def _fork(
    score: Callable[[ImageId], ImageScore],
    chunks: Sequence[Sequence[ImageId]],
    others: Sequence[Connection],
) -> Iterator[Connection]:
    """What a process sends that scores chunks; with the block it ends."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_send_scores, args=(score, chunks, sender, [*others, receiver]), daemon=True
    )
    process.start()
    sender.close()
    try:
        yield receiver
    finally:
        receiver.close()
        process.terminate()  # nobody wants its scores, or it has ended
        process.join()


def _send_scores(
    score: Callable[[ImageId], ImageScore],
    chunks: Sequence[Sequence[ImageId]],
    sender: Connection,
    inherited: Sequence[Connection],
) -> None:
    """Score chunks and send each; None in place of one that fails, as errors may not travel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it, too, and ends this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for connection in inherited:
        connection.close()  # else a parent that was killed would seem to listen
    gc.freeze()  # a look at what is shared would copy it
    gc.enable()
    for image_ids in chunks:
        try:
            scores = ImageScores(map(score, image_ids))
        except Exception:  # noqa: BLE001 - the parent scores the chunk itself, and meets it there
            scores = None
        try:
            sender.send(scores)
        except BrokenPipeError:  # the parent is gone
            return


def _receive(connection: Connection) -> ImageScores | None:
    """The scores of a chunk; None where its process met an error.

    Raises:
        DataError: the process was killed.
    """
    try:
        scores: ImageScores | None = connection.recv()
    except EOFError as err:
        raise DataError(
            "a process that scored images was killed, as where memory runs out; "
            "--workers 1 does without"
        ) from err
    return scores
