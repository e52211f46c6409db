"""The workers that a run of the Ray engine asks for: plain values, known without Ray or a net."""

from __future__ import annotations

from dataclasses import dataclass

from fuse.errors import ConfigError


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
