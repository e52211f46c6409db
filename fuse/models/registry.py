"""From the name of a model in a preset to the model.

A name is that of a built-in model, one under which an installed package offers a model (an
entry point), ``package.module:factory`` or ``file.py:factory``. A factory is a class or a
function; it takes the device and, by keyword, the options of the preset's section.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fuse.errors import FuseError, ModelError, ModelNotFoundError, ModelOutputError
from fuse.models.options import check_options
from fuse.models.output_checks import ANY_FAILURE, describe_failure
from fuse.models.protocols import InstanceModel, SemanticModel
from fuse.models.weights.sources import NeededWeights
from fuse.types import LabelSpace

Factory = Callable[..., Any]

ENTRY_POINT_GROUPS = {"semantic": "fuse.semantic_models", "instance": "fuse.instance_models"}
BUILT_IN = {
    "semantic": {
        "smp": "fuse.models.adapters.smp_semantic:load_smp_semantic",
        "torchvision": "fuse.models.adapters.torchvision_semantic:load_torchvision_semantic",
        "panoptic-fpn": "fuse.models.panoptic_fpn.adapters:PanopticFpnSemantic",
        "transformers": "fuse.models.adapters.transformers_semantic:TransformersSemantic",
        "onnx": "fuse.models.adapters.onnx_semantic:load_onnx_semantic",
        "exported": "fuse.models.adapters.exported_semantic:load_exported_semantic",
        "saved": "fuse.models.adapters.precomputed:PrecomputedLabelMaps",
        "oracle": "fuse.models.adapters.oracle:SemanticOracle",
    },
    "instance": {
        "torchvision": "fuse.models.adapters.torchvision_maskrcnn:TorchvisionMaskRCNN",
        "panoptic-fpn": "fuse.models.panoptic_fpn.adapters:PanopticFpnInstances",
        "transformers": "fuse.models.adapters.transformers_instances:TransformersInstances",
        "saved": "fuse.models.adapters.precomputed:PrecomputedInstances",
        "oracle": "fuse.models.adapters.oracle:InstanceOracle",
    },
}
BUILT_IN_ORIGIN = "fuse itself"
RUNS_ITS_FILE = ("exported",)
# Built-in models that need a package this one does not install, and the extra that does.
EXTRAS = {"onnx": ("onnxruntime", "onnx"), "transformers": ("transformers", "hf")}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that a preset can name.

    Attributes:
        kind: ``semantic`` or ``instance``.
        name: what the preset says.
        target: ``package.module:factory``.
        origin: the distribution that offers it, or ``fuse itself``.
        problem: why it cannot be used, or None.
    """

    kind: str
    name: str
    target: str
    origin: str
    problem: str | None = None


def create_semantic_model(name: str, device: str, options: Mapping[str, Any]) -> SemanticModel:
    """Build a semantic model by its name; options are the arguments of its factory.

    Raises:
        ModelNotFoundError: no model has that name.
        ModelError: the model cannot be imported or built.
        ConfigError: an option is unknown, missing or of the wrong type.
    """
    model: SemanticModel = _create("semantic", name, device, options)
    return model


def create_instance_model(name: str, device: str, options: Mapping[str, Any]) -> InstanceModel:
    """Build an instance model by its name; options are the arguments of its factory.

    Raises:
        ModelNotFoundError: no model has that name.
        ModelError: the model cannot be imported or built.
        ConfigError: an option is unknown, missing or of the wrong type.
    """
    model: InstanceModel = _create("instance", name, device, options)
    return model


def list_models() -> list[ModelEntry]:
    """Every model that can be named, with what is wrong with those that cannot be used."""
    return [
        ModelEntry(kind, name, entry.value, _origin(entry), _find_problem(kind, name, entries))
        for kind in ENTRY_POINT_GROUPS
        for name, entries in sorted(_claims(kind).items())
        for entry in entries
    ]


def needs_plugin_permission(name: str) -> bool:
    """Whether to run a preset that names this model is to run code that nobody installed.

    That is a plug-in by its module or file, and a built-in model whose weights are a program.

    >>> needs_plugin_permission("smp"), needs_plugin_permission("nets/mine.py:Net")
    (False, True)
    """
    return ":" in name or name in RUNS_ITS_FILE


def find_needed_weights(kind: str, name: str, options: Mapping[str, Any]) -> NeededWeights | None:
    """The weights that a model needs, for fetching them ahead of time; nothing is fetched here.

    A model's module says so in a function ``describe_weights(options)``.

    Args:
        kind: ``semantic`` or ``instance``.
        name: of the model.
        options: as in a preset.

    Returns:
        None where the module has no such function.

    Raises:
        FuseError: see `create_semantic_model`.
    """
    factory = find_factory(kind, name)
    check_options(kind, name, factory, options)
    describe = getattr(inspect.getmodule(factory), "describe_weights", None)
    needed: NeededWeights | None = describe(options) if describe else None
    return needed


def _create(kind: str, name: str, device: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the two callers name the type
    factory = find_factory(kind, name)
    check_options(kind, name, factory, options)
    try:
        model = factory(device, **options)
    except FuseError:
        raise
    except ANY_FAILURE as err:
        from fuse.models.runtime import is_out_of_memory  # torch takes seconds to import

        if is_out_of_memory(err):
            raise ModelError(f"{kind} model {name!r} does not fit the memory of {device}") from err
        if name in BUILT_IN[kind]:
            raise
        raise ModelError(
            f"{kind} model {name!r} cannot be built: {describe_failure(err, factory)}"
        ) from err
    _check_model(kind, name, model)
    return model


def _check_model(kind: str, name: str, model: object) -> None:
    """Raise ModelOutputError unless the model has what its protocol asks for."""
    wanted: dict[str, type] = {"label_space": LabelSpace, "weights_hash": str}
    if kind == "semantic":
        wanted["category_ids"] = np.ndarray
    for attribute, wanted_type in wanted.items():
        if not hasattr(model, attribute):
            raise ModelOutputError(
                f"{kind} model {name!r}: has no {attribute}, which docs/plugin.md asks for"
            )
        value = getattr(model, attribute)
        if not isinstance(value, wanted_type):
            raise ModelOutputError(
                f"{kind} model {name!r}: its {attribute} must be {wanted_type.__name__}, "
                f"got {type(value).__name__}"
            )
    if not callable(getattr(model, "predict", None)):
        raise ModelOutputError(f"{kind} model {name!r}: has no predict method")
    if kind == "semantic":
        _check_category_ids(name, model)


def _check_category_ids(name: str, model: Any) -> None:  # noqa: ANN401 - a semantic model, unproven
    """Raise ModelOutputError unless category_ids has an id of the model's own space per class."""
    category_ids, space = model.category_ids, model.label_space
    if category_ids.ndim != 1 or category_ids.dtype != np.int32:
        raise ModelOutputError(
            f"semantic model {name!r}: its category_ids must be int32 with one axis, got "
            f"{category_ids.dtype} of shape {category_ids.shape}"
        )
    unknown = set(category_ids.tolist()) - {0, *space.by_id}
    if unknown:
        raise ModelOutputError(
            f"semantic model {name!r}: its category_ids have {min(unknown)}, which is no "
            f"category_id of {space.name}; take them from label_space.by_name, 0 for none"
        )


def find_factory(kind: str, name: str) -> Factory:
    """The class or function behind a model's name; see `create_semantic_model` for errors."""
    claims = _claims(kind)
    if name in claims:
        entries = claims[name]
        if len(entries) > 1:
            raise ModelError(
                f"{kind} model {name!r} is offered by {' and by '.join(map(_origin, entries))}; "
                "uninstall one, or name the model as package.module:factory"
            )
        return _load(kind, name, entries[0].value, _origin(entries[0]))
    if ":" in name:
        return _load(kind, name, name, "the preset")
    near = get_close_matches(name, claims, n=1)
    hint = f"did you mean {near[0]!r}? K" if near else "k"
    raise ModelNotFoundError(
        f"no {kind} model {name!r}; {hint}nown are {', '.join(sorted(claims))}, or give "
        "package.module:factory or file.py:factory"
    )


def _claims(kind: str) -> dict[str, list[EntryPoint]]:
    """Who offers a model of each name: built-in models and entry points alike."""
    group = ENTRY_POINT_GROUPS[kind]
    offered = [EntryPoint(name, target, group) for name, target in BUILT_IN[kind].items()]
    claims: dict[str, list[EntryPoint]] = {}
    for entry in (*offered, *entry_points(group=group)):
        claims.setdefault(entry.name, []).append(entry)
    return claims


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else BUILT_IN_ORIGIN


def _find_problem(kind: str, name: str, entries: Sequence[EntryPoint]) -> str | None:
    """Why a model cannot be used; built-in ones are not imported for it, which takes seconds."""
    try:
        if len(entries) == 1 and _origin(entries[0]) == BUILT_IN_ORIGIN:
            _check_extra(kind, name)
        else:
            find_factory(kind, name)
    except ModelError as err:
        return str(err)
    return None


def _check_extra(kind: str, name: str) -> None:
    """Raise ModelError where the package that a built-in model needs is not installed."""
    package, extra = EXTRAS.get(name, (None, None))
    if package and find_spec(package) is None:
        raise ModelError(
            f"{kind} model {name!r} needs the package {package}: "
            f"pip install 'panoptic-fuse[{extra}]'"
        )


def _load(kind: str, name: str, target: str, origin: str) -> Factory:
    """Import a factory.

    Raises:
        ModelError: it cannot be imported; the message names the plug-in, or the extra to install.
    """
    if origin == BUILT_IN_ORIGIN:
        _check_extra(kind, name)
    who = f"{kind} model {name!r} from {origin}"
    module_name, _, attribute = target.rpartition(":")
    try:
        file = Path(module_name).expanduser().resolve() if module_name.endswith(".py") else None
    except RuntimeError as err:  # of expanduser
        raise ModelError(f"{who}: {err}") from err
    if file and not file.is_file():
        raise ModelError(f"{who}: there is no file {file}")
    try:
        module = _import_file(file) if file else import_module(module_name)
    except ANY_FAILURE as err:
        reason = describe_failure(err, str(file) if file else None)
        raise ModelError(f"{who} cannot be imported: {reason}") from err
    factory = getattr(module, attribute, None)
    if not callable(factory):
        offered = [key for key, value in vars(module).items() if callable(value)]
        near = get_close_matches(attribute, offered, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ModelError(f"{who}: {module_name} has no class or function {attribute!r}{hint}")
    made: Factory = factory
    return made


def _import_file(path: Path) -> ModuleType:
    """The module in a file, run once as long as the file stays as it is.

    Its folder is searched for what it imports, after all else, as Python does for a script.
    """
    state = path.stat()
    key = f"{path} {state.st_mtime_ns} {state.st_size}".encode()
    module_name = f"fuse_plugin_{path.stem}_{hashlib.sha256(key).hexdigest()[:16]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickles look it up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module
