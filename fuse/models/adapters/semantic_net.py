"""Nets that answer with one score per class and cell: images in, logits at the net's stride out.

Every such net, whatever library it comes from, is a function from a batch of images to a grid
of logits. What differs is how it wants its images, which is an `ImageInput`, and what its
classes are. `SemanticNet` holds these together as a semantic model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from fuse.errors import ConfigError, ModelOutputError
from fuse.models import runtime
from fuse.models.dense import DensePart, DensePlan, plan_dense, speed_up
from fuse.types import Float16Array, Int32Array, LabelSpace, NamedImage, SemanticLogits

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class ImageInput:
    """How a net wants its images.

    Attributes:
        mean, std: per channel on RGB in 0..1.
        min_size, max_size: the image's short side becomes min_size pixels unless its long side
            would exceed max_size; min_size None leaves the image as it is.
        size: [height, width] for a net that takes one size only, in place of these two.
        letterbox: with size: keep the image's shape and fill up with zeros at the right and
            bottom, rather than stretch it.
        divisor: both sides are filled up with zeros to a multiple of it; not with size.
        antialias: whether shrinking blurs first, as PIL does and OpenCV does not.

    Raises:
        ConfigError: a size or the mean or std cannot be.
    """

    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    min_size: int | None = None
    max_size: int | None = None
    size: Sequence[int] | None = None
    letterbox: bool = False
    divisor: int = 1
    antialias: bool = False

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3:
                raise ConfigError(f"{name} must be three numbers, got {list(values)}")
        if min(self.std) <= 0:
            raise ConfigError(f"std must be above 0, got {list(self.std)}")
        if self.size is not None and len(self.size) != 2:
            raise ConfigError(f"size must be [height, width], got {list(self.size)}")
        sizes = [self.min_size, self.max_size, *(self.size or ())]
        if any(pixels is not None and pixels < 1 for pixels in sizes):
            raise ConfigError("min_size, max_size and size must be at least 1 pixel")
        if self.divisor < 1:
            raise ConfigError(f"divisor must be at least 1 pixel, got {self.divisor}")

    def resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of an image of that size inside the input.

        >>> ImageInput(min_size=300, max_size=500).resized_size((400, 600))
        (300, 450)
        >>> ImageInput(size=(512, 512), letterbox=True).resized_size((480, 640))
        (384, 512)
        """
        height, width = size
        if self.size is not None:
            if not self.letterbox:
                return self.size[0], self.size[1]
            ratio = min(self.size[0] / height, self.size[1] / width)
            return max(round(height * ratio), 1), max(round(width * ratio), 1)
        if self.min_size is None:
            return size
        # Rounded down, and the limit on the long side second: as torchvision's resize does.
        short, long = self.min_size, int(self.min_size * max(size) / min(size))
        if self.max_size is not None and long > self.max_size:
            short, long = max(int(self.max_size * short / long), 1), self.max_size
        return (short, long) if height <= width else (long, short)

    def padded_size(self, resized: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the input that holds an image of the resized size."""
        if self.size is not None:
            return self.size[0], self.size[1]
        height, width = (-(-side // self.divisor) * self.divisor for side in resized)
        return height, width

    def prepare(self, images: Sequence[NamedImage], device: str) -> Tensor:
        """Images of one size as a batch, float32 (N, 3, H, W), normalised, resized and padded."""
        # Bytes cross the bus. The channels stay last in memory: torch resizes that far faster.
        stacked = torch.from_numpy(np.stack([image.pixels for image in images])).to(device)
        batch = stacked.permute(0, 3, 1, 2).float()
        resized = self.resized_size(images[0].size)
        if resized != images[0].size:
            batch = F.interpolate(
                batch, resized, mode="bilinear", align_corners=False, antialias=self.antialias
            )
        padded = self.padded_size(resized)
        # In float32, as the mean and std of bytes have always been rounded.
        mean, std = (255 * torch.tensor(values) for values in (self.mean, self.std))
        runtime.normalize_(batch, mean.tolist(), std.tolist())
        return F.pad(batch, (0, padded[1] - resized[1], 0, padded[0] - resized[0]))


# What a semantic net may end in; "none" says that its answers are logits whatever they look like.
ACTIVATIONS = ("none", "softmax", "sigmoid")
LEAST_PROBABILITY = 1e-6  # a float16 logit of -13.8; less is nothing


class SemanticNet:
    """A semantic model around any function from images to logits.

    Args:
        name: in words, for messages.
        forward: from float32 (N, 3, H, W) to logits (N, C, h, w) that cover the input.
        image_input: how images become that input.
        label_space, category_ids, weights_hash: see `fuse.models.protocols.SemanticModel`.
        align_corners: whether the net learned with the centres of the corner cells on the
            centres of the corner pixels (True), or with edges on edges.
        device: where forward runs; a module of torch is put there.
        precision: the number format of its dense layers, see `runtime.autocast`.
        dense: what runs forward, where it is or was a module of torch; see `speed_up_semantic`.
        batches: whether forward takes more than one image at a time.
        activation: what the net ends in, see `ACTIVATIONS`; None where nobody said, and then what
            looks like probabilities is refused.

    Attributes:
        net: forward, where it is a module of torch.
        activation: as given.
        side_files: SHA-256 of the other files that decide an answer, by name.
        dense: as given.

    Raises:
        ConfigError: there is no such activation.
    """

    thread_safe = True

    def __init__(
        self,
        name: str,
        forward: Callable[[Tensor], Tensor],
        image_input: ImageInput,
        *,
        label_space: LabelSpace,
        category_ids: Int32Array,
        weights_hash: str,
        align_corners: bool,
        device: str,
        precision: str,
        dense: DensePlan | None = None,
        batches: bool = True,
        activation: str | None = None,
    ) -> None:
        if activation not in (None, *ACTIVATIONS):
            raise ConfigError(
                f"{name}: activation {activation!r} is none of {', '.join(ACTIVATIONS)}"
            )
        self.activation = activation
        self.label_space = label_space
        self.category_ids = category_ids
        self.weights_hash = weights_hash
        self.side_files: dict[str, str] = {}
        self.net = forward if isinstance(forward, nn.Module) else None
        self.dense = dense
        if self.net is not None:
            runtime.cast_layers(runtime.place(self.net, device), device, precision)
        self._name = name
        self._forward = forward
        self._image_input = image_input
        self._align_corners = align_corners
        self._device = device
        self._autocast = runtime.autocast(device, precision)
        self._batches = batches

    def predict(self, images: Sequence[NamedImage]) -> list[SemanticLogits]:
        """Logits of each image at the net's own stride, the padding cut off."""
        if not self._batches:
            return [self._predict_same_size([image])[0] for image in images]
        return runtime.predict_by_size(images, self._predict_same_size)

    def _predict_same_size(self, images: list[NamedImage]) -> list[SemanticLogits]:
        with torch.inference_mode():
            inputs = self._image_input.prepare(images, self._device)
            with self._autocast:
                answer = self._forward(inputs.contiguous(memory_format=torch.channels_last))
            self._check(answer, len(images))
            logits = self._undo_activation(answer).to(torch.float16).contiguous().cpu().numpy()
        size = images[0].size
        resized, padded = self._image_input.resized_size(size), inputs.shape[2:]
        return [crop_padding(one, size, resized, padded, self._align_corners) for one in logits]

    def _check(self, answer: object, count: int) -> None:
        """Raise ModelOutputError unless the net's answer is (count, C, h, w)."""
        wanted = (count, len(self.category_ids))
        if not isinstance(answer, Tensor) or answer.ndim != 4 or answer.shape[:2] != wanted:
            got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise ModelOutputError(
                f"{self._name}: must answer with logits ({count}, {wanted[1]} classes, h, w), "
                f"got {got}"
            )
        if not answer.is_floating_point():
            raise ModelOutputError(
                f"{self._name}: answers with {answer.dtype}, as a net does that ends in an argmax; "
                "export it without that"
            )
        if self.activation is None and look_like_sigmoids(answer):
            raise ModelOutputError(
                f"{self._name}: all of its answers lie in 0..1, as probabilities do; say what the "
                'net ends in: activation = "sigmoid", "softmax", or "none" if these are logits'
            )

    def _undo_activation(self, answer: Tensor) -> Tensor:
        """Logits whose softmax gives the net's probabilities back."""
        if self.activation == "softmax":
            return answer.float().clamp(min=LEAST_PROBABILITY).log()
        if self.activation == "sigmoid":
            return answer.float().logit(eps=LEAST_PROBABILITY)
        return answer


USUAL_SIZES = ((480, 640), (640, 427))  # of images, (height, width)


def speed_up_semantic(
    net: nn.Module, image_input: ImageInput, device: str, precision: str, runtime_name: str
) -> dict[str, Any]:
    """What `SemanticNet` wants to know of a module of torch and what runs it.

    Args:
        net: from float32 (N, 3, H, W) to logits, with its weights.
        image_input: what it wants.
        device, precision, runtime_name: see `fuse.models.dense.plan_dense`.

    Returns:
        The arguments forward, device, precision and dense of `SemanticNet`.

    Raises:
        FuseError: see `plan_dense` and `speed_up`.
    """
    plan = plan_dense("semantic", device, precision, runtime_name)
    holder = nn.ModuleDict({"net": net.eval()})
    if plan.runtime != "torch":  # torch's own way is that of `SemanticNet`
        padded = (image_input.padded_size(image_input.resized_size(s)) for s in USUAL_SIZES)
        first, second = ((1, 3, *size) for size in padded)
        plan = speed_up([DensePart(holder, "net", (first, second))], plan)
    return {
        "forward": holder["net"],
        "device": device,
        "precision": plan.precision if plan.runtime == "torch" else "float32",
        "dense": plan,
    }


def look_like_sigmoids(answer: Tensor) -> bool:
    """Whether all values lie in 0..1 and differ, which logits do not."""
    if answer[:1, :, :1, :1].min() < 0:  # spares most nets the look at all values
        return False
    lowest, highest = answer.aminmax()
    return bool(0 <= lowest < highest <= 1)


def crop_padding(
    logits: Float16Array,
    size: tuple[int, int],
    resized: tuple[int, int],
    padded: Sequence[int],
    align_corners: bool,
) -> SemanticLogits:
    """Logits of an image that was resized and padded at the right and bottom.

    Args:
        logits: float16 (C, h, w) over the padded input.
        size: of the image.
        resized: of the image inside the input.
        padded: of the input.
        align_corners: the net's convention, see `SemanticNet`.
    """
    scale, offset = [], []
    for axis in (0, 1):
        grid = logits.shape[1 + axis]
        ratio = resized[axis] / size[axis]  # input pixels per image pixel
        if align_corners:
            step = (grid - 1) / max(padded[axis] - 1, 1)  # cells per input pixel
            scale.append(ratio * step)
            offset.append((0.5 * ratio - 0.5) * step)
        else:
            scale.append(ratio * grid / padded[axis])
            offset.append(0.5 * scale[axis] - 0.5)
    return _crop_cells(logits, size, scale, offset)


def place_cells(
    logits: Float16Array,
    size: tuple[int, int],
    resized: tuple[int, int],
    stride: int,
    origin: tuple[int, int],
) -> SemanticLogits:
    """Logits whose cell (i, j) has its centre on pixel (i, j) * stride + origin of the input.

    Args:
        logits: float16 (C, h, w).
        size: of the image.
        resized: of the image inside the input, from its upper left corner on.
        stride: input pixels from a cell to the next.
        origin: (y, x) of the pixel under the first cell.
    """
    ratios = [resized[axis] / size[axis] for axis in (0, 1)]  # input pixels per image pixel
    offset = [(0.5 * ratios[axis] - 0.5 - origin[axis]) / stride for axis in (0, 1)]
    return _crop_cells(logits, size, [ratio / stride for ratio in ratios], offset)


def _crop_cells(
    logits: Float16Array, size: tuple[int, int], scale: Sequence[float], offset: Sequence[float]
) -> SemanticLogits:
    """Logits without the cells that no pixel of the image reads; see `SemanticLogits`."""
    cells = []
    for axis in (0, 1):
        last = scale[axis] * (size[axis] - 1) + offset[axis]
        cells.append(min(logits.shape[1 + axis], max(int(last), 0) + 2))
    return SemanticLogits(
        logits=np.ascontiguousarray(logits[:, : cells[0], : cells[1]]),
        size=(size[0], size[1]),
        scale=(scale[0], scale[1]),
        offset=(offset[0], offset[1]),
    )
