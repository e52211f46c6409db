"""Semantic nets that torch saved with their graph: torch.export (``.pt2``) and TorchScript.

Such a file is a program: torch's readers may run what it holds, as they say themselves. Who
did not make the file should take ONNX; `fuse.models.registry.needs_plugin_permission` knows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor, nn
from torch.export.passes import move_to_device_pass

from fuse.errors import ConfigError, ModelError, first_line
from fuse.models.adapters.net_file import NetDescription, OpenNet, check_input, load_net_file
from fuse.models.adapters.semantic_net import SemanticNet
from fuse.models.weights.class_names import read_archived_names

EXPORT_SUFFIX = ".pt2"


def load_exported_semantic(device: str, *, weights: str, **options: Any) -> SemanticNet:  # noqa: ANN401 - checked against NetDescription
    """A semantic net in a file of torch.export (``.pt2``) or TorchScript (any other ending).

    It takes float32 (1, 3, H, W) or (1, H, W, 3), and answers with logits (1, C, h, w), bare or
    as the entry ``output``, ``out`` or the first of what it returns.

    Options:
        weights: path of the file.
        options: those of `NetDescription`, here or in a TOML file of the same name beside it.

    Errors: see `fuse.models.adapters`.
    """
    return load_net_file("exported", device, {"weights": weights, **options}, _open)


def _open(path: Path, device: str, about: NetDescription) -> OpenNet:
    if about.input is not None:
        raise ConfigError(f"{path}: its image is its first argument; leave out input")
    channels_last = about.layout == "nhwc"
    if not is_zipfile(path):
        raise ModelError(f"{path}: no file of torch.export or TorchScript, which are zip archives")
    try:
        if path.suffix == EXPORT_SUFFIX:
            program = torch.export.load(path)
            if torch.device(device).type != "cpu":  # the graph's own tensors, too
                program = move_to_device_pass(program, device)
            net: nn.Module = program.module()
            size = _read_size(path, program, channels_last=channels_last)
        else:
            with warnings.catch_warnings(action="ignore", category=FutureWarning):
                net = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
            size = None
        net.to(device)
    except ModelError:
        raise
    except Exception as err:  # torch's readers raise whatever their format's reader raises
        reason = first_line(err).partition(". ")[0]
        raise ModelError(
            f"{path}: holds no program of torch ({reason}); a state dict goes to the models smp, "
            "torchvision or panoptic-fpn"
        ) from err
    return OpenNet(
        run=lambda images: _pick_tensor(net(images), about.output),
        size=size,
        channels_last=channels_last,
        takes_bytes=False,
        files=[path],
        class_names=read_archived_names(path),
    )


def _read_size(
    path: Path, program: torch.export.ExportedProgram, *, channels_last: bool
) -> tuple[int, int] | None:
    """(height, width) of the input a program was exported for, None where it takes others too.

    Raises:
        ModelError: it is not one image.
    """
    name = program.graph_signature.user_inputs[0]
    (node,) = (node for node in program.graph.nodes if node.name == name)
    shape = node.meta["val"].shape
    check_input(path, shape[0], shape[3 if channels_last else 1])
    height, width = shape[1:3] if channels_last else shape[2:4]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _pick_tensor(answer: Any, output: str | None) -> Tensor:  # noqa: ANN401 - whatever a net returns
    """The logits among what a net returns; KeyError where it has no such entry."""
    if output is not None:
        if not isinstance(answer, Mapping) or output not in answer:
            raise KeyError(f"it returns no entry {output!r}")
        answer = answer[output]
    elif isinstance(answer, Mapping):
        answer = answer["out"] if "out" in answer else next(iter(answer.values()))
    elif isinstance(answer, tuple | list):
        answer = answer[0]
    tensor: Tensor = answer
    return tensor
