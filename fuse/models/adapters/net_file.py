"""A semantic net in one file of its own, graph and weights: what ONNX and torch files share.

Such a file does not say what its input must be nor what its classes are. The options of the
preset do, or a TOML file beside it with the same keys (``net.toml`` for ``net.onnx``); where
both give a key, the preset's counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fuse.errors import ConfigError, ModelError, describe_size, first_line
from fuse.io.files import resolve_path
from fuse.io.json_toml import read_toml
from fuse.labels import load_category_ids, resolve_classes
from fuse.models.adapters.semantic_net import ImageInput, SemanticNet
from fuse.models.options import check_options
from fuse.models.weights.fetching import find_weights
from fuse.models.weights.loading import check_file, hash_files

CHANNELS = 3
TRIAL_SIZE = 512  # pixels, of the first run of a net that takes any size


@dataclass(frozen=True, slots=True)
class NetDescription:
    """What a net file does not say of itself; see `ImageInput` and `SemanticNet` for the others.

    Attributes:
        label_space, class_ids: see `fuse.labels.resolve_classes`.
        class_names: of the classes in order; by default those in the file's metadata.
        channels: the order of the net's input.
        layout: of the input; by default as the file's shapes say.
        value_range: what white is before mean and std are taken: 1 or 255.
        mean, std: per channel in the net's own order, in that range.
        size: of the input; by default the file's, or as min_size says.
        input, output: names in the file, where it has several.
    """

    label_space: str | None = None
    class_ids: Sequence[int] | None = None
    class_names: Sequence[str] | None = None
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] | None = None
    value_range: float = 1.0
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    size: Sequence[int] | None = None
    letterbox: bool = False
    min_size: int | None = None
    max_size: int | None = None
    divisor: int = 1
    input: str | None = None
    output: str | None = None
    align_corners: bool = False
    activation: Literal["none", "softmax", "sigmoid"] | None = None


@dataclass(frozen=True, slots=True)
class OpenNet:
    """A net file that has been opened.

    Attributes:
        run: from one image, as the net takes it, to its logits.
        size: (height, width) of the only input it takes, or None.
        channels_last: whether its input is (1, H, W, 3), not (1, 3, H, W).
        takes_bytes: whether its input is uint8, not float32.
        files: all that it was read from, for the hash.
        class_names: as its metadata has them.
    """

    run: Callable[[Tensor], Tensor]
    size: tuple[int, int] | None
    channels_last: bool
    takes_bytes: bool
    files: Sequence[Path]
    class_names: Sequence[str] | None = None


def load_net_file(
    kind: str,
    device: str,
    options: Mapping[str, Any],
    open_net: Callable[[Path, str, NetDescription], OpenNet],
) -> SemanticNet:
    """Open a net file as a semantic model.

    Args:
        kind: name of the model in a preset, for messages.
        device: ``cpu``, ``cuda:0``, ...
        options: ``weights``, the path of the file, and fields of `NetDescription`.
        open_net: from path, device and description to the net.

    Raises:
        ModelError: the file is not there, is no net, or does not run on an image.
        ConfigError: an option is missing or wrong.
    """
    path = find_weights(kind, options)
    check_file(path)
    about = _read_description(kind, path, options)
    net = open_net(path, device, about)
    if net.takes_bytes and (any(about.mean) or any(value != 1 for value in about.std)):
        raise ConfigError(f"{path}: takes bytes as they are; leave out mean and std")
    image_input = _make_input(about, net)
    forward = _make_forward(about, net)
    shape = _try_out(path, forward, image_input, device)
    classes_last = shape[1] != _expected_classes(about) == shape[3]
    space, category_ids = resolve_classes(
        str(path),
        shape[3 if classes_last else 1],
        about.label_space,
        about.class_ids,
        about.class_names if about.class_names is not None else net.class_names,
    )
    return SemanticNet(
        f"{kind} net {path}",
        (lambda images: forward(images).permute(0, 3, 1, 2)) if classes_last else forward,
        image_input,
        label_space=space,
        category_ids=category_ids,
        weights_hash=hash_files(net.files),
        align_corners=about.align_corners,
        device=device,
        precision="float32",  # a file's number format is its own
        batches=False,
        activation=about.activation,
    )


def check_input(path: Path, batch: object, channels: object) -> None:
    """Raise ModelError for a net whose fixed input is not one image of three channels.

    Args:
        path: of the net's file.
        batch, channels: numbers; anything else where the net takes any.
    """
    if isinstance(channels, int) and channels != CHANNELS:
        raise ModelError(
            f"{path}: takes images of {channels} channel{'s' if channels > 1 else ''}, but images "
            f"here have {CHANNELS}; export a net for RGB images (and set layout where its input is "
            "channels last)"
        )
    if isinstance(batch, int) and batch != 1:
        raise ModelError(
            f"{path}: takes {batch} images at a time, but is asked for one; export it with a batch "
            "of 1 or of any size (dynamic_axes or dynamic_shapes)"
        )


def _read_description(kind: str, path: Path, options: Mapping[str, Any]) -> NetDescription:
    """The TOML beside a net file, if there is one, and the preset's options on top.

    Raises:
        ConfigError: the TOML cannot be read, or a key or value is wrong.
    """
    beside = path.with_suffix(".toml")
    table = read_toml(beside) if beside.is_file() else {}
    if isinstance(table.get("label_space"), str):
        table["label_space"] = resolve_path(table["label_space"], path.parent)
    table |= {key: value for key, value in options.items() if key != "weights"}
    check_options("semantic", kind, NetDescription, table)
    about = NetDescription(**table)
    if about.value_range <= 0:
        raise ConfigError(f"value_range must be above 0, got {about.value_range}")
    return about


def _make_input(about: NetDescription, net: OpenNet) -> ImageInput:
    step = -1 if about.channels == "bgr" else 1
    size = tuple(about.size) if about.size is not None else net.size
    if net.size is not None and net.size != size:
        raise ConfigError(
            f"{net.files[0]}: takes images {describe_size(net.size)}, but size says "
            f"{describe_size(size or net.size)}"
        )
    if size and (about.min_size or about.max_size or about.divisor != 1):
        raise ConfigError(
            f"{net.files[0]}: takes images {describe_size(size)}; leave out min_size, "
            "max_size and divisor"
        )
    if about.letterbox and not size:
        raise ConfigError(f"{net.files[0]}: takes any size, so letterbox needs size as well")
    return ImageInput(
        mean=[value / about.value_range for value in about.mean][::step],
        std=[value / about.value_range for value in about.std][::step],
        size=size,
        letterbox=about.letterbox,
        min_size=about.min_size,
        max_size=about.max_size,
        divisor=about.divisor,
        antialias=True,
    )


def _make_forward(about: NetDescription, net: OpenNet) -> Callable[[Tensor], Tensor]:
    """From normalised RGB (1, 3, H, W) to what the net answers."""

    def forward(images: Tensor) -> Tensor:
        if about.channels == "bgr":
            images = images.flip(1)
        if net.takes_bytes:
            images = (images * (255 / about.value_range)).round().clamp(0, 255).to(torch.uint8)
        if net.channels_last:
            images = images.permute(0, 2, 3, 1)
        return net.run(images.contiguous())

    return forward


def _try_out(
    path: Path, forward: Callable[[Tensor], Tensor], image_input: ImageInput, device: str
) -> tuple[int, ...]:
    """The shape of what the net answers to a black image, (1, C, h, w) or (1, h, w, C)."""
    resized = image_input.resized_size((TRIAL_SIZE, TRIAL_SIZE))
    padded = image_input.padded_size(resized)
    try:
        with torch.inference_mode():
            answer = forward(torch.zeros((1, 3, *padded), device=device))
    except Exception as err:  # whatever the runtime of the file raises
        reason = first_line(err)
        raise ModelError(
            f"{path}: does not run on an image {describe_size(padded)} ({reason})"
        ) from err
    if not isinstance(answer, Tensor):
        got = str(type(answer))
    elif answer.ndim != 4 or not answer.is_floating_point():
        got = f"{tuple(answer.shape)} {answer.dtype}"
    else:
        return tuple(answer.shape)
    raise ModelError(
        f"{path}: must answer with logits, (1, classes, h, w) or (1, h, w, classes), "
        f"got {got}; a net that ends in an argmax must be cut before it"
    )


def _expected_classes(about: NetDescription) -> int | None:
    if about.class_ids is not None:
        return len(about.class_ids)
    return len(load_category_ids(about.label_space)) if about.label_space else None
