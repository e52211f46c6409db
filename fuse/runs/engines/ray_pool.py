"""Where the workers of the Ray engine run, and how many fit there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from fuse.errors import ConfigError, EngineError


@dataclass(frozen=True, slots=True)
class RayPool:
    """The workers that are asked for.

    Attributes:
        address: of a running cluster; None starts one on this machine, for this run.
        workers: how many; None takes as many as there is room for, one per core or GPU share.
        gpus_per_worker: 0..1; 0 runs the nets on the CPU.

    Raises:
        ConfigError: a number is out of its range.
    """

    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers must be at least 1, got {self.workers}")
        if not 0 <= self.gpus_per_worker <= 1:
            raise ConfigError(f"GPUs per worker must lie in 0..1, got {self.gpus_per_worker}")

    def choose_device(self, device: str) -> str:
        """Where the nets of each worker run; Ray shows it its own GPU as the first.

        Raises:
            ConfigError: the device contradicts the GPUs per worker.

        >>> RayPool().choose_device("auto"), RayPool(gpus_per_worker=1).choose_device("auto")
        ('cpu', 'cuda:0')
        """
        own, also = ("cuda:0", "cuda") if self.gpus_per_worker else ("cpu", "cpu")
        if device not in ("auto", own, also):
            raise ConfigError(
                f"device {device!r} does not go with {self.gpus_per_worker:g} GPUs per worker, "
                f"which is {own}; leave it out, or change --gpus-per-worker"
            )
        return own


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine of a cluster has for workers."""

    cpus: float
    gpus: float = 0


def fit_workers(pool: RayPool, machines: Sequence[Machine]) -> tuple[int, int]:
    """How many workers there will be, and with how many cores each: all that fit.

    Raises:
        EngineError: there is no room for so many.

    >>> fit_workers(RayPool(), [Machine(16), Machine(8)])
    (24, 1)
    >>> fit_workers(RayPool(workers=3), [Machine(16), Machine(8)])
    (3, 8)
    >>> fit_workers(RayPool(gpus_per_worker=0.5), [Machine(16, gpus=2)])
    (4, 4)
    """
    share = pool.gpus_per_worker

    def room(cores: int) -> int:
        by_cpus = (int(machine.cpus // cores) for machine in machines)
        # A third of a GPU fits three times, whatever floating point says.
        by_gpus = (int(machine.gpus / share + 1e-6) if share else inf for machine in machines)
        return sum(int(min(pair)) for pair in zip(by_cpus, by_gpus, strict=True))

    workers = pool.workers or room(1)
    if not 0 < workers <= room(1):
        cpus, gpus = sum(m.cpus for m in machines), sum(m.gpus for m in machines)
        raise EngineError(
            f"there is room for {room(1)} workers, not for {pool.workers or 'any'}: Ray has "
            f"{cpus:g} CPUs and {gpus:g} GPUs, and a worker needs 1 CPU and {share:g} GPUs"
        )
    cores = 1
    while room(cores + 1) >= workers:
        cores += 1
    return workers, cores
