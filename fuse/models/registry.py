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
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from fuse.errors import FuseError, ModelError, ModelNotFoundError, did_you_mean, suggest
from fuse.models.options import check_options
from fuse.models.output_checks import ANY_FAILURE, check_model, describe_failure
from fuse.models.protocols import InstanceModel, SemanticModel
from fuse.models.weights.sources import NeededWeights, describe_named

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
    """Build an instance model by its name, as `create_semantic_model` does."""
    model: InstanceModel = _create("instance", name, device, options)
    return model


def list_models() -> list[ModelEntry]:
    """Every model that can be named, with what is wrong with those that cannot be used."""
    return [
        replace(entry, problem=_find_problem(entries))
        for kind in BUILT_IN
        for _, entries in sorted(_list_entries(kind).items())
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
    """The weights that a model needs; None where there are none or a plug-in does not say.

    A plug-in says so in its module's ``describe_weights(options)``. Nothing is fetched here.

    Args:
        kind: ``semantic`` or ``instance``.
        name: of the model.
        options: as in a preset.

    Raises:
        FuseError: see `create_semantic_model`.
    """
    factory = find_factory(kind, name)
    check_options(kind, name, factory, options)
    if name in BUILT_IN[kind]:
        return describe_named(name, options) if "weights" in options else None
    describe = getattr(inspect.getmodule(factory), "describe_weights", None)
    needed: NeededWeights | None = describe(options) if describe else None
    return needed


def find_factory(kind: str, name: str) -> Factory:
    """The class or function behind a model's name; see `create_semantic_model` for errors."""
    known = _list_entries(kind)
    if name in known:
        if len(known[name]) > 1:
            origins = " and by ".join(entry.origin for entry in known[name])
            raise ModelError(
                f"{kind} model {name!r} is offered by {origins}; uninstall one, or name the model "
                "as package.module:factory"
            )
        return _load(known[name][0])
    if ":" in name:
        return _load(ModelEntry(kind, name, name, "the preset"))
    raise ModelNotFoundError(
        f"no {kind} model {name!r}; {suggest(name, sorted(known))}, or give "
        "package.module:factory or file.py:factory"
    )


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
    check_model(kind, name, model)
    return model


def _list_entries(kind: str) -> dict[str, list[ModelEntry]]:
    """Who offers a model of each name: built-in models and entry points alike."""
    entries = {
        name: [ModelEntry(kind, name, target, BUILT_IN_ORIGIN)]
        for name, target in BUILT_IN[kind].items()
    }
    for point in entry_points(group=ENTRY_POINT_GROUPS[kind]):
        origin = point.dist.name if point.dist else "an unknown package"
        entry = ModelEntry(kind, point.name, point.value, origin)
        entries.setdefault(point.name, []).append(entry)
    return entries


def _find_problem(entries: Sequence[ModelEntry]) -> str | None:
    """Why a model cannot be used; built-in ones are not imported for it, which takes seconds."""
    first, *others = entries
    try:
        if first.origin == BUILT_IN_ORIGIN and not others:
            _check_extra(first)
        else:
            find_factory(first.kind, first.name)
    except ModelError as err:
        return str(err)
    return None


def _check_extra(entry: ModelEntry) -> None:
    """Raise ModelError where the package that a built-in model needs is not installed."""
    package, extra = EXTRAS.get(entry.name, (None, None))
    if entry.origin == BUILT_IN_ORIGIN and package and find_spec(package) is None:
        raise ModelError(
            f"{entry.kind} model {entry.name!r} needs the package {package}: "
            f"pip install 'panoptic-fuse[{extra}]'"
        )


def _load(entry: ModelEntry) -> Factory:
    """Import a factory.

    Raises:
        ModelError: it cannot be imported; the message names the plug-in, or the extra to install.
    """
    _check_extra(entry)
    who = f"{entry.kind} model {entry.name!r} from {entry.origin}"
    module_name, _, attribute = entry.target.rpartition(":")
    file = None
    try:
        if module_name.endswith(".py"):
            file = Path(module_name).expanduser().resolve()
    except RuntimeError as err:  # of expanduser
        raise ModelError(f"{who}: {err}") from err
    if file and not file.is_file():
        raise ModelError(f"{who}: there is no file {file}")
    try:
        module = _import_file(file) if file else import_module(module_name)
    except ANY_FAILURE as err:
        reason = describe_failure(err, str(file) if file else None)
        raise ModelError(f"{who} cannot be imported: {reason}") from err
    factory: Factory | None = getattr(module, attribute, None)
    if not callable(factory):
        offered = [key for key, value in vars(module).items() if callable(value)]
        hint = did_you_mean(attribute, offered)
        raise ModelError(f"{who}: {module_name} has no class or function {attribute!r}{hint}")
    return factory


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
