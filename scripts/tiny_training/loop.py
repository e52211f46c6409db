"""What both trainings share: the clock-driven schedule, averaged weights, checkpoints, speed."""

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

Geometry = tuple[list[int], list[int]]  # stride and padding, rows first

WARMUP_SECONDS = 90.0
SAVE_SECONDS = 300.0
LOG_SECONDS = 60.0
FINAL_LR_SHARE = 0.01
FROZEN_BLOCKS = 2
IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB in 0..1
BACKBONE_LR_SHARE = 0.3  # without batch norm a rate that suits the heads unlearns the features


def find_device(net: nn.Module) -> torch.device:
    """Where a net's weights lie."""
    return next(net.parameters()).device


def autocast(device: torch.device) -> torch.autocast:
    """The context in which convolutions run in bfloat16, which needs no scaling of losses."""
    return torch.autocast(device.type, torch.bfloat16)


def normalise(images: Tensor) -> Tensor:
    """Subtract ImageNet's mean and divide by its standard deviation, channels last."""
    mean = torch.tensor(IMAGE_MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGE_STD, device=images.device).view(3, 1, 1)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


@dataclass
class Training:
    """One training that can stop at any time and go on with the same command.

    The learning rate follows the clock, not the step count: a warm-up, then a cosine that ends
    when `minutes` of training are used up, however busy the machine is.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    path: Path
    minutes: float
    ema_decay: float = 0.999
    step: int = 0
    elapsed: float = 0.0
    averaged: nn.Module = field(init=False)
    sums: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.averaged = copy.deepcopy(self.net).requires_grad_(False)
        if self.path.exists():
            state = torch.load(self.path, map_location=find_device(self.net), weights_only=True)
            self.net.load_state_dict(state["net"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.elapsed = state["step"], state["elapsed"]
            print(f"goes on at step {self.step}, {self.elapsed / 60:.1f} minutes", flush=True)
        for group in self.optimizer.param_groups:
            group.setdefault("peak_lr", group["lr"])

    def steps(self) -> Iterator[int]:
        """Yield step numbers until the time is used up; saves, logs and sets the rate."""
        last, last_save, last_log = time.monotonic(), self.elapsed, self.elapsed
        while self.elapsed < self.minutes * 60:
            rate = self.rate()
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
            yield self.step
            now = time.monotonic()
            self.elapsed += now - last
            last = now
            self.step += 1
            if self.elapsed - last_log > LOG_SECONDS:
                last_log = self.elapsed
                self.log(rate)
            if self.elapsed - last_save > SAVE_SECONDS:
                last_save = self.elapsed
                self.save()
        self.save()

    def rate(self) -> float:
        """Share of the peak learning rate at this moment."""
        progress = min(self.elapsed / (self.minutes * 60), 1.0)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return min(self.elapsed / WARMUP_SECONDS + 0.02, 1.0) * max(cosine, FINAL_LR_SHARE)

    def update(self, losses: dict[str, Tensor]) -> None:
        """Step down the gradient of the summed losses; a step that is not finite is left out."""
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
        if not torch.isfinite(norm):
            print(f"step {self.step}: gradient not finite, left out", flush=True)
            return
        self.optimizer.step()
        decay = min(self.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, value in zip(
                self.averaged.state_dict().values(), self.net.state_dict().values(), strict=True
            ):
                average.lerp_(value, 1 - decay)
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + loss.item()
        self.sums["steps"] = self.sums.get("steps", 0.0) + 1

    def log(self, rate: float) -> None:
        """Print and record the mean losses since the last line."""
        count = self.sums.pop("steps", 1.0)
        means = {name: value / count for name, value in self.sums.items()}
        self.sums.clear()
        minutes = f"{self.elapsed / 60:.1f}/{self.minutes:.0f} min"
        losses = " ".join(f"{name} {mean:.3f}" for name, mean in means.items())
        print(f"step {self.step} {minutes} rate {rate:.3f} {losses}", flush=True)
        self.record({"rate": rate, **means})

    def record(self, figures: dict[str, float]) -> None:
        """Add a line of JSON to the curve beside the checkpoint: losses, or what a set scores."""
        line = {"step": self.step, "minutes": self.elapsed / 60, **figures}
        rounded = {name: round(float(value), 5) for name, value in line.items()}
        with self.path.with_suffix(".jsonl").open("a") as curve:
            curve.write(json.dumps(rounded) + "\n")

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state: dict[str, Any] = {
            "net": self.net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)


def group_parameters(
    net: nn.Module, backbone: nn.Module, lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Split parameters for AdamW: the backbone learns slower, biases and norms do not decay."""
    in_backbone = {id(value) for value in backbone.parameters()}
    groups = []
    for share, slow in ((BACKBONE_LR_SHARE, True), (1.0, False)):
        parameters = [
            value
            for value in net.parameters()
            if value.requires_grad and (id(value) in in_backbone) == slow
        ]
        for decay, kind in (
            (weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            groups.append({"params": kind, "lr": lr * share, "weight_decay": decay})
    return groups


def freeze_early_blocks(backbone: nn.Module) -> None:
    """Keep the stem and the blocks up to stride 4 of an EfficientNet as they are.

    They see the largest maps, so their gradient costs a quarter of a step, and they change least.
    """
    frozen = [backbone.conv_stem, *list(backbone.blocks)[:FROZEN_BLOCKS]]
    for module in frozen:
        module.requires_grad_(False)


class DepthwiseConvolution(torch.autograd.Function):
    """Depthwise convolution whose gradient is computed in float32, channels last.

    oneDNN's bfloat16 gradient of 5 x 5 and of strided depthwise convolutions is 5 to 30 times
    slower than its float32 one (torch 2.14, AMX processor), which triples a step's time.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, geometry: Geometry
    ) -> Tensor:
        """Convolve in bfloat16."""
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        stride, padding = geometry
        half = torch.bfloat16
        y = functional.conv2d(
            x.to(half), weight.to(half), bias.to(half), stride, padding, 1, x.shape[1]
        )
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Differentiate in float32."""
        x, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        grad = grads[0].float().contiguous(memory_format=torch.channels_last)
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, x.float(), weight, None, stride, padding, [1, 1], False, [0, 0], x.shape[1],
            [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False],
        )  # fmt: skip
        grad_x = None if grad_x is None else grad_x.to(x.dtype)
        return grad_x, grad_weight, grad.sum((0, 2, 3)), None


def speed_up_depthwise(net: nn.Module) -> None:
    """Let every depthwise convolution of `net` use `DepthwiseConvolution` while it trains.

    On another device than a CPU nothing is changed.
    """
    if find_device(net).type != "cpu":
        return
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = _make_forward(module)  # type: ignore[method-assign]


def _make_forward(conv: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    side, stride = conv.kernel_size[0], conv.stride[0]
    same = type(conv).__name__ == "Conv2dSame"  # TensorFlow's padding: uneven where it strides

    def forward(x: Tensor) -> Tensor:
        padding = side // 2
        if same:
            height, width = ((-(-n // stride) - 1) * stride + side - n for n in x.shape[-2:])
            height, width = max(height, 0), max(width, 0)
            edges = (width // 2, width - width // 2, height // 2, height - height // 2)
            x, padding = functional.pad(x, edges), 0
        geometry = ([stride] * 2, [padding] * 2)
        return DepthwiseConvolution.apply(x, conv.weight, conv.bias, geometry)

    return forward
