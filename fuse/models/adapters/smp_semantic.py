"""Nets of segmentation-models-pytorch as a semantic model.

Such a net ends in an upsampling by 2 to 8; here that step is taken off, so that logits leave at
the net's own stride and are upsampled once, straight to the image's size.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
from segmentation_models_pytorch.decoders.fpn.decoder import MergeBlock
from torch import Tensor, nn

from fuse.errors import CocoFormatError, ConfigError, FuseWarning, ModelError, describe_size
from fuse.io.json_toml import parse_object
from fuse.labels import load_category_ids, resolve_classes
from fuse.models.adapters.semantic_net import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageInput,
    SemanticNet,
    speed_up_semantic,
)
from fuse.models.fast_layers import AddedLevels
from fuse.models.weights.class_names import HOLDERS, KEYS, find_class_names
from fuse.models.weights.fetching import find_weights
from fuse.models.weights.loading import (
    NetHeader,
    count_classes,
    find_state_files,
    hash_files,
    load_state,
    read_weights,
)
from fuse.models.weights.side_files import CONFIG, hash_side_files
from fuse.models.weights.tiny import build_semantic_net

ROOTS = ("encoder", "decoder", "segmentation_head")
DEEPEST_STRIDE = 32  # of every convolutional encoder
SAVED_NAMES = ("model", "pytorch_model")  # what save_pretrained calls the weights
TIMM_PREFIX = "tu-"  # of encoders that timm has, in smp's names
MIN_SIZE, MAX_SIZE = 512, 2048
# What a config.json may say of the classes, which smp.create_model does not take.
NOT_ARGUMENTS = (*(key for key in KEYS if key != "classes"), *HOLDERS)
TRANSFORM_FILE = "albumentations_config_eval.json"  # beside the hub's checkpoints


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
    activation: str | None = None,
    precision: str = "auto",
    runtime: str = "auto",
) -> SemanticNet:
    """A net of segmentation-models-pytorch.

    Options, which need not be given where the weights tell them themselves:
        architecture: a name ``smp.create_model`` knows, or ``tiny_semantic``.
        encoder: encoder name for ``smp.create_model``.
        arguments: further arguments of ``smp.create_model`` that the weights were made with.
        mean, std: by default ImageNet's.
        size: for an encoder that takes one size only; images are stretched.
        align_corners: by default as in the net's own last upsampling; nets that were trained
            elsewhere may need another.

    Others, and errors: see `fuse.models.adapters`.
    """
    path, state, about, own_arguments = _read_checkpoint(weights, revision)
    count = count_classes(state, "segmentation_head.")
    keywords = {"encoder_weights": None, "classes": count, **own_arguments, **(arguments or {})}
    if encoder is not None:
        keywords["encoder_name"] = encoder
    net = _build(path, state, _first(architecture, about.architecture), keywords)
    own_align_corners = _take_off_upsampling(net)
    space, category_ids = resolve_classes(
        str(path),
        count,
        _first(label_space, about.label_space),
        _first(class_ids, about.category_ids),
        about.class_names,
    )
    size = _find_only_size(net, path) if size is None else size
    image_input = ImageInput(
        mean=_first(mean, about.mean, IMAGENET_MEAN),
        std=_first(std, about.std, IMAGENET_STD),
        min_size=_first(min_size, about.min_size, MIN_SIZE),
        max_size=_first(max_size, about.max_size, MAX_SIZE),
        size=size,
        divisor=_stride(net),
    )
    _tell_size(path, about, min_size, size)
    model = SemanticNet(
        f"segmentation-models-pytorch net {weights!r}",
        image_input=image_input,
        label_space=space,
        category_ids=category_ids,
        weights_hash=hash_files([path]),
        align_corners=own_align_corners if align_corners is None else align_corners,
        activation=activation,
        **speed_up_semantic(net, image_input, device, precision, runtime),
    )
    if own_arguments:  # a folder, whose other files say how the net is built and fed
        model.side_files = hash_side_files("smp", path.parent)
    return model


def _tell_size(
    path: Path, about: NetHeader, min_size: int | None, size: Sequence[int] | None
) -> None:
    """Say which size counts where the preset's is not the checkpoint's, or nobody's is known."""
    given = size or min_size
    if given and about.min_size and given != about.min_size:
        warnings.warn(
            FuseWarning(
                f"{path.parent}: its {TRANSFORM_FILE} has images of {about.min_size} pixels on the "
                f"short side; the preset's {given} counts"
            ),
            stacklevel=2,
        )
    is_folder = (path.parent / CONFIG).is_file() and path.stem in SAVED_NAMES
    if is_folder and given is None and about.min_size is None:
        warnings.warn(
            FuseWarning(
                f"{path.parent}: nothing there says what size its images had; their short side "
                f"becomes {MIN_SIZE} pixels (min_size)"
            ),
            stacklevel=2,
        )


def _first(*values: Any) -> Any:  # noqa: ANN401 - the type of what was given
    """The first value that is not None: an option comes before what the weights say themselves."""
    return next((value for value in values if value is not None), None)


def make_random_state(options: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """A state dict of the net that the options name; None where only the weights name it."""
    if not {"architecture", "encoder", "label_space"} <= options.keys():
        return None
    net = smp.create_model(
        options["architecture"],
        encoder_name=options["encoder"],
        encoder_weights=None,
        classes=len(options.get("class_ids") or load_category_ids(options["label_space"])),
        **options.get("arguments", {}),
    )
    state: dict[str, Tensor] = net.state_dict()
    return state


def _read_checkpoint(
    weights: str, revision: str | None
) -> tuple[Path, dict[str, Tensor], NetHeader, dict[str, Any]]:
    """Weights from a file, a folder or the hub.

    Returns:
        The weights file, its tensors by name, what is known of the net, and the arguments of
        ``smp.create_model`` that made it.
    """
    folder = find_weights("smp", {"weights": weights, "revision": revision})
    if not folder.is_dir():
        return folder, *read_weights(folder, ROOTS), {}
    files = find_state_files(folder)
    path = next((file for file in files if file.stem in SAVED_NAMES), files[0])
    try:
        config = folder / CONFIG
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
    names = find_class_names(arguments)
    arguments = {key: value for key, value in arguments.items() if key not in NOT_ARGUMENTS}
    state, saved = read_weights(path, ROOTS)
    state = {key: state[key] for key in state if not key.startswith("classification_head.")}
    about = NetHeader(
        architecture=architecture,
        class_names=names or saved.class_names,
        **_read_transform(folder / TRANSFORM_FILE),
    )
    return path, state, about, arguments


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
    path: Path, state: dict[str, Tensor], architecture: str | None, arguments: dict[str, Any]
) -> smp.base.SegmentationModel:
    """The net with these weights; arguments are those of ``smp.create_model``."""
    if architecture == "tiny_semantic":
        net: smp.base.SegmentationModel = build_semantic_net()
    elif architecture is None or "encoder_name" not in arguments:
        raise ConfigError(f"{path}: set architecture and encoder, as smp.create_model has them")
    else:
        try:
            net = smp.create_model(architecture, **arguments)
        except Exception as err:  # anything, depending on what an argument should have been
            raise ConfigError(_explain(architecture, arguments["encoder_name"], err)) from err
    load_state(net, state, source=str(path))
    _add_levels_faster(net)
    return net


def _add_levels_faster(net: nn.Module) -> None:
    """Have an FPN add its levels without a copy of them; the sum is the same."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, MergeBlock) and child.policy == "add":
                setattr(module, name, AddedLevels())


def _explain(architecture: str, encoder: str, err: Exception) -> str:
    """Why smp.create_model failed; of unknown names the nearest known ones."""
    if encoder.startswith(TIMM_PREFIX):
        encoders = [f"{TIMM_PREFIX}{name}" for name in timm.list_models()]
    else:
        encoders = list(smp.encoders.get_encoder_names())
    architectures = list(smp.MODEL_ARCHITECTURES_MAPPING)
    for what, name, known in (
        ("architecture", architecture, architectures),
        ("encoder", encoder, encoders),
    ):
        wanted = name.lower() if what == "architecture" else name
        if wanted not in known:
            near = ", ".join(get_close_matches(wanted, known)) or "none"
            return f"segmentation-models-pytorch has no {what} {name!r}; the nearest: {near}"
    return f"segmentation-models-pytorch: {err.args[0] if err.args else err!r}"


def _take_off_upsampling(net: smp.base.SegmentationModel) -> bool:
    """Remove the upsampling at the net's end; return whether it aligned corners."""
    head = net.segmentation_head
    if not isinstance(head, nn.Sequential):  # DPT's upsamples by a call, always so
        net.segmentation_head = head.head
        return True
    upsampling, head[1] = head[1], nn.Identity()
    return bool(getattr(upsampling, "align_corners", False))


def _find_only_size(net: smp.base.SegmentationModel, path: Path) -> tuple[int, int] | None:
    """(height, width) of the only images that a transformer of timm takes, which is told.

    None where it takes any.
    """
    patches = getattr(getattr(net.encoder, "model", None), "patch_embed", None)
    if patches is None or not getattr(patches, "strict_img_size", False) or not patches.img_size:
        return None
    height, width = patches.img_size
    warnings.warn(
        FuseWarning(
            f"{path}: its encoder takes images {describe_size((height, width))} only, to which "
            "they are stretched, as by size; one made with dynamic_img_size (arguments) takes any"
        ),
        stacklevel=3,
    )
    return int(height), int(width)


def _stride(net: smp.base.SegmentationModel) -> int:
    """What the sides of the input must be multiples of."""
    stride = int(net.encoder.output_stride)
    return DEEPEST_STRIDE if DEEPEST_STRIDE % stride == 0 else stride
