"""Layers of other packages that take longer than they need, done faster with the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.flop_counter import conv_flop_count, register_flop_formula

HAS_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
HAS_BFLOAT16: bool = HAS_ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class ReLU6Conv2d(nn.Conv2d):
    """A convolution and its ReLU6, in one pass over the memory where oneDNN can do that.

    That is in bfloat16 on a CPU; the limits 0 and 6 are numbers of bfloat16, so it is the same
    whether one clamps before or after rounding to it. In float32 oneDNN may take another algorithm
    for the two at once, with other last bits; there, for training and for what traces a net they
    are two steps.
    """

    @staticmethod
    def can_be(conv: nn.Module) -> bool:
        """Whether a module is a convolution that oneDNN knows: one padded by zeros, by numbers."""
        return (
            type(conv) is nn.Conv2d
            and conv.padding_mode == "zeros"
            and not isinstance(conv.padding, str)
        )

    @classmethod
    def from_conv(cls, conv: nn.Conv2d) -> ReLU6Conv2d:
        """A convolution with the weights of another that `can_be` one."""
        own = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type] # two numbers
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            device="meta",
        )
        own.weight, own.bias = conv.weight, conv.bias
        return own.train(conv.training)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, D, h, w) in 0..6."""
        if not self._is_one_step(inputs):
            return F.relu6(super().forward(inputs))
        answer: Tensor = torch.ops.mkldnn._convolution_pointwise(
            inputs.to(torch.bfloat16),
            self.weight,
            self.bias,
            self.padding,
            self.stride,
            self.dilation,
            self.groups,
            "hardtanh",
            [0.0, 6.0],
            "",
        )
        return answer

    def _is_one_step(self, inputs: Tensor) -> bool:
        return HAS_BFLOAT16 and self.weight.dtype == torch.bfloat16 and _is_answered(inputs)


def _is_answered(inputs: Tensor) -> bool:
    """Whether a CPU answers here and now: nothing learns, and nobody traces the net."""
    return (
        inputs.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch._C._get_tracing_state()
        and not torch.compiler.is_compiling()
    )


if HAS_ONEDNN:

    @register_flop_formula(torch.ops.mkldnn._convolution_pointwise)
    def _count_flops(
        inputs: Sequence[int],
        weight: Sequence[int],
        *_others: object,
        out_shape: Any,  # noqa: ANN401 - as torch calls it
        **_options: object,
    ) -> int:
        return int(conv_flop_count(list(inputs), list(weight), list(out_shape)))


class AddedLevels(nn.Module):
    """The sum of equally large levels, as FPN of segmentation-models-pytorch has it.

    That stacks the levels in memory first and takes fifteen times as long, a quarter of the time
    of a small Semantic FPN.
    """

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Add tensors of a shape; in float32 at least, as torch's sum does."""
        first, *others = levels
        total = first.to(torch.promote_types(first.dtype, torch.float32), copy=True)
        for level in others:
            total += level
        return total.to(first.dtype)
