"""The weights that torchvision publishes: their names, and the files in TORCH_HOME."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor
from torchvision.models import get_model_weights, list_models

from fuse.errors import ConfigError, suggest
from fuse.models.weights.fetching import fetch_weights
from fuse.models.weights.hashes import find_weights, read_weights
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


def check_architecture(architecture: object, known: Sequence[str], weights: str | Path) -> None:
    """Raise ConfigError for an architecture that is not known; None may follow from weights."""
    if architecture is not None and architecture not in known:
        raise ConfigError(
            f"{weights}: architecture {architecture!r} is not known; "
            f"{suggest(str(architecture), known)}"
        )


def read_named_weights(
    builders: ModuleType, architecture: str | None, weights: str
) -> tuple[dict[str, Tensor], dict[str, Any], Path]:
    """Weights by a name that torchvision or this package knows, or from a file.

    Returns:
        Tensors by name, what the file says about itself, and the file.

    Raises:
        ModelNotFoundError: they are not on this machine and cannot be fetched.
        ModelError: the file there is no weights file.
    """
    published = list_published(builders, architecture)
    if weights in published:
        path = fetch_weights(_describe_entry(published[weights]))
    else:
        path = find_weights(weights, published=list(published) or [NEEDS_ARCHITECTURE])
    return (*read_weights(path), path)


def describe_named_weights(builders: ModuleType, options: Mapping[str, Any]) -> NeededWeights:
    """Where `read_named_weights` would look, given the options of a model."""
    weights = str(options["weights"])
    url = list_published(builders, options.get("architecture")).get(weights)
    return describe_file(weights) if url is None else _describe_entry(url)


def _describe_entry(url: str) -> NeededWeights:
    """The file behind a URL of torchvision's, whose name ends in the start of its SHA-256."""
    start = url.rpartition("-")[2].removesuffix(".pth")
    return describe_url(url, f"sha256:{start}")
