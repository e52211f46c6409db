"""Published PQ to compare with, by label space."""

from __future__ import annotations

from dataclasses import dataclass

from fuse.labels.spaces import is_shipped
from fuse.types import LabelSpace


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """A published result on the validation images of a dataset, or on others that its name says.

    Attributes:
        name: of the method.
        source: where it was published.
        pq: of all classes in 0..1, and so the next two; None where they are not given.
        things: of things.
        stuff: of stuff.
    """

    name: str
    source: str
    pq: float
    things: float | None = None
    stuff: float | None = None


_FIRST_PAPER = "Kirillov et al., Panoptic Segmentation, CVPR 2019"
_FPN_PAPER = "Kirillov et al., Panoptic FPN, CVPR 2019"
_ZOO = "detectron2 model zoo"
_AUNET = "Li et al., Attention-guided Unified Network, CVPR 2019"
_TASCNET = "Li et al., Learning to Fuse Things and Stuff, arXiv 1812.01192"
_OANET = "Liu et al., An End-to-End Network for Panoptic Segmentation, CVPR 2019"
_UPSNET = "Xiong et al., UPSNet, CVPR 2019"
_SEAMLESS = "Porzi et al., Seamless Scene Segmentation, CVPR 2019"
_MASK2FORMER = "Cheng et al., Mask2Former, CVPR 2022 (its model zoo)"
_ONEFORMER = "Jain et al., OneFormer, CVPR 2023 (its README)"
_EOMT = "Kerssies et al., EoMT, CVPR 2025 (its model zoo)"
_EFFICIENTPS = "Mohan and Valada, EfficientPS, IJCV 2021"

RESULTS: dict[str, tuple[PublishedResult, ...]] = {
    "coco_panoptic": (
        PublishedResult("two people", _FIRST_PAPER, 0.535, 0.578, 0.471),
        PublishedResult("two R50-FPN nets fused", _FPN_PAPER, 0.392, 0.466, 0.279),
        PublishedResult("Panoptic FPN R50", _FPN_PAPER, 0.390),
        PublishedResult("Panoptic FPN R101", _FPN_PAPER, 0.403),
        PublishedResult("Panoptic FPN R50 3x", _ZOO, 0.415),
        PublishedResult("Panoptic FPN R101 3x", _ZOO, 0.430),
        PublishedResult("AUNet R50", _AUNET, 0.396, 0.491, 0.252),
        PublishedResult("OANet R101, test-dev", _OANET, 0.413, 0.504, 0.277),
        PublishedResult("UPSNet R50", _UPSNET, 0.425, 0.486, 0.334),
        PublishedResult("Mask2Former Swin-L", _MASK2FORMER, 0.578),
        PublishedResult("OneFormer Swin-L", _ONEFORMER, 0.579, 0.644, 0.480),
        PublishedResult("EoMT-L 640", _EOMT, 0.560),
        PublishedResult("EoMT-L 1280, DINOv3", _EOMT, 0.589),
        PublishedResult("EoMT-g 1280", _EOMT, 0.592),
    ),
    "cityscapes": (
        PublishedResult("two people", _FIRST_PAPER, 0.697, 0.674, 0.713),
        PublishedResult("two best nets fused", _FIRST_PAPER, 0.612),
        PublishedResult("two R50-FPN nets fused", _FPN_PAPER, 0.577),
        PublishedResult("Panoptic FPN R101", _FPN_PAPER, 0.581, 0.520, 0.625),
        PublishedResult("AUNet R101", _AUNET, 0.590, 0.548, 0.621),
        PublishedResult("TASCNet R101", _TASCNET, 0.592, 0.560, 0.615),
        PublishedResult("UPSNet R50", _UPSNET, 0.593, 0.546, 0.627),
        PublishedResult("Seamless R50", _SEAMLESS, 0.598, 0.534, 0.645),
        PublishedResult("Mask2Former Swin-L", _MASK2FORMER, 0.666),
        PublishedResult("OneFormer Swin-L", _ONEFORMER, 0.672),
        PublishedResult("EfficientPS, several scales", _EFFICIENTPS, 0.649, 0.610, 0.677),
    ),
    "ade20k_panoptic": (
        PublishedResult("two people", _FIRST_PAPER, 0.671, 0.659, 0.703),
        PublishedResult("two best nets fused", _FIRST_PAPER, 0.356),
        PublishedResult("Mask2Former Swin-L", _MASK2FORMER, 0.481),
        PublishedResult("OneFormer Swin-L 1280", _ONEFORMER, 0.514),
        PublishedResult("EoMT-g 1280, COCO before", _EOMT, 0.528),
    ),
    "vistas_v1": (
        PublishedResult("two people", _FIRST_PAPER, 0.575, 0.534, 0.626),
        PublishedResult("two best nets fused", _FIRST_PAPER, 0.383, 0.418, 0.357),
        PublishedResult("TASCNet R101", _TASCNET, 0.326, 0.313, 0.344),
        PublishedResult("Seamless R50", _SEAMLESS, 0.372, 0.332, 0.425),
        PublishedResult("Mask2Former Swin-L", _MASK2FORMER, 0.455),
        PublishedResult("OneFormer Swin-L", _ONEFORMER, 0.467),
    ),
}


def find_published_results(space: LabelSpace) -> tuple[PublishedResult, ...]:
    """What was published in a label space; nothing in most.

    >>> from fuse.labels import load_space
    >>> find_published_results(load_space("cityscapes"))[0].pq
    0.697
    """
    return RESULTS.get(space.name, ()) if is_shipped(space) else ()
