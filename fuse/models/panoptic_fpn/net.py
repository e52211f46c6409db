"""The layers of Panoptic FPN, of the kinds in `designs`.

FPN, box and mask heads are torchvision's modules; what detectron2 has otherwise is changed here:
the box deltas know no background, and there is a semantic head.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torchvision import ops
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from fuse.models.panoptic_fpn.boxes import ANCHOR_RATIOS
from fuse.models.panoptic_fpn.designs import FpnDesign
from fuse.models.weights.tiny import SharedMaskPredictor

NORM_GROUPS = 32
BOX_CELLS = 7  # per side of a region in the box head, and in the mask head
MASK_CELLS = 14


class SemanticHead(nn.Module):
    """The semantic segmentation branch (Panoptic FPN, section 3.1 and figure 3).

    Args:
        channels: of the pyramid.
        width: channels of the branch.
        classes: of its answer.
    """

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            _make_branch(channels, width, doublings) for doublings in range(4)
        )
        self.predictor = nn.Conv2d(width, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map levels of strides 4 to 32 to logits (N, classes, h, w) at stride 4."""
        logits: Tensor = self.predictor(self.merge_levels(features))
        return logits

    def merge_levels(self, features: Sequence[Tensor]) -> Tensor:
        """Map levels of strides 4 to 32 to what the classes are told from, at stride 4."""
        total: Tensor = self.branches[0](features[0])
        for branch, level in zip(self.branches[1:], features[1:4], strict=True):
            total = total + branch(level)
        return total


class BoxPredictor(nn.Module):
    """The class and the box deltas of a region of so many channels."""

    def __init__(self, channels: int, thing_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(channels, thing_classes + 1)
        self.bbox_pred = nn.Linear(channels, thing_classes * 4)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Map (P, channels) to class logits (P, K + 1), no object last, and deltas (P, K, 4)."""
        return self.cls_score(regions), self.bbox_pred(regions).unflatten(1, (-1, 4))


class PanopticFpnNet(nn.Module):
    """All layers; `shared_net.SharedNet` runs them.

    Args:
        design: of the net.
        stuff_classes: of the semantic head, the one for all things included.
        thing_classes: of box and mask head.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, design: FpnDesign, stuff_classes: int, thing_classes: int) -> None:
        super().__init__()
        self.design = design
        channels, box_channels = design.channels, design.box_channels
        self.register_buffer("pixel_mean", torch.tensor(design.mean)[:, None, None])
        self.register_buffer("pixel_std", torch.tensor(design.std)[:, None, None])
        self.backbone = design.make_backbone(channels)
        self.semantic_head = SemanticHead(channels, design.semantic_channels, stuff_classes)
        self.rpn_head = RPNHead(channels, len(ANCHOR_RATIOS))
        self.box_head = TwoMLPHead(channels * BOX_CELLS**2, box_channels)
        self.box_predictor = BoxPredictor(box_channels, thing_classes)
        self.mask_head = MaskRCNNHeads(channels, (channels,) * design.mask_layers, 1)
        self.mask_predictor: nn.Module = (
            SharedMaskPredictor(channels, thing_classes)
            if design.one_mask
            else MaskRCNNPredictor(channels, channels, thing_classes)
        )

    def extract_features(self, images: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) to the levels (N, channels, h, w) of strides 4 to 64."""
        return list(self.backbone(images).values())

    def propose(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Per level logits (N, A) and deltas (N, A, 4) of its A anchors, see `make_anchors`."""
        logits, deltas = self.rpn_head(features)
        return (
            [level.permute(0, 2, 3, 1).flatten(1) for level in logits],
            [level.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)) for level in deltas],
        )

    def classify(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Map (P, channels, 7, 7) to class logits and deltas, see `BoxPredictor`."""
        answer: tuple[Tensor, Tensor] = self.box_predictor(self.box_head(regions))
        return answer

    def segment(self, regions: Tensor) -> Tensor:
        """Map (D, channels, 14, 14) to mask logits (D, K, 28, 28)."""
        logits: Tensor = self.mask_predictor(self.mask_head(regions))
        return logits


def _make_branch(channels: int, width: int, doublings: int) -> nn.Sequential:
    """3x3 convolutions with group norm and ReLU, each followed by an upsampling by 2.

    The level of stride 4 has one convolution and needs no upsampling.
    """
    layers: list[nn.Module] = []
    for place in range(max(doublings, 1)):
        norm = partial(nn.GroupNorm, NORM_GROUPS)
        inputs = width if place else channels
        layers.append(ops.Conv2dNormActivation(inputs, width, 3, norm_layer=norm))
        if doublings:
            layers.append(nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False))
    return nn.Sequential(*layers)
