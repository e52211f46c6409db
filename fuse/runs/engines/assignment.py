"""What the processes that do images are told once, before they are given any."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fuse.inference.pipeline import Pipeline
from fuse.inference.presets import PipelineConfig
from fuse.labels import name_targets
from fuse.runs.records import ImageTask
from fuse.runs.worker import FinishedImage


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which nets, and what to make of images: plain values, which may go to another process.

    Attributes:
        config: the preset.
        device: where the nets run.
        weights_dir: where published weights lie; see `fuse.inference.fetch.fetch`.
        out: the run's output folder.
        gt: COCO panoptic JSON to score against, if any.
        gt_dir: its PNGs, where they are not in the folder of its name.
        pictures: whether to write a picture of each image beside its map.
        keep_predictions: whether to write what the nets said of it too.
        batch_size: images per call of the nets; None takes one on a CPU, and on a GPU as many
            as fit.
        timeout: seconds after which an image that is still being read has failed.
    """

    config: PipelineConfig
    device: str
    weights_dir: Path | None
    out: Path
    gt: Path | None
    gt_dir: Path | None
    pictures: bool
    keep_predictions: bool
    batch_size: int | None
    timeout: float


class Engine(Protocol):
    """Carries an assignment over images. Its results do not depend on which one it is."""

    @property
    def nets(self) -> dict[str, Any]:
        """What maps depend on besides the preset: see `describe_nets`."""

    def __call__(self, tasks: Sequence[ImageTask]) -> Generator[FinishedImage, None, None]:
        """Do the images, each once, in any order."""

    def describe(self) -> dict[str, Any]:
        """How it did them, for run.json: the engine, the device, peak memory."""


def describe_nets(pipeline: Pipeline) -> dict[str, Any]:
    """What the maps of a run depend on besides its preset, in plain values."""
    return {
        "weights": dict(pipeline.weights),
        "label_maps": {
            branch: name_targets(label_map) for branch, label_map in pipeline.label_maps.items()
        },
        "device": pipeline.device.partition(":")[0],
    }
