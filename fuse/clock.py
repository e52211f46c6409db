"""Seconds per stage, seconds to wait, and the memory of the process."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

LONGEST_WAIT = 1.0  # seconds


class StageClock:
    """Adds up the seconds that threads, and other processes, spend in named stages.

    >>> clock = StageClock()
    >>> with clock.time("read"):
    ...     pass
    >>> sorted(clock.seconds)
    ['read']
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Count the seconds of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] += time.perf_counter() - start

    def take(self) -> dict[str, float]:
        """The seconds so far; counting begins anew."""
        with self._lock:
            seconds = dict(self.seconds)
            self.seconds.clear()
        return seconds

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count what another clock has measured."""
        with self._lock:
            for stage, spent in seconds.items():
                self.seconds[stage] += spent


def count_down(seconds: float) -> Iterator[float]:
    """Short waits that add up to so many seconds in which this process ran.

    Each counts as what it should have taken. So a process that was stopped (Ctrl-Z) or a machine
    that slept loses one of them, and not all its time.

    >>> list(count_down(0.5))[:2], sum(1 for _ in count_down(60))
    ([0.05, 0.05], 60)
    """
    part, passed = min(LONGEST_WAIT, seconds / 10), 0.0
    while passed < seconds:
        yield part
        passed += part


def peak_memory() -> int | None:
    """Most bytes of memory this process has had at a time; None where the system cannot say."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def to_mebibytes(memory: Mapping[str, int | None]) -> dict[str, int | None]:
    """Bytes in MiB, rounded down.

    >>> to_mebibytes({"process": 5 << 20, "device": None})
    {'process': 5, 'device': None}
    """
    return {where: None if size is None else size >> 20 for where, size in memory.items()}
