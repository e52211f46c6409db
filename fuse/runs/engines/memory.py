"""How much memory the images of a run take at a time: bounded in bytes, however large they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from math import inf
from threading import Condition

from fuse.runs.tasks import ImageTask

IN_FLIGHT_BYTES = 2 << 30  # of images that are read and not finished; one alone may take more


@dataclass(slots=True)
class _Share:
    """What an image has: bytes, after so many requests; and the bytes that it asks for."""

    size: int = 0
    requests: float = 0
    asked: int | None = None


class MemoryBudget:
    """Bytes that the images in flight share; any thread may call it.

    An image asks for its bytes once or more, each time for all that it then needs, and waits until
    there is room and those before it have asked as often. The first in line never waits, so that a
    run goes on whatever one image takes.

    Args:
        limit: bytes of all images.
    """

    def __init__(self, limit: int = IN_FLIGHT_BYTES) -> None:
        self._limit = limit
        self._line: dict[ImageTask, _Share] = {}  # the first in front
        self._changed = Condition()

    def join(self, task: ImageTask) -> None:
        """Put an image at the end of the line."""
        with self._changed:
            self._line[task] = _Share()

    def take(self, task: ImageTask, size: int, on_wait: Callable[[], object]) -> None:
        """Let an image have so many bytes in all, once there is room.

        Args:
            task: the image; one that has left does not wait.
            size: bytes.
            on_wait: called where there is no room yet.
        """
        with self._changed:
            share = self._line.get(task, _Share())
            share.asked = size
            if self._must_wait(task):
                on_wait()
            self._changed.wait_for(lambda: not self._must_wait(task))
            share.size, share.asked = size, None
            share.requests += 1
            self._changed.notify_all()

    def settle(self, task: ImageTask) -> None:
        """Have nobody wait for the requests of an image any more: it is read, or cannot be."""
        with self._changed:
            if task in self._line:
                self._line[task].requests = inf
            self._changed.notify_all()

    def is_short(self, task: ImageTask) -> bool:
        """Whether an image waits for room that others must make."""
        with self._changed:
            return self._must_wait(task)

    def leave(self, task: ImageTask) -> None:
        """Make room: the image is finished, or given up."""
        with self._changed:
            self._line.pop(task, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._line.clear()
            self._changed.notify_all()

    def _must_wait(self, task: ImageTask) -> bool:
        share = self._line.get(task)
        if share is None or share.asked is None or task == next(iter(self._line)):
            return False
        before = takewhile(lambda other: other is not share, self._line.values())
        if any(other.requests <= share.requests for other in before):
            return True
        others = sum(other.size for other in self._line.values()) - share.size
        return others + share.asked > self._limit
