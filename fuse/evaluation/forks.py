"""Scores of many images by processes: threads wait for each other's Python half of the time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial

from fuse.errors import DataError
from fuse.evaluation.image_scores import ImageScore, ImageScores
from fuse.io.coco.panoptic import ImageId
from fuse.processes import CannotForkError, ProcessKilledError, can_fork, draw_from_forks
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

    Processes are forked, so they share what was read.

    Args:
        score: answers the same however often, and in whatever process, it is called.
        image_ids: what it is called with.
        workers: how many, by default one per processor.
        on_result: called after each image.

    Raises:
        DataError: a process was killed.
    """
    count = min(workers or os.cpu_count() or 1, -(-len(image_ids) // CHUNK))
    if count > 1 and len(image_ids) >= FEWEST and may_fork():
        try:
            return _score_by_forks(score, image_ids, count, on_result)
        except ProcessKilledError as err:
            raise DataError(f"{err}; --workers 1 does without") from err
        except CannotForkError:
            pass  # threads may do
    with map_threads(score, image_ids, workers, on_result=on_result) as scores:
        return ImageScores(scores)


def _score_by_forks(
    score: Callable[[ImageId], ImageScore],
    image_ids: Sequence[ImageId],
    count: int,
    on_result: Callable[[], object] | None,
) -> ImageScores:
    """`score_images`, by so many processes."""
    keep_freed_memory()
    score(image_ids[0])  # kernels are loaded once, and shared
    chunks = [image_ids[at : at + CHUNK] for at in range(0, len(image_ids), CHUNK)]
    parts = [partial(_score_chunks, score, chunks[first::count]) for first in range(count)]
    scored = ImageScores()
    with closing(draw_from_forks(parts)) as answers:
        for chunk, answer in zip(chunks, answers, strict=True):
            scored.extend(ImageScores(map(score, chunk)) if answer is None else answer)
            if on_result:
                for _image in chunk:
                    on_result()
    return scored


def may_fork() -> bool:
    """Whether a copy of this process can score: torch has threads that it would lack."""
    return "torch" not in sys.modules and can_fork()


def _score_chunks(
    score: Callable[[ImageId], ImageScore], chunks: Sequence[Sequence[ImageId]]
) -> Generator[ImageScores | None, None, None]:
    """The scores of each chunk; None in place of one that fails, as errors may not travel."""
    for image_ids in chunks:
        try:
            scores = ImageScores(map(score, image_ids))
        except Exception:  # noqa: BLE001 - the parent scores the chunk itself, and meets it there
            scores = None
        yield scores
