"""The Panoptic FPNs that can be built: detectron2's with a ResNet, and small ones.

They differ in the encoder, in widths and sizes; the code is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torchvision import models
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from fuse.models.weights import tiny

STAGE_CHANNELS = (256, 512, 1024, 2048)  # of a ResNet at strides 4, 8, 16, 32


@dataclass(frozen=True, slots=True)
class FpnDesign:
    """How a Panoptic FPN is built and run; by default as detectron2's COCO configs say.

    Attributes:
        make_backbone: from the pyramid's channels to encoder and pyramid, a module that maps
            images to levels of strides 4 to 64 by name.
        channels: of the pyramid and the mask head.
        semantic_channels: of the semantic head.
        box_channels: of the box head.
        mask_layers: convolutions of the mask head.
        one_mask: whether all classes share one mask.
        anchor_sides: of each level's anchors, pixels of the input, square root of the area.
        proposals: kept per level before suppression, and of all levels after it.
        reads_rgb: else channels are blue, green, red.
        mean, std: per channel in 0..255, in that order.
        min_size, max_size: the image's short side becomes min_size pixels in the input unless
            its long side would exceed max_size.
    """

    make_backbone: Callable[[int], nn.Module]
    channels: int = 256
    semantic_channels: int = 128
    box_channels: int = 1024
    mask_layers: int = 4
    one_mask: bool = False
    anchor_sides: Sequence[int] = (32, 64, 128, 256, 512)
    proposals: int = 1000
    reads_rgb: bool = False
    mean: Sequence[float] = (103.53, 116.28, 123.675)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    min_size: int = 800
    max_size: int = 1333


def make_resnet_pyramid(depth: int, channels: int) -> nn.Module:
    """A ResNet with a pyramid, as detectron2 has it.

    The stride of a stage sits in the first 1x1 convolution of a bottleneck, not in the second,
    as in the weights of MSRA that training started from.
    """
    net: nn.Module = getattr(models, f"resnet{depth}")(weights=None)
    for stage in ("layer2", "layer3", "layer4"):
        block: Any = net.get_submodule(f"{stage}.0")
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    layers = {f"layer{stage + 1}": str(stage) for stage in range(4)}
    pyramid: nn.Module = BackboneWithFPN(net, layers, list(STAGE_CHANNELS), channels)
    return pyramid


def make_tiny_design(encoder: str) -> FpnDesign:
    """A small net for images of half the size, its batch norms folded."""

    def make_backbone(channels: int) -> nn.Module:
        pyramid = tiny.LitePyramid(encoder, channels, sees_scene=True)
        tiny.fold_batch_norm(pyramid)
        return pyramid

    return FpnDesign(
        make_backbone,
        channels=tiny.PYRAMID_CHANNELS,
        semantic_channels=tiny.PYRAMID_CHANNELS,
        box_channels=tiny.BOX_CHANNELS,
        mask_layers=3,
        one_mask=True,
        anchor_sides=tiny.ANCHOR_SIDES,
        proposals=300,
        reads_rgb=True,
        mean=tuple(255 * value for value in tiny.IMAGE_MEAN),
        std=tuple(255 * value for value in tiny.IMAGE_STD),
        min_size=tiny.PANOPTIC_MIN_SIZE,
        max_size=tiny.PANOPTIC_MAX_SIZE,
    )


# By architecture: detectron2's by the depth of the ResNet, the others by what their files say.
DESIGNS: dict[str, FpnDesign] = {
    "resnet50": FpnDesign(partial(make_resnet_pyramid, 50)),
    "resnet101": FpnDesign(partial(make_resnet_pyramid, 101)),
    "tiny_panoptic": make_tiny_design("tf_efficientnet_lite0"),
    "tiny_panoptic_large": make_tiny_design("tf_efficientnet_lite2"),
}
