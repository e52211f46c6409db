"""Nets of segmentation-models-pytorch as a semantic model.

Such a net ends in an upsampling by 2 to 8; here that step is taken off, so that logits leave at
the net's own stride and are upsampled once, straight to the image's size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
from torch import Tensor, nn

from fuse.errors import CocoFormatError, ConfigError, ModelError
from fuse.io.json_files import parse_object
from fuse.labels import load_category_ids
from fuse.models import runtime
from fuse.models.adapters.semantic_net import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageInput,
    SemanticNet,
    to_size,
)
from fuse.models.classes import resolve_classes
from fuse.models.weights.hashes import (
    find_repository,
    find_state_files,
    find_weights,
    hash_files,
    load_state,
    read_weights,
)
from fuse.models.weights.sources import (
    NeededWeights,
    describe_file,
    describe_repository,
    is_hub_name,
)
from fuse.models.weights.tiny import build_semantic_net

DEEPEST_STRIDE = 32  # of every convolutional encoder
SAVED_NAMES = ("model", "pytorch_model")  # what save_pretrained calls the weights
TIMM_PREFIX = "tu-"  # of encoders that timm has, in smp's names
MIN_SIZE, MAX_SIZE = 512, 2048
TRANSFORM_FILE = "albumentations_config_eval.json"  # beside the hub's checkpoints


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """Weights with what lies beside them.

    Attributes:
        path: the file.
        state: tensors by name.
        about: what it says of itself, with the keys of `load_smp_semantic`.
        arguments: of ``smp.create_model``.
    """

    path: Path
    state: dict[str, Tensor]
    about: dict[str, Any]
    arguments: dict[str, Any]


def load_smp_semantic(
    device: str,
    *,
    weights: str,
    revision: str | None = None,
    architecture: str | None = None,
    encoder: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    label_space: str | None = None,
    class_ids: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    min_size: int | None = None,
    max_size: int | None = None,
    size: Sequence[int] | None = None,
    align_corners: bool | None = None,
    precision: str = "auto",
) -> SemanticNet:
    """A net of segmentation-models-pytorch.

    Args:
        device: ``cpu``, ``cuda:0``, ...
        weights: shipped weights by name (``tiny_semantic``), a name on the Hugging Face hub or
            a local folder that ``save_pretrained`` made (``smp-hub/...``), or a file.
        revision: branch, tag or commit on the hub; by default ``main``.
        architecture: a name ``smp.create_model`` knows, or ``tiny_semantic``; not needed where
            the weights name it.
        encoder: encoder name for ``smp.create_model``.
        arguments: further arguments of ``smp.create_model`` that the weights were made with.
        label_space: categories of the net; not needed for shipped weights.
        class_ids: category_id of each class, 0 = none; by default label_space's own rows.
        mean: per channel on RGB in 0..1; by default that beside the weights, or ImageNet's.
        std: likewise.
        min_size: pixels of the image's short side in the input.
        max_size: pixels that its long side may not exceed.
        size: [height, width] for an encoder that takes one size only; images are stretched.
        align_corners: the convention the net was trained with. By default that of its own last
            upsampling; nets that were trained elsewhere may need another.
        precision: see `runtime.autocast`.

    Raises:
        ModelError: the weights are not there or do not fit.
        ConfigError: an option is missing or wrong.
    """
    checkpoint = _read_checkpoint(weights, revision)
    given = {
        "architecture": architecture,
        "label_space": label_space,
        "category_ids": class_ids,
        "mean": mean,
        "std": std,
        "min_size": min_size,
        "max_size": max_size,
    }
    about = checkpoint.about | {key: value for key, value in given.items() if value is not None}
    net = _build(checkpoint, about.get("architecture"), encoder, arguments or {})
    own_align_corners = _take_off_upsampling(net)
    space, ids = resolve_classes(
        str(checkpoint.path),
        _count_classes(net),
        about.get("label_space"),
        about.get("category_ids"),
    )
    return SemanticNet(
        f"segmentation-models-pytorch net {weights!r}",
        runtime.place(net, device),
        _make_input(about, to_size(size), _stride(net)),
        label_space=space,
        category_ids=ids,
        weights_hash=hash_files([checkpoint.path]),
        align_corners=own_align_corners if align_corners is None else align_corners,
        device=device,
        precision=precision,
    )


def describe_weights(options: Mapping[str, Any]) -> NeededWeights:
    """Where the weights of these options are looked for."""
    weights = str(options["weights"])
    if is_hub_name(weights) or Path(weights).expanduser().is_dir():
        return describe_repository(weights, options.get("revision"))
    return describe_file(weights)


def make_random_state(options: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """A state dict of the net that the options name; None where only the weights name it."""
    if not {"architecture", "encoder", "label_space"} <= options.keys():
        return None
    classes = len(options.get("class_ids") or load_category_ids(options["label_space"]))
    net = smp.create_model(
        options["architecture"],
        encoder_name=options["encoder"],
        encoder_weights=None,
        classes=classes,
        **options.get("arguments", {}),
    )
    state: dict[str, Tensor] = net.state_dict()
    return state


def _read_checkpoint(weights: str, revision: str | None) -> _Checkpoint:
    """Weights from a file, a folder or the hub."""
    if not is_hub_name(weights) and not Path(weights).expanduser().is_dir():
        path = find_weights(weights)
        return _Checkpoint(path, *read_weights(path), {})
    folder = find_repository(weights, revision)
    files = find_state_files(folder)
    path = next((file for file in files if file.stem in SAVED_NAMES), files[0])
    try:
        config = folder / "config.json"
        arguments = parse_object(config.read_bytes(), str(config))
        architecture = arguments.pop("_model_class")
    except (OSError, CocoFormatError, KeyError) as err:
        raise ModelError(
            f"{folder}: config.json is missing or names no _model_class, so this is no folder of "
            "segmentation-models-pytorch"
        ) from err
    # A classifier of whole images may hang on the net; neither it nor an activation is used.
    arguments = {key: value for key, value in arguments.items() if not key.startswith("_")}
    arguments |= {"encoder_weights": None, "activation": None, "aux_params": None}
    state, _ = read_weights(path)
    state = {key: state[key] for key in state if not key.startswith("classification_head.")}
    about = _read_transform(folder / TRANSFORM_FILE) | {"architecture": architecture}
    return _Checkpoint(path, state, about, arguments)


def _read_transform(path: Path) -> dict[str, Any]:
    """mean, std and min_size as the albumentations file beside the hub's weights has them."""
    if not path.is_file():
        return {}
    about: dict[str, Any] = {}
    try:
        for step in parse_object(path.read_bytes(), str(path))["transform"]["transforms"]:
            kind = step["__class_fullname__"].rpartition(".")[2]
            if kind == "Normalize":
                # Its mean and std count in shares of max_pixel_value, on values of 0..255.
                unit = step.get("max_pixel_value", 255.0) / 255
                about["mean"] = [value * unit for value in step["mean"]]
                about["std"] = [value * unit for value in step["std"]]
            elif kind == "Resize":
                about["min_size"] = min(step["height"], step["width"])
    except (CocoFormatError, KeyError, TypeError, AttributeError) as err:
        raise ModelError(f"{path}: not a pipeline of albumentations ({err!r})") from err
    return about


def _build(
    checkpoint: _Checkpoint,
    architecture: str | None,
    encoder: str | None,
    arguments: Mapping[str, Any],
) -> smp.base.SegmentationModel:
    """The net with the checkpoint's weights."""
    if architecture == "tiny_semantic":
        net: smp.base.SegmentationModel = build_semantic_net()
    else:
        keywords = {"encoder_weights": None, **checkpoint.arguments, **arguments}
        keywords.setdefault("classes", _count_state_classes(checkpoint.state))
        if encoder is not None:
            keywords["encoder_name"] = encoder
        if architecture is None or "encoder_name" not in keywords:
            raise ConfigError(
                f"{checkpoint.path}: set architecture and encoder, as smp.create_model has them"
            )
        try:
            net = smp.create_model(architecture, **keywords)
        except Exception as err:  # anything, depending on what an argument should have been
            raise ConfigError(_explain(architecture, keywords["encoder_name"], err)) from err
    load_state(net, checkpoint.state, source=str(checkpoint.path))
    return net


def _explain(architecture: str, encoder: str, err: Exception) -> str:
    """Why smp.create_model failed; of unknown names the nearest known ones."""
    prefix = TIMM_PREFIX if encoder.startswith(TIMM_PREFIX) else ""
    encoders = timm.list_models() if prefix else list(smp.encoders.get_encoder_names())
    architectures = list(smp.MODEL_ARCHITECTURES_MAPPING)
    for what, name, known in (
        ("architecture", architecture.lower(), architectures),
        ("encoder", encoder.removeprefix(prefix), encoders),
    ):
        if name not in known:
            near = ", ".join(
                prefix * (what == "encoder") + n for n in get_close_matches(name, known)
            )
            given = architecture if what == "architecture" else encoder
            return (
                f"segmentation-models-pytorch has no {what} {given!r}; "
                f"the nearest: {near or 'none'}"
            )
    return f"segmentation-models-pytorch: {err.args[0] if err.args else err!r}"


def _make_input(about: Mapping[str, Any], size: tuple[int, int] | None, divisor: int) -> ImageInput:
    """How the net wants its images, by what is known of it and else as ImageNet's encoders do."""
    return ImageInput(
        mean=tuple(about.get("mean", IMAGENET_MEAN)),
        std=tuple(about.get("std", IMAGENET_STD)),
        min_size=about.get("min_size", MIN_SIZE),
        max_size=about.get("max_size", MAX_SIZE),
        size=size,
        divisor=divisor,
    )


def _count_state_classes(state: dict[str, Tensor]) -> int:
    """Classes of the last layer of the head; 1, which fits nothing, where there is no head."""
    biases = [key for key in state if key.startswith("segmentation_head.") and "bias" in key]
    return len(state[biases[-1]]) if biases else 1


def _count_classes(net: smp.base.SegmentationModel) -> int:
    convolutions = [m for m in net.segmentation_head.modules() if isinstance(m, nn.Conv2d)]
    return int(convolutions[-1].out_channels)


def _take_off_upsampling(net: smp.base.SegmentationModel) -> bool:
    """Remove the upsampling at the net's end; return whether it aligned corners."""
    head = net.segmentation_head
    if not isinstance(head, nn.Sequential):  # DPT's upsamples by a call, always so
        net.segmentation_head = head.head
        return True
    upsampling, head[1] = head[1], nn.Identity()
    return bool(getattr(upsampling, "align_corners", False))


def _stride(net: smp.base.SegmentationModel) -> int:
    """What the sides of the input must be multiples of."""
    stride = int(net.encoder.output_stride)
    return DEEPEST_STRIDE if DEEPEST_STRIDE % stride == 0 else stride
