"""The weights that torchvision publishes: their names, and the files in TORCH_HOME.

torch.hub downloads them, checks the hash in the file's name, and renames a file when it is
whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torchvision.models import get_model_weights, list_models

from fuse.errors import ModelNotFoundError
from fuse.models.weights import NeededWeights, describe_file, find_weights, read_weights


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
        path = _fetch(published[weights], f"{architecture} {weights}")
    else:
        path = find_weights(weights, published=list(published))
    return (*read_weights(path), path)


def describe_named_weights(builders: ModuleType, options: Mapping[str, Any]) -> NeededWeights:
    """Where `read_named_weights` would look, given the options of a model."""
    weights = str(options["weights"])
    url = list_published(builders, options.get("architecture")).get(weights)
    if url is None:
        return describe_file(weights)
    path = _cached_path(url)
    return NeededWeights(url, path, path.is_file())


def _fetch(url: str, name: str) -> Path:
    """The file behind a URL in TORCH_HOME, downloaded if need be."""
    path = _cached_path(url)
    try:
        if not path.is_file():
            torch.hub.load_state_dict_from_url(
                url, progress=False, check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError) as err:  # no network; another hash
        raise ModelNotFoundError(
            f"{name}: {url} could not be downloaded ({err}); "
            f"put that file into {path.parent}, or set TORCH_HOME to the folder above hub"
        ) from err
    return path


def _cached_path(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
