"""Semantic nets of torchvision: FCN, DeepLabv3 and LR-ASPP.

Their forward ends in an upsampling to the input's size; here backbone and classifier are
called without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models import list_models, segmentation

from fuse.errors import ConfigError, suggest
from fuse.labels import load_category_ids, resolve_classes
from fuse.models.adapters.semantic_net import ImageInput, SemanticNet, speed_up_semantic
from fuse.models.weights.fetching import find_weights
from fuse.models.weights.loading import count_classes, hash_files, load_state, read_weights
from fuse.models.weights.sources import list_published

# All published weights know PASCAL VOC's background and 20 classes.
VOC_SPACE = "voc"
ROOTS = ("backbone", "classifier")
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
    activation: str | None = None,
    precision: str = "auto",
    runtime: str = "auto",
) -> SemanticNet:
    """A semantic net of torchvision.

    Options:
        architecture: a builder in ``torchvision.models.segmentation``, as ``fcn_resnet50``.
        weights: a name that torchvision knows for the architecture
            (``COCO_WITH_VOC_LABELS_V1``, ``DEFAULT``), or a file.
        label_space: not needed for published weights.

    Others, and errors: see `fuse.models.adapters`.
    """
    known = list_models(segmentation)
    if architecture not in known:
        raise ConfigError(
            f"{weights}: architecture {architecture!r} is not known; {suggest(architecture, known)}"
        )
    path = find_weights("torchvision", {"architecture": architecture, "weights": weights})
    state, about = read_weights(path, ROOTS)
    state = {key: state[key] for key in state if not key.startswith(AUXILIARY)}
    count = count_classes(state, "classifier.")
    net = _build(architecture, count)
    load_state(net, state, source=str(path))
    published = [row.file_name for row in list_published("torchvision", architecture).values()]
    if label_space is None and path.name in published:
        label_space = VOC_SPACE
    space, ids = resolve_classes(str(path), count, label_space, class_ids, about.class_names)
    image_input = ImageInput(min_size=min_size, max_size=max_size, antialias=True)
    return SemanticNet(
        f"torchvision net {architecture}",
        image_input=image_input,
        label_space=space,
        category_ids=ids,
        weights_hash=hash_files([path]),
        align_corners=False,
        activation=activation,
        **speed_up_semantic(_WithoutUpsampling(net), image_input, device, precision, runtime),
    )


def make_random_state(options: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict in the layout of torchvision's published weights."""
    class_ids, label_space = options.get("class_ids"), options.get("label_space")
    if class_ids is None and label_space is not None:
        class_ids = load_category_ids(label_space)
    classes = len(class_ids) if class_ids else None
    return _build(options["architecture"], classes).state_dict()


def _build(architecture: str, classes: int | None) -> nn.Module:
    """A net of random weights; classes None is as many as the published weights have."""
    net: nn.Module = getattr(segmentation, architecture)(
        weights=None, weights_backbone=None, num_classes=classes
    )
    return net
