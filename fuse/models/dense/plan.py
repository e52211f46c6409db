"""Which runtime has the dense parts of a net, and in which number format."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from fuse.errors import ConfigError
from fuse.models.runtime import choose_dtype

RUNTIMES = ("auto", "torch", "openvino", "onnx")
# The package of each runtime besides torch; the extras have the runtimes' names.
PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}
PRECISIONS = {"openvino": ("float32", "bfloat16"), "onnx": ("float32",)}
TABLE = Path(__file__).with_name("runtimes.csv")


@dataclass(frozen=True, slots=True)
class DensePlan:
    """How the dense parts of a net run.

    Attributes:
        device: ``cpu``, ``cuda:0``, ...
        runtime: ``torch``, ``openvino`` or ``onnx``.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        is_asked: whether the runtime was asked for by name, so that no other may stand in.
    """

    device: str
    runtime: str
    precision: str
    is_asked: bool

    @property
    def version(self) -> str:
        """The version of the runtime's package."""
        return version(PACKAGES.get(self.runtime, self.runtime))

    def describe(self) -> dict[str, str]:
        """The plan in plain values, for run.json."""
        return {"runtime": self.runtime, "precision": self.precision, "version": self.version}


def plan_dense(kind: str, device: str, precision: str, runtime: str = "auto") -> DensePlan:
    """Choose the runtime of a net's dense parts.

    ``auto`` looks it up in ``runtimes.csv``, by what was measured for the kind of net and the
    processor; it times nothing, so that the same machine always chooses the same. It takes a
    runtime only where its package is installed.

    Args:
        kind: of the net, as in the table.
        device: ``cpu``, ``cuda:0``, ...
        precision: see `fuse.models.runtime.choose_dtype`; ``auto`` is float32 for ``onnx``.
        runtime: one of RUNTIMES.

    Raises:
        ConfigError: the runtime is unknown, not installed, or has not that device or precision.
    """
    if runtime not in RUNTIMES:
        raise ConfigError(f"runtime {runtime!r} is none of {', '.join(RUNTIMES)}")
    if runtime == "onnx" and precision == "auto":
        precision = "float32"
    precision = str(choose_dtype(device, precision)).removeprefix("torch.")
    if runtime == "auto":
        runtime = _look_up(kind, precision) if device == "cpu" else "torch"
        return DensePlan(device, runtime, precision, is_asked=False)
    if runtime != "torch":
        _check_asked(runtime, device, precision)
    return DensePlan(device, runtime, precision, is_asked=True)


def _check_asked(runtime: str, device: str, precision: str) -> None:
    """Raise ConfigError where a runtime cannot do what it is asked for."""
    if find_spec(PACKAGES[runtime]) is None:
        raise ConfigError(
            f"runtime {runtime!r} needs the package {PACKAGES[runtime]}: "
            f"pip install 'panoptic-fuse[{runtime}]'"
        )
    if device != "cpu":
        raise ConfigError(
            f"runtime {runtime!r} runs dense parts on the CPU, not on {device}; "
            "take device cpu, or runtime torch"
        )
    if precision not in PRECISIONS[runtime]:
        raise ConfigError(
            f"runtime {runtime!r} has no precision {precision!r}, only "
            f"{' and '.join(PRECISIONS[runtime])}"
        )


def _look_up(kind: str, precision: str) -> str:
    """The runtime of the table's first row that fits and is installed; else torch."""
    features = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    for row in _read_table():
        if (row["kind"], row["precision"]) == (kind, precision) and features.get(row["feature"]):
            runtime = row["runtime"]
            return runtime if find_spec(PACKAGES[runtime]) else "torch"
    return "torch"


@cache
def _read_table() -> tuple[dict[str, str], ...]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))
