"""Semantic nets of torchvision: FCN, DeepLabv3 and LR-ASPP.

Their forward ends in an upsampling to the input's size; here backbone and classifier are
called without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models import list_models, segmentation

from fuse.labels import load_category_ids
from fuse.models import runtime
from fuse.models.adapters.semantic_net import ImageInput, SemanticNet
from fuse.models.classes import resolve_classes
from fuse.models.weights.hashes import hash_files, load_state
from fuse.models.weights.published import (
    check_architecture,
    describe_named_weights,
    list_published,
    read_named_weights,
)
from fuse.models.weights.sources import NeededWeights

# All published weights know PASCAL VOC's background and 20 classes.
VOC_SPACE = "voc"
MIN_SIZE = 520  # pixels, as torchvision evaluates them
AUXILIARY = "aux_classifier."  # a second head that only training uses


class _WithoutUpsampling(nn.Module):
    """A torchvision semantic net that answers at its own stride."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.backbone = net.get_submodule("backbone")
        self.classifier = net.get_submodule("classifier")

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) to logits (N, C, h, w)."""
        features = self.backbone(images)
        # LR-ASPP's head reads two levels.
        logits: Tensor = self.classifier(features.get("out", features))
        return logits


def load_torchvision_semantic(
    device: str,
    *,
    architecture: str,
    weights: str,
    label_space: str | None = None,
    class_ids: Sequence[int] | None = None,
    min_size: int = MIN_SIZE,
    max_size: int | None = None,
    precision: str = "auto",
) -> SemanticNet:
    """A semantic net of torchvision.

    Args:
        device: ``cpu``, ``cuda:0``, ...
        architecture: a builder in ``torchvision.models.segmentation``, as ``fcn_resnet50``.
        weights: a name that torchvision knows for the architecture
            (``COCO_WITH_VOC_LABELS_V1``, ``DEFAULT``; downloaded to TORCH_HOME), or a file.
        label_space: categories of the net; not needed for published weights.
        class_ids: category_id of each class, 0 = none; by default label_space's own rows.
        min_size: pixels of the image's short side in the input.
        max_size: pixels that its long side may not exceed.
        precision: see `runtime.autocast`.

    Raises:
        ModelError: the weights are not there or do not fit.
        ConfigError: an option is missing or wrong.
    """
    check_architecture(architecture, list_models(segmentation), weights)
    state, _, path = read_named_weights(segmentation, architecture, weights)
    net = _build(architecture, state, path)
    count = _count_classes(state)
    published = list_published(segmentation, architecture).values()
    if label_space is None and path.name in {url.rpartition("/")[2] for url in published}:
        label_space = VOC_SPACE
    space, ids = resolve_classes(str(path), count, label_space, class_ids)
    return SemanticNet(
        f"torchvision net {architecture}",
        runtime.place(_WithoutUpsampling(net), device),
        ImageInput(min_size=min_size, max_size=max_size, antialias=True),
        label_space=space,
        category_ids=ids,
        weights_hash=hash_files([path]),
        align_corners=False,
        device=device,
        precision=precision,
    )


def describe_weights(options: Mapping[str, Any]) -> NeededWeights:
    """Where the weights of these options are looked for."""
    return describe_named_weights(segmentation, options)


def make_random_state(options: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict in the layout of torchvision's published weights."""
    class_ids, label_space = options.get("class_ids"), options.get("label_space")
    if class_ids is None and label_space is not None:
        class_ids = load_category_ids(label_space)
    net = getattr(segmentation, options["architecture"])(
        weights=None, weights_backbone=None, num_classes=len(class_ids) if class_ids else None
    )
    state: dict[str, Tensor] = net.state_dict()
    return state


def _build(architecture: str, state: dict[str, Tensor], path: Path) -> nn.Module:
    """The net with its weights, the auxiliary head that only training uses left out."""
    net: nn.Module = getattr(segmentation, architecture)(
        weights=None, weights_backbone=None, num_classes=_count_classes(state)
    )
    state = {key: state[key] for key in state if not key.startswith(AUXILIARY)}
    load_state(net, state, source=str(path))
    return net


def _count_classes(state: dict[str, Tensor]) -> int:
    """Classes of the head's last layer; 1, which fits nothing, where there is no head."""
    biases = [key for key in state if key.startswith("classifier.") and key.endswith(".bias")]
    return len(state[biases[-1]]) if biases else 1
