"""Semantic nets in ONNX files, run by onnxruntime."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from fuse.errors import ConfigError, FuseWarning, ModelError, first_line
from fuse.models.adapters.net_file import (
    CHANNELS,
    NetDescription,
    OpenNet,
    check_input,
    load_net_file,
)
from fuse.models.adapters.semantic_net import SemanticNet
from fuse.models.weights.class_names import find_class_names

INPUT_TYPES = {
    "tensor(uint8)": np.uint8,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
ERRORS_ONLY = 3  # onnxruntime's log level
# In a graph, the entry "location" of weights that lie in a file beside it (external_data of
# onnx.proto), up to the length of the file's name as protobuf's variable-length number: a path of
# more than two bytes of length, 16 kB, no system has.
LOCATION = re.compile(rb"\n\x08location\x12([\x80-\xff]?[\x00-\x7f])", re.DOTALL)


def load_onnx_semantic(device: str, *, weights: str, **options: Any) -> SemanticNet:  # noqa: ANN401 - checked against NetDescription
    """A semantic net in an ONNX file.

    Options:
        weights: path of the file.
        options: those of `NetDescription`, here or in a TOML file of the same name beside it.

    Errors: see `fuse.models.adapters`.
    """
    return load_net_file("onnx", device, {"weights": weights, **options}, _open)


def _open(path: Path, device: str, about: NetDescription) -> OpenNet:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(path, settings, providers=_providers(device))
    except Exception as err:  # onnxruntime's errors have no common root
        raise ModelError(f"{path}: onnxruntime cannot open it ({first_line(err)})") from err
    image = _pick(path, "input", session.get_inputs(), about.input)
    logits = _pick(path, "output", session.get_outputs(), about.output)
    if image.type not in INPUT_TYPES or len(image.shape) != 4:
        raise ModelError(
            f"{path}: input {image.name!r} is {image.type} {image.shape}, not one image "
            f"of {', '.join(INPUT_TYPES)}"
        )
    dtype = INPUT_TYPES[image.type]
    channels_last = (
        _has_channels_last(image.shape) if about.layout is None else about.layout == "nhwc"
    )
    height, width = image.shape[1:3] if channels_last else image.shape[2:4]
    check_input(path, image.shape[0], image.shape[3 if channels_last else 1])

    def run(images: Tensor) -> Tensor:
        array = images.cpu().numpy().astype(dtype, copy=False)
        (answer,) = session.run([logits.name], {image.name: array})
        return torch.from_numpy(np.asarray(answer))

    return OpenNet(
        run=run,
        size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
        channels_last=channels_last,
        takes_bytes=dtype is np.uint8,
        files=[path, *_find_weights_beside(path)],
        class_names=find_class_names(session.get_modelmeta().custom_metadata_map),
    )


def _has_channels_last(shape: Sequence[Any]) -> bool:
    """Whether an input is (1, H, W, channels), by its fixed sizes."""
    return shape[3] == CHANNELS or (shape[3] in (1, 4) and shape[1] not in (1, CHANNELS, 4))


def _find_weights_beside(path: Path) -> list[Path]:
    """The files in which a large net keeps its weights, as its graph names them."""
    graph = path.read_bytes()
    names, end = set(), 0
    while entry := LOCATION.search(graph, end):
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(entry[1]))
        end = entry.end() + length
        names.add(graph[entry.end() : end])
    beside = (path.parent / os.fsdecode(name) for name in sorted(names) if b"\0" not in name)
    return [file for file in beside if file.is_file()]


def _pick(path: Path, what: str, nodes: Sequence[Any], name: str | None) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """The input or output of that name, or the only one."""
    names = [node.name for node in nodes]
    if name is None and len(nodes) == 1:
        return nodes[0]
    if name not in names:
        raise ConfigError(f"{path}: set {what} to one of {', '.join(names)}")
    return nodes[names.index(name)]


def _providers(device: str) -> list[str]:
    """Onnxruntime's own devices in the order of preference."""
    if torch.device(device).type == "cuda":
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]
        warnings.warn(
            FuseWarning(
                "this onnxruntime has no CUDA, so the ONNX net runs on the CPU; "
                "pip install onnxruntime-gpu"
            ),
            stacklevel=2,
        )
    return ["CPUExecutionProvider"]
