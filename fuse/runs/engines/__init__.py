"""Engines: how a run gets through its images. Its results do not depend on which one it is."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol

from fuse.inference.pipeline import Pipeline
from fuse.labels import name_targets
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import FinishedImage


class Engine(Protocol):
    """Processes the images of a run."""

    @property
    def nets(self) -> dict[str, Any]:
        """What maps depend on besides the preset: see `describe_nets`."""

    def process(self, tasks: Sequence[ImageTask]) -> Generator[FinishedImage, None, None]:
        """Do the images, each once, in any order."""

    def describe(self) -> dict[str, Any]:
        """How it did them, for run.json: the engine, the device, peak memory."""


def describe_nets(pipeline: Pipeline) -> dict[str, Any]:
    """What the maps of a run depend on besides its preset, in plain values."""
    beside = {branch: dict(files) for branch, files in pipeline.side_files.items()}
    return {
        "weights": dict(pipeline.weights),
        **({"side_files": beside} if beside else {}),
        "label_maps": {
            branch: name_targets(label_map) for branch, label_map in pipeline.label_maps.items()
        },
        "device": pipeline.device.partition(":")[0],
    }
