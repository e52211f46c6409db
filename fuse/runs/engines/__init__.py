"""Engines: how a run gets through its images. Its results do not depend on which one it is."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fuse.labels import name_targets
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import FinishedImage

if TYPE_CHECKING:
    from fuse.inference.pipeline import Pipeline  # loads torch


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
    """What the maps of a run depend on besides its preset, in plain values.

    Dense parts that another runtime than torch has count: each rounds in its own way.
    """
    runtimes = describe_runtimes(pipeline)
    others = {branch: run for branch, run in runtimes.items() if run["runtime"] != "torch"}
    beside = {branch: dict(files) for branch, files in pipeline.side_files.items()}
    return {
        "weights": dict(pipeline.weights),
        **({"side_files": beside} if beside else {}),
        "label_maps": {
            branch: name_targets(label_map) for branch, label_map in pipeline.label_maps.items()
        },
        "device": pipeline.device.partition(":")[0],
        **({"runtimes": others} if others else {}),
    }


def describe_runtimes(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """By branch what runs the dense parts of its net: runtime, precision and version."""
    models = {"semantic": pipeline.semantic_model, "instance": pipeline.instance_model}
    plans = {branch: getattr(model, "dense", None) for branch, model in models.items()}
    return {branch: plan.describe() for branch, plan in plans.items() if plan}
