"""Panoptic segmentation by fusing two independent pretrained nets."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fuse.lazy import offer
from fuse.version import __version__

if TYPE_CHECKING:
    from fuse import api
    from fuse.api import demo, evaluate, run
    from fuse.errors import FuseError
    from fuse.fusion import fuse_by_overlap
    from fuse.inference.pipeline import Pipeline
    from fuse.io.coco.panoptic import (
        ImageRecord,
        annotation_to_json,
        read_panoptic_json,
        write_panoptic_json,
    )
    from fuse.io.images import read_image
    from fuse.io.png import read_id_map, write_id_map
    from fuse.labels import load_space
    from fuse.metrics.matching import match_segments
    from fuse.metrics.pq import summarize
    from fuse.metrics.quality import PanopticQuality
    from fuse.results.result import PanopticResult
    from fuse.results.segment import Segment
    from fuse.types import (
        BoxMasks,
        Category,
        Instances,
        LabelSpace,
        NamedImage,
        PanopticPrediction,
        RleMasks,
        SegmentInfo,
        SemanticLogits,
        SemanticPrediction,
    )

# Where each public name lives; torch and numba are loaded when one is first used.
_HOMES = {
    "fuse.api": ("demo", "evaluate", "run"),
    "fuse.errors": ("FuseError",),
    "fuse.fusion": ("fuse_by_overlap",),
    "fuse.io.coco.panoptic": (
        "ImageRecord",
        "annotation_to_json",
        "read_panoptic_json",
        "write_panoptic_json",
    ),
    "fuse.io.images": ("read_image",),
    "fuse.io.png": ("read_id_map", "write_id_map"),
    "fuse.labels": ("load_space",),
    "fuse.metrics.matching": ("match_segments",),
    "fuse.metrics.pq": ("summarize",),
    "fuse.metrics.quality": ("PanopticQuality",),
    "fuse.results.result": ("PanopticResult",),
    "fuse.results.segment": ("Segment",),
    "fuse.inference.pipeline": ("Pipeline",),
    "fuse.types": (
        "BoxMasks",
        "Category",
        "Instances",
        "LabelSpace",
        "PanopticPrediction",
        "NamedImage",
        "RleMasks",
        "SegmentInfo",
        "SemanticLogits",
        "SemanticPrediction",
    ),
}
_find = offer(__name__, _HOMES)

__all__ = [
    "BoxMasks",
    "Category",
    "FuseError",
    "ImageRecord",
    "Instances",
    "LabelSpace",
    "NamedImage",
    "PanopticPrediction",
    "PanopticQuality",
    "PanopticResult",
    "Pipeline",
    "RleMasks",
    "Segment",
    "SegmentInfo",
    "SemanticLogits",
    "SemanticPrediction",
    "__version__",
    "annotation_to_json",
    "api",
    "demo",
    "evaluate",
    "fuse_by_overlap",
    "load_space",
    "match_segments",
    "read_id_map",
    "read_image",
    "read_panoptic_json",
    "run",
    "summarize",
    "write_id_map",
    "write_panoptic_json",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type is that of the name
    if name == "api":
        return import_module("fuse.api")
    return _find(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
