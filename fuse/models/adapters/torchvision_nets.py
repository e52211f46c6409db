"""What torchvision's nets have in common: builders by name, and weights that it publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn
from torchvision.models import get_model_weights, list_models

from fuse.errors import ConfigError, suggest
from fuse.models.weights.fetching import find_weights
from fuse.models.weights.loading import NetHeader, read_weights
from fuse.models.weights.sources import NeededWeights, describe_file, describe_url

NEEDS_ARCHITECTURE = "with an architecture those that torchvision publishes"


def list_published(builders: ModuleType, architecture: object) -> dict[str, str]:
    """URL by name of the weights that torchvision publishes for an architecture.

    Args:
        builders: ``torchvision.models.detection`` or ``.segmentation``.
        architecture: a builder there; for anything else there are none.

    >>> from torchvision.models import segmentation
    >>> list(list_published(segmentation, "fcn_resnet50"))
    ['COCO_WITH_VOC_LABELS_V1', 'DEFAULT']
    """
    if architecture not in list_models(builders):
        return {}
    entries = get_model_weights(architecture).__members__
    return {name: str(entry.url) for name, entry in entries.items()}


def describe_named_weights(builders: ModuleType, options: Mapping[str, Any]) -> NeededWeights:
    """Where weights lie that torchvision or this package knows by name, or a file."""
    weights = str(options["weights"])
    url = list_published(builders, options.get("architecture")).get(weights)
    return describe_file(weights) if url is None else describe_url(url)


def read_named_weights(
    builders: ModuleType, architecture: str | None, weights: str
) -> tuple[dict[str, Tensor], NetHeader, Path]:
    """Read weights that torchvision or this package knows by name, or a file.

    Returns:
        Tensors by name, what the file says about itself, and the file.

    Raises:
        ModelNotFoundError: they are not on this machine and cannot be fetched.
        ModelError: the file there is no weights file.
    """
    needed = describe_named_weights(builders, {"weights": weights, "architecture": architecture})
    published = list(list_published(builders, architecture)) or [NEEDS_ARCHITECTURE]
    path = find_weights(needed, published)
    return (*read_weights(path), path)


def check_architecture(architecture: str, known: Sequence[str], weights: str | Path) -> None:
    """Raise ConfigError for an architecture that is not known."""
    if architecture not in known:
        raise ConfigError(
            f"{weights}: architecture {architecture!r} is not known; {suggest(architecture, known)}"
        )


def build_net(builders: ModuleType, architecture: str, classes: int | None) -> nn.Module:
    """A net of random weights; classes None is as many as the published weights have."""
    net: nn.Module = getattr(builders, architecture)(
        weights=None, weights_backbone=None, num_classes=classes
    )
    return net
