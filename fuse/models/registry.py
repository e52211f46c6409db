"""From the name of a model in a preset to the model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from fuse.errors import ConfigError, ModelNotFoundError, unknown_key
from fuse.models.protocols import InstanceModel, SemanticModel

SEMANTIC_MODELS = {"smp": "fuse.models.smp_semantic:SmpSemantic"}
INSTANCE_MODELS = {"torchvision": "fuse.models.torchvision_maskrcnn:TorchvisionMaskRCNN"}


def create_semantic_model(name: str, device: str, options: Mapping[str, Any]) -> SemanticModel:
    """Build a semantic model by its name; options are the arguments of its class.

    Raises:
        ModelNotFoundError: no model has that name.
        ConfigError: an option is unknown or missing.
    """
    model: SemanticModel = _create(SEMANTIC_MODELS, "semantic", name, device, options)
    return model


def create_instance_model(name: str, device: str, options: Mapping[str, Any]) -> InstanceModel:
    """Build an instance model by its name; options are the arguments of its class.

    Raises:
        ModelNotFoundError: no model has that name.
        ConfigError: an option is unknown or missing.
    """
    model: InstanceModel = _create(INSTANCE_MODELS, "instance", name, device, options)
    return model


def _create(
    table: Mapping[str, str], kind: str, name: str, device: str, options: Mapping[str, Any]
) -> Any:  # noqa: ANN401 - the two callers name the type
    if name not in table:
        raise ModelNotFoundError(f"no {kind} model {name!r}; known are {', '.join(sorted(table))}")
    module_name, _, class_name = table[name].partition(":")
    factory = getattr(import_module(module_name), class_name)
    allowed = [key for key in inspect.signature(factory).parameters if key != "device"]
    for key in options:
        if key not in allowed:
            raise unknown_key(f"the {kind} model {name!r}", key, allowed)
    if "weights" not in options:
        raise ConfigError(f"{kind}.weights is missing: name the weights of model {name!r}")
    return factory(device, **options)
