"""The layers of Panoptic FPN, as detectron2's COCO-PanopticSegmentation configs set them.

ResNet and FPN, box and mask heads are torchvision's modules; what detectron2 has otherwise is
changed here: the stride of a bottleneck sits in its first 1x1 convolution (as in the weights of
MSRA that training started from), the box deltas know no background, and there is a semantic head.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models, ops
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from fuse.models.panoptic_fpn.boxes import ANCHOR_RATIOS

BUILDERS = {50: models.resnet50, 101: models.resnet101}  # by depth
STAGE_CHANNELS = (256, 512, 1024, 2048)  # at strides 4, 8, 16, 32
CHANNELS = 256  # of the pyramid
SEMANTIC_CHANNELS = 128
NORM_GROUPS = 32
BOX_CHANNELS = 1024
BOX_CELLS = 7  # per side of a region in the box head, and in the mask head
MASK_CELLS = 14

PIXEL_MEAN = (103.53, 116.28, 123.675)  # blue, green, red in 0..255
PIXEL_STD = (1.0, 1.0, 1.0)


class SemanticHead(nn.Module):
    """The semantic segmentation branch (Panoptic FPN, section 3.1 and figure 3)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_make_branch(doublings) for doublings in range(4))
        self.predictor = nn.Conv2d(SEMANTIC_CHANNELS, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map levels of strides 4 to 32 to logits (N, classes, h, w) at stride 4."""
        total = self.branches[0](features[0])
        for branch, level in zip(self.branches[1:], features[1:4], strict=True):
            total = total + branch(level)
        logits: Tensor = self.predictor(total)
        return logits


class BoxPredictor(nn.Module):
    """The class and the box deltas of a region."""

    def __init__(self, thing_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(BOX_CHANNELS, thing_classes + 1)
        self.bbox_pred = nn.Linear(BOX_CHANNELS, thing_classes * 4)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Map (P, 1024) to class logits (P, K + 1), no object last, and deltas (P, K, 4)."""
        return self.cls_score(regions), self.bbox_pred(regions).unflatten(1, (-1, 4))


class PanopticFpnNet(nn.Module):
    """All layers; `shared_net.SharedNet` runs them.

    Args:
        depth: of the ResNet, 50 or 101.
        stuff_classes: of the semantic head, the one for all things included.
        thing_classes: of box and mask head.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, depth: int, stuff_classes: int, thing_classes: int) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN)[:, None, None])
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD)[:, None, None])
        self.backbone = BackboneWithFPN(
            _make_resnet(depth),
            {f"layer{stage + 1}": str(stage) for stage in range(4)},
            list(STAGE_CHANNELS),
            CHANNELS,
        )
        self.semantic_head = SemanticHead(stuff_classes)
        self.rpn_head = RPNHead(CHANNELS, len(ANCHOR_RATIOS))
        self.box_head = TwoMLPHead(CHANNELS * BOX_CELLS**2, BOX_CHANNELS)
        self.box_predictor = BoxPredictor(thing_classes)
        self.mask_head = MaskRCNNHeads(CHANNELS, (CHANNELS,) * 4, 1)
        self.mask_predictor = MaskRCNNPredictor(CHANNELS, CHANNELS, thing_classes)

    def extract_features(self, images: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) to the levels (N, 256, h, w) of strides 4 to 64."""
        return list(self.backbone(images).values())

    def propose(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Per level logits (N, A) and deltas (N, A, 4) of its A anchors, see `make_anchors`."""
        logits, deltas = self.rpn_head(features)
        return (
            [level.permute(0, 2, 3, 1).flatten(1) for level in logits],
            [level.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)) for level in deltas],
        )

    def classify(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Map (P, 256, 7, 7) to class logits and deltas, see `BoxPredictor`."""
        answer: tuple[Tensor, Tensor] = self.box_predictor(self.box_head(regions))
        return answer

    def segment(self, regions: Tensor) -> Tensor:
        """Map (D, 256, 14, 14) to mask logits (D, K, 28, 28)."""
        logits: Tensor = self.mask_predictor(self.mask_head(regions))
        return logits


def _make_resnet(depth: int) -> nn.Module:
    """A ResNet with the stride of its stages in the first convolution, not in the second."""
    net: nn.Module = BUILDERS[depth](weights=None)
    for stage in ("layer2", "layer3", "layer4"):
        block: Any = net.get_submodule(f"{stage}.0")
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return net


def _make_branch(doublings: int) -> nn.Sequential:
    """3x3 convolutions with group norm and ReLU, each followed by an upsampling by 2.

    The level of stride 4 has one convolution and needs no upsampling.
    """
    layers: list[nn.Module] = []
    for place in range(max(doublings, 1)):
        channels = SEMANTIC_CHANNELS if place else CHANNELS
        norm = partial(nn.GroupNorm, NORM_GROUPS)
        layers.append(ops.Conv2dNormActivation(channels, SEMANTIC_CHANNELS, 3, norm_layer=norm))
        if doublings:
            layers.append(nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False))
    return nn.Sequential(*layers)
