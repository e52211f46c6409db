"""The two nets of the `tiny` pipeline, a Mask R-CNN and a Semantic FPN.

Each stands on an EfficientNet-Lite0 of its own, and both speak the label space `coco_super` (27
COCO supercategories: 1..12 things, 13..27 stuff).
Their batch norms are folded into the convolutions, so a net is plain convolutions with biases;
`fold_batch_norm` makes that form from a freshly built net. What else inference needs (input
mean and std, input size, category ids) stands in the header of the weight files as JSON, under the
key "fuse".
"""

from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPModule
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from fuse.models.fast_layers import ReLU6Conv2d

LABEL_SPACE = "coco_super"
THING_IDS = tuple(range(1, 13))
STUFF_IDS = tuple(range(13, 28))

IMAGE_MEAN = (0.485, 0.456, 0.406)  # ImageNet, RGB in 0..1, as the backbone was pretrained
IMAGE_STD = (0.229, 0.224, 0.225)
INSTANCE_MIN_SIZE = 320  # pixels of the short side at inference; training saw 200 to 420
INSTANCE_MAX_SIZE = 512  # pixels that the long side may not exceed
SEMANTIC_MIN_SIZE = 384  # about the middle of the 256 to 540 that training saw
SEMANTIC_MAX_SIZE = 640
PANOPTIC_MIN_SIZE = 352  # of one net for both; training saw 240 to 480
PANOPTIC_MAX_SIZE = 576

ANCHOR_SIDES = (16, 32, 64, 128, 256)  # pixels of the input, one per level of the pyramid
PYRAMID_CHANNELS = 96
BOX_CHANNELS = 512
SEMANTIC_CHANNELS = 128
POOLED_SIZE = 7  # cells per side of the box head's input, torchvision's default
STAGE_CHANNELS = (24, 40, 112, 320)  # EfficientNet-Lite0 at strides 4, 8, 16, 32


class LitePyramid(nn.Module):
    """Features of an EfficientNet-Lite at strides 4 to 32 in a pyramid with one level on top.

    Args:
        encoder: its name in timm.
        channels: of the pyramid.
        sees_scene: add PSPNet's pooling pyramid to the coarsest features, where UPerNet has it:
            every cell learns what the scene is, which tells a floor from the ground.
    """

    def __init__(self, encoder: str, channels: int, *, sees_scene: bool = False) -> None:
        super().__init__()
        stages: Any = timm.create_model(
            encoder, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
        )
        self.stages = stages
        widths = stages.feature_info.channels()
        self.pyramid = FeaturePyramidNetwork(widths, channels, extra_blocks=LastLevelMaxPool())
        self.scene = None
        if sees_scene:
            self.scene = nn.Sequential(
                PSPModule(widths[-1]), nn.Conv2d(2 * widths[-1], widths[-1], 1)
            )
        self.out_channels = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map (N, 3, H, W) to pyramid levels "0".."3" (strides 4..32) and "pool" (stride 64)."""
        features = list(self.stages(images))
        if self.scene is not None:
            features[-1] = features[-1] + self.scene(features[-1])
        levels: dict[str, Tensor] = self.pyramid(
            {str(level): cells for level, cells in enumerate(features)}
        )
        return levels


class SharedMaskPredictor(nn.Module):
    """Mask R-CNN's mask predictor with one mask for all classes.

    It answers with `classes` equal channels, a view without copies, because torchvision picks a
    channel by class.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.mask_logits = nn.Conv2d(channels, 1, 1)
        self.classes = classes

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, channels, 14, 14) to mask logits (N, classes, 28, 28)."""
        logits: Tensor = self.mask_logits(torch.relu(self.upsample(features)))
        return logits.expand(-1, self.classes, -1, -1)


def build_instance_net() -> MaskRCNN:
    """Build the Mask R-CNN with random weights, in eval mode.

    Input: RGB in 0..1; labels 1..12 are the thing `category_id`s of `coco_super`.
    """
    classes = len(THING_IDS) + 1  # and the background
    net = MaskRCNN(
        LitePyramid("tf_efficientnet_lite0", PYRAMID_CHANNELS),
        num_classes=None,
        min_size=INSTANCE_MIN_SIZE,
        max_size=INSTANCE_MAX_SIZE,
        image_mean=list(IMAGE_MEAN),
        image_std=list(IMAGE_STD),
        rpn_anchor_generator=AnchorGenerator(
            tuple((side,) for side in ANCHOR_SIDES), ((0.5, 1.0, 2.0),) * 5
        ),
        rpn_pre_nms_top_n_test=500,
        rpn_post_nms_top_n_test=300,
        box_detections_per_img=100,
        box_head=TwoMLPHead(PYRAMID_CHANNELS * POOLED_SIZE**2, BOX_CHANNELS),
        box_predictor=FastRCNNPredictor(BOX_CHANNELS, classes),
        mask_head=MaskRCNNHeads(PYRAMID_CHANNELS, (PYRAMID_CHANNELS,) * 3, 1),
        mask_predictor=SharedMaskPredictor(PYRAMID_CHANNELS, classes),
    )
    fold_batch_norm(net)
    return net.eval()


def build_semantic_net() -> smp.FPN:
    """Build the Semantic FPN with random weights, in eval mode.

    Input: normalised RGB, both sides a multiple of 32. Output: logits (N, 16, H, W), upsampled
    bilinearly from stride 4; `class_index` 0 is everything that is not stuff, 1..15 are the
    `category_id`s 13..27. Without `net.segmentation_head[1]` the logits stay at stride 4.
    """
    # The plain variant: it pads evenly, as the net was trained, and TensorFlow's does not.
    net = smp.FPN(
        "tu-efficientnet_lite0",
        encoder_weights=None,
        classes=len(STUFF_IDS) + 1,
        decoder_pyramid_channels=SEMANTIC_CHANNELS,
        decoder_segmentation_channels=96,
    )
    # PSPNet's pooling pyramid on the coarsest level, where UPerNet has it: every cell learns what
    # the scene is, which tells a floor from the ground.
    net.decoder.p5 = nn.Sequential(
        PSPModule(STAGE_CHANNELS[-1]), nn.Conv2d(2 * STAGE_CHANNELS[-1], SEMANTIC_CHANNELS, 1)
    )
    # smp aligns the corners; the nets were trained with cells that cover their four pixels
    net.segmentation_head[1] = nn.Upsample(scale_factor=4.0, mode="bilinear", align_corners=False)
    fold_batch_norm(net)
    return net.eval()


def fold_batch_norm(module: nn.Module) -> None:
    """Fold every batch norm that follows a convolution into it, in place.

    The outputs stay equal, as in eval mode, up to rounding. A batch norm is replaced by its
    activation (timm's `BatchNormAct2d`) or by nothing; a ReLU6 goes into the convolution, too.

    Raises:
        ValueError: a batch norm has no running statistics.
    """
    before, previous = "", None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and isinstance(previous, nn.Conv2d):
            mean, variance = child.running_mean, child.running_var
            if mean is None or variance is None:
                raise ValueError(f"{name} keeps no running statistics")
            weight, bias = fuse_conv_bn_weights(
                previous.weight, previous.bias, mean, variance, child.eps, child.weight, child.bias
            )
            previous.weight, previous.bias = nn.Parameter(weight), nn.Parameter(bias)
            activation: nn.Module = getattr(child, "act", nn.Identity())
            if isinstance(activation, nn.ReLU6) and ReLU6Conv2d.can_be(previous):
                setattr(module, before, ReLU6Conv2d.from_conv(previous))
                activation = nn.Identity()
            setattr(module, name, activation)
        else:
            fold_batch_norm(child)
        before, previous = name, child
