"""Many images through a pipeline, as fast as a run, with the same bytes, and in little memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from os import cpu_count
from typing import NamedTuple, Protocol

from fuse.clock import StageClock
from fuse.errors import DataError, ImageReadError, ModelError
from fuse.inference.batches import BatchPredictor, LanePlan
from fuse.inference.prediction import RawPrediction
from fuse.io.given import ImageLike, copy_in_memory, find_path, is_in_memory, to_image
from fuse.models.runtime import keep_threads, use_threads
from fuse.results.result import PanopticResult
from fuse.threads import map_ahead
from fuse.types import NamedImage

MAX_THREADS = 8  # for reading, and as many for finishing
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class GivenImage:
    """One of the images that were given, read or not.

    Attributes:
        image: its pixels, None where there are none.
        path: where it came from, None where nobody knows.
        place: of the image among all, from 0.
        preprocess: milliseconds that it took to read.
        failure: why there are no pixels.
        error: the same in words.
    """

    image: NamedImage | None
    path: str | None
    place: int
    preprocess: float = 0.0
    failure: Exception | None = None
    error: str | None = None


class TimedPrediction(NamedTuple):
    """What the nets said of an image, and the milliseconds of its share in the batch."""

    raw: RawPrediction
    inference: float


class Predicts(Protocol):
    """What `Pipeline.predict` is."""

    def __call__(
        self, images: Sequence[NamedImage], *, score_threshold: float | None = None
    ) -> list[RawPrediction]:
        """An answer to each image."""


@dataclass(frozen=True, slots=True)
class LaneNets:
    """The nets as a lane asks them: with its own number of threads, and timed."""

    ask: Predicts
    threads: int

    def predict(
        self, images: Sequence[NamedImage], *, score_threshold: float | None
    ) -> list[TimedPrediction]:
        """What the nets say, on this thread."""
        use_threads(self.threads)
        start = time.perf_counter()
        answers = self.ask(images, score_threshold=score_threshold)
        each = MILLISECONDS * (time.perf_counter() - start) / max(len(images), 1)
        return [TimedPrediction(answer, each) for answer in answers]


def stream(
    given: Iterable[ImageLike],
    predict: Predicts,
    finish: Callable[[GivenImage, TimedPrediction], PanopticResult],
    plan: LanePlan,
    *,
    batch_size: int | None,
    as_stored: bool = False,
) -> Generator[PanopticResult, None, None]:
    """The result of each image, in order.

    Files are read ahead of the nets and maps are fused behind them, on threads of their own; the
    images themselves are drawn on the caller's. A few batches are in memory at a time.

    Args:
        given: the images; an array that is filled anew for each image may be given.
        predict: asks the nets.
        finish: makes a result of what they said; any number of threads call it.
        plan: how many batches the nets get at once, and the threads of each.
        batch_size: images per call of the nets; None starts with one and doubles.
        as_stored: see `fuse.io.given.to_image`.

    Raises:
        FuseError, TypeError, ValueError: an image is wrong, or a net failed; at its turn.
    """
    threads = min(cpu_count() or 1, MAX_THREADS)
    predictor: BatchPredictor[GivenImage, TimedPrediction] = BatchPredictor(
        LaneNets(predict, plan.threads),
        StageClock(),
        batch_size=batch_size,
        score_threshold=None,
        lanes=plan.lanes,
    )

    def ahead() -> int:
        return 2 * predictor.batch_size * predictor.lanes + threads

    def complete(predicted: tuple[GivenImage, TimedPrediction | None]) -> PanopticResult:
        image, prediction = predicted
        if prediction is None:
            raise _place_failure(image) or ModelError(f"{_name(image)}: {image.error}")
        return finish(image, prediction)

    read = partial(_read, as_stored=as_stored)
    with (
        keep_threads(),
        closing(map_ahead(read, _draw(given, as_stored=as_stored), threads, ahead)) as images,
        closing(predictor.predict_all(images)) as predicted,
        closing(map_ahead(complete, filter(None, predicted), threads, ahead)) as finished,
    ):
        yield from finished


def read_given(given: ImageLike, place: int = 0, *, as_stored: bool = False) -> GivenImage:
    """An image that was given, read; whatever is wrong with it is raised later, at its turn.

    as_stored: see `fuse.io.given.to_image`.
    """
    path = find_path(given)
    start = time.perf_counter()
    try:
        image = to_image(given, as_stored=as_stored)
    except Exception as err:  # noqa: BLE001 - raised at its turn
        return GivenImage(None, path, place, failure=err, error=str(err))
    return GivenImage(image, path, place, MILLISECONDS * (time.perf_counter() - start))


def _draw(
    given: Iterable[ImageLike], *, as_stored: bool
) -> Iterator[tuple[ImageLike, int] | GivenImage]:
    """Each image with its place; what is in memory is taken now, files are read later.

    An iterable that raises ends with that error, behind the images that it gave before.
    """
    place = 0
    images = iter(given)
    while True:
        try:
            image = next(images)
        except StopIteration:
            return
        except Exception as err:  # noqa: BLE001 - raised at its turn
            reason = f"{type(err).__name__}: {err}" if str(err) else type(err).__name__
            failure = DataError(
                f"the images that were given ended after {place} with {reason}; results of those "
                "before are whole"
            )
            failure.__cause__ = err
            yield GivenImage(None, None, place, failure=failure, error=str(failure))
            return
        in_memory = is_in_memory(image)
        if in_memory:
            yield read_given(copy_in_memory(image), place, as_stored=as_stored)
        else:
            yield image, place
        place += 1


def _read(drawn: tuple[ImageLike, int] | GivenImage, *, as_stored: bool) -> GivenImage:
    return drawn if isinstance(drawn, GivenImage) else read_given(*drawn, as_stored=as_stored)


def _name(image: GivenImage) -> str:
    return image.path or f"images[{image.place}]"


def _place_failure(image: GivenImage) -> Exception | None:
    """Why there are no pixels; of an image in memory it says which of all it is."""
    failure = image.failure
    if image.path is None and isinstance(failure, TypeError | ValueError | ImageReadError):
        placed = type(failure)(f"{_name(image)}: {failure}")
        placed.__cause__ = failure
        return placed
    return failure
