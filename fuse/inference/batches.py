"""How many images the nets get at a time, also where nobody knows how many fit."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import Field, replace
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from fuse.clock import StageClock
from fuse.errors import FuseError
from fuse.models.runtime import count_threads, is_out_of_memory
from fuse.threads import map_ahead
from fuse.types import NamedImage

MAX_AUTO_BATCH = 64  # beyond it no GPU gains
# Up to so many cores have a batch each to themselves, and beyond that so many share one: a batch
# in the nets needs its own working memory, and layers of small nets do not fill many cores.
LANE_CORES = 4


class MaybeImage(Protocol):
    """A dataclass with an image, or with the reason why there is none."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def image(self) -> NamedImage | None:
        """The image, None where it could not be read."""

    @property
    def error(self) -> str | None:
        """Why there is no image."""


Loaded = TypeVar("Loaded", bound=MaybeImage)
Answer = TypeVar("Answer")
AnswerOut = TypeVar("AnswerOut", covariant=True)


class Nets(Protocol[AnswerOut]):
    """What predicts, as `fuse.inference.pipeline.Pipeline`."""

    def predict(
        self, images: Sequence[NamedImage], *, score_threshold: float | None
    ) -> Sequence[AnswerOut]:
        """An answer to each image."""


class LanePlan(NamedTuple):
    """How many batches the nets get at once, and the threads of torch that each has."""

    lanes: int
    threads: int


def plan_lanes(device: str, *, is_thread_safe: bool) -> LanePlan:
    """The lanes of nets on a device, on the cores that torch has.

    Two images on a core each are done sooner than two images one after the other on both: cores
    that share a layer's sums wait for each other at its end. And a net's last bits depend on how
    its sums are shared, so that up to `LANE_CORES` cores all give the same bytes.
    """
    threads = count_threads()
    lanes = 1
    if device == "cpu" and is_thread_safe:
        lanes = max(min(threads, LANE_CORES), threads // LANE_CORES)
    return LanePlan(lanes, threads // lanes)


class BatchPredictor(Generic[Loaded, Answer]):
    """Runs the nets over images, a batch at a time.

    Where a batch does not fit the device's memory it is done in halves, and later batches are
    not larger than what did fit. Where the nets raise anything else, each image is tried alone,
    so that one image does not take its batch mates with it; where none fails then, later batches
    are smaller, too. Neither changes an answer: an image's answer does not depend on its batch.

    Args:
        pipeline: the nets.
        clock: where the seconds go.
        batch_size: images per call of the nets; None starts with one and doubles as long as
            the batches fit.
        score_threshold: see `Pipeline.predict`.
        lanes: how many batches the nets get at once, each on a thread of its own.
    """

    def __init__(
        self,
        pipeline: Nets[Answer],
        clock: StageClock,
        *,
        batch_size: int | None,
        score_threshold: float | None,
        lanes: int = 1,
    ) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._score_threshold = score_threshold
        self._may_grow = batch_size is None
        self.batch_size = batch_size or 1
        self.lanes = lanes

    def predict_all(
        self, images: Iterable[Loaded | None]
    ) -> Generator[tuple[Loaded, Answer | None] | None, None, None]:
        """Each image with what the nets predict for it, in order.

        None among the images asks for those before it, as `read_ahead` says, and comes out again.
        """
        # A lane alone is waited for, as the size of the next batch depends on this one; several
        # have batches at hand while the oldest is not done.
        limit = 2 * self.lanes - 1
        batches = map_ahead(self.predict, self._cut(images), self.lanes, lambda: limit)
        with closing(batches):
            for batch in batches:
                if not batch:
                    yield None
                yield from batch

    def _cut(self, images: Iterable[Loaded | None]) -> Iterator[list[Loaded]]:
        """The images in batches; a batch ends at None, for which an empty one follows."""
        batch: list[Loaded] = []
        for image in images:
            if image is None:
                if batch:
                    yield batch
                batch = []
                yield []
                continue
            batch.append(image)
            if len(batch) >= self.batch_size:
                yield batch
                self._grow(len(batch))
                batch = []
        if batch:
            yield batch

    def predict(self, batch: Sequence[Loaded]) -> list[tuple[Loaded, Answer | None]]:
        """A batch with what the nets predict; images that could not be read pass through."""
        images = [loaded.image for loaded in batch if loaded.image is not None]
        if not images:
            return [(loaded, None) for loaded in batch]
        try:
            with self._clock.time("nets"):
                answers = iter(
                    self._pipeline.predict(images, score_threshold=self._score_threshold)
                )
        except Exception as err:  # noqa: BLE001 - a net may raise anything; the record says what
            if len(batch) == 1:
                return [(replace(batch[0], image=None, error=_describe(err)), None)]
            if not is_out_of_memory(err):
                return self._predict_alone(batch)
            part = self._shrink(len(batch))
        else:
            return [(i, None if i.image is None else next(answers)) for i in batch]
        parts = (batch[first : first + part] for first in range(0, len(batch), part))
        return [pair for smaller in parts for pair in self.predict(smaller)]

    def _predict_alone(self, batch: Sequence[Loaded]) -> list[tuple[Loaded, Answer | None]]:
        """Each image by itself; where none fails, it is their number that the nets do not take."""
        answers = [pair for loaded in batch for pair in self.predict([loaded])]
        if [loaded.error for loaded, _ in answers] == [loaded.error for loaded in batch]:
            self._shrink(len(batch))
        return answers

    def _grow(self, fitted: int) -> None:
        """Try twice as many next time, unless memory has been full before."""
        if self._may_grow:
            self.batch_size = min(2 * fitted, MAX_AUTO_BATCH)

    def _shrink(self, full: int) -> int:
        """Remember that so many did not fit; answers how many to try."""
        self._may_grow = False
        self.batch_size = min(self.batch_size, full // 2)
        return full // 2


def _describe(err: Exception) -> str:
    """Why the nets failed; the type too where the error is not one of ours."""
    return str(err) if isinstance(err, FuseError) else f"{type(err).__name__}: {err}"
