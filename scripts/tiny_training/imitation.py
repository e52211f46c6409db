"""The box teacher's view of every place, not only of the boxes that it is sure of.

YOLOX-nano runs on the very canvases of a training step. On each of its three grids the Mask
R-CNN's pyramid is asked, through one 1 x 1 convolution that is thrown away afterwards, for the
teacher's class features and its 80 class probabilities. So every cell of every photo teaches
something, where labelled boxes are few.

The feature loss is the one of PKD (Cao et al., NeurIPS 2022): both sides are normalised per
channel, so only their correlation counts and not the scale of either net. The class loss is
quality focal loss (Li et al., NeurIPS 2020), which takes soft targets.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from tiny_training.loop import autocast
from torch import Tensor, nn
from torch.nn import functional

from fuse.models.weights.tiny import PYRAMID_CHANNELS

TEACHER_FILE = "weights/yolox_nano_coco80.onnx"
TEACHER_SIDE = 416
GRIDS = (52, 26, 13)  # cells per side of the teacher's three levels, strides 8 to 32
FEATURES = ("1044", "1086", "1128")  # the teacher's tensors before its class predictors
FEATURE_CHANNELS = 64
CLASSES = 80
LEVELS = ("1", "2", "3")  # of the pyramid, strides 8 to 32

Sights = list[
    tuple[Tensor, Tensor]
]  # per level features (N, 64, g, g), probabilities (N, 80, g, g)


class DenseTeacher:
    """YOLOX-nano with the features before its class predictors as further outputs."""

    def __init__(self, root: Path) -> None:
        import onnx  # a machine that only trains may do without the teacher
        import onnxruntime
        from onnx import TensorProto, helper

        model = onnx.load(str(root / TEACHER_FILE))
        model.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in FEATURES
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, images: Tensor) -> Sights:
        """Look at RGB canvases in 0..1, float (N, 3, side, side)."""
        size = (TEACHER_SIDE, TEACHER_SIDE)
        large = functional.interpolate(images, size, mode="bilinear", align_corners=False)
        pixels = (large.flip(1) * 255).cpu().numpy()
        name = self.session.get_inputs()[0].name
        answers = [self.session.run(None, {name: one[None]}) for one in pixels]
        cells = torch.cat([torch.from_numpy(answer[0]) for answer in answers])
        probs = (cells[..., 4:5] * cells[..., 5:]).transpose(1, 2)
        sights, first = [], 0
        for level, grid in enumerate(GRIDS):
            features = torch.cat([torch.from_numpy(answer[1 + level]) for answer in answers])
            of_level = probs[:, :, first : first + grid * grid]
            sights.append((features, of_level.reshape(len(images), CLASSES, grid, grid)))
            first += grid * grid
        return sights


def open_teacher(root: Path) -> DenseTeacher | None:
    """The teacher, or None where its file or the package that runs it is missing."""
    has_packages = find_spec("onnx") and find_spec("onnxruntime")
    return DenseTeacher(root) if has_packages and (root / TEACHER_FILE).exists() else None


class Imitation(nn.Module):
    """Reads the teacher's sights off the pyramid's levels; only training has it."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = nn.ModuleList(
            nn.Conv2d(PYRAMID_CHANNELS, FEATURE_CHANNELS + CLASSES, 1) for _ in LEVELS
        )
        for reader in self.readers:
            nn.init.normal_(reader.weight, std=0.01)
            nn.init.zeros_(reader.bias)
            nn.init.constant_(reader.bias[FEATURE_CHANNELS:], -4.6)  # 1 % at first

    def compare(self, pyramid: dict[str, Tensor], sights: Sights) -> dict[str, Tensor]:
        """Compute the losses against the teacher's sights of the same canvases."""
        device = pyramid[LEVELS[0]].device
        feature_loss = class_loss = torch.zeros((), device=device)
        for reader, level, sight in zip(self.readers, LEVELS, sights, strict=True):
            features, probs = (tensor.to(device) for tensor in sight)
            grid = features.shape[-2:]
            with autocast(device):
                read = reader(pyramid[level])
            read = functional.interpolate(read.float(), grid, mode="bilinear", align_corners=False)
            own, logits = read.split([FEATURE_CHANNELS, CLASSES], 1)
            feature_loss = feature_loss + (normalise(own) - normalise(features)).square().mean() / 2
            distance = (logits.sigmoid() - probs).square()
            entropy = functional.binary_cross_entropy_with_logits(logits, probs, reduction="none")
            class_loss = class_loss + (distance * entropy).sum() / probs.sum().clamp(min=1.0)
        return {"features": feature_loss / len(LEVELS), "sights": class_loss / len(LEVELS)}


def normalise(features: Tensor) -> Tensor:
    """Give each channel mean 0 and variance 1 over photos and places."""
    variance, mean = torch.var_mean(features, (0, 2, 3), keepdim=True)
    return (features - mean) * (variance + 1e-6).rsqrt()
