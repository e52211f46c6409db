"""Nets of transformers as modules from pixels to tensors, for other runtimes than torch."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor, nn

from fuse.models.adapters.semantic_net import USUAL_SIZES
from fuse.models.adapters.transformers_files import NetKind
from fuse.models.adapters.transformers_input import ImagePreparation
from fuse.models.dense import DensePart, DensePlan, speed_up
from fuse.types import NamedImage

# What is read of the answer of each kind of net.
ANSWERS: dict[NetKind, tuple[str, ...]] = {
    "semantic": ("logits",),
    "queries": ("class_queries_logits", "masks_queries_logits"),
    "detections": ("logits", "pred_masks"),
}


class _Answers(nn.Module):
    """A net, of whose answer to pixels (N, 3, H, W) some tensors are taken."""

    def __init__(self, net: nn.Module, names: tuple[str, ...], task: Tensor | None) -> None:
        super().__init__()
        self.net = net
        self.names = names
        self.register_buffer("task", task)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        others = {} if self.task is None else {"task_inputs": self.task}
        answer = self.net(pixel_values=pixels, **others)
        return {name: getattr(answer, name) for name in self.names}


def convert_net(
    net: nn.Module,
    kind: NetKind,
    task: Tensor | None,
    prepare: ImagePreparation,
    plan: DensePlan,
) -> tuple[Callable[[Tensor], Any], DensePlan]:
    """What another runtime makes of a net, and the plan, which is torch's where it takes none.

    Returns:
        A function from pixels (N, 3, H, W) to an object with the tensors that are read of the
        net's answer; and the plan.

    Raises:
        ModelError: the runtime was asked for by name and cannot take the net.
    """
    shapes = [
        tuple(prepare(NamedImage(np.zeros((*size, 3), dtype=np.uint8)))[0].shape)
        for size in USUAL_SIZES
    ]
    holder = nn.ModuleDict({"net": _Answers(net, ANSWERS[kind], task).eval()})
    plan = speed_up([DensePart(holder, "net", (shapes[0], shapes[1]))], plan)
    module = holder["net"]
    return lambda pixels: SimpleNamespace(**module(pixels)), plan
