"""A net of transformers with its own preprocessing, for one branch or both."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from fuse.errors import ConfigError, FuseWarning
from fuse.labels import load_space, resolve_classes
from fuse.models import runtime
from fuse.models.adapters.transformers_dense import convert_net
from fuse.models.adapters.transformers_files import (
    FIXED_SIZE_NETS,
    NetKind,
    find_kind,
    load_net,
    read_config,
    read_object,
    read_task,
)
from fuse.models.adapters.transformers_input import (
    ImagePreparation,
    InputView,
    choose_size,
    describe_input,
)
from fuse.models.adapters.transformers_processor import read_processor
from fuse.models.dense import DensePlan, plan_dense
from fuse.models.weights.class_names import parse_class_names
from fuse.models.weights.fetching import find_weights
from fuse.models.weights.loading import find_state_files, hash_files
from fuse.models.weights.side_files import CONFIG, hash_side_files
from fuse.models.weights.sources import show_repository
from fuse.types import Int32Array, LabelSpace, NamedImage

COCO_SLOTS, COCO_SPACES = 91, ("coco_things", "coco_panoptic")
TASKS = ("semantic", "instance", "panoptic")


@dataclass(frozen=True, slots=True)
class NetOptions:
    """The options of both adapters, see `fuse.models.adapters`.

    Attributes:
        task: what OneFormer is told to do, of `TASKS`; None for other nets.
    """

    weights: str
    revision: str | None = None
    label_space: str | None = None
    class_ids: Sequence[int] | None = None
    min_size: int | None = None
    max_size: int | None = None
    size: Sequence[int] | None = None
    task: str | None = None
    precision: str = "auto"
    runtime: str = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class NetAnswer:
    """What a net said to one image.

    Attributes:
        output: of transformers, or what another runtime has of it; its tensors have an input each
            along their first axis.
        views: what each input showed of the image.
    """

    output: Any
    views: list[InputView]


class _LoadedNet:
    """A net on a device, which both branches may stand on.

    Attributes:
        net: the module of torch.
        converted: what other runtimes made of it, by size and task, with their plans.
        users: how many branches ask it with the same size and task, by these.
        kept: per thread, answers that one branch left for the other, by image and settings.
    """

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net
        self.converted: dict[Any, tuple[Callable[[Tensor], Any], DensePlan]] = {}
        self.users: dict[Any, int] = {}
        self.kept = _KeptAnswers()


class _KeptAnswers(threading.local):
    def __init__(self) -> None:
        self.by_image: dict[int, tuple[NamedImage, NetAnswer]] = {}


_NETS: WeakValueDictionary[tuple[object, ...], _LoadedNet] = WeakValueDictionary()


class TransformersNet:
    """A net of transformers: what both adapters have in common.

    Where both branches name the same net, size and task, it runs once per image: a thread keeps
    the answers to a batch from the branch that asks first to the other, as a pipeline does.

    Args:
        device: ``cpu``, ``cuda:0``, ...
        options: of the preset.
        own_task: what OneFormer is told where the options do not say.

    Attributes:
        net: the module of torch.
        kind: what it answers with.
        cuts_pieces: whether an image goes in as several overlapping squares.
        config: of the checkpoint.
        label_space, category_ids: what its classes are, "no object" left out.
        weights_hash: SHA-256 of the weights.
        side_files: SHA-256 of the other files that decide an answer, by name.
        dense: what runs the net.

    Raises:
        ModelError: the weights are not there or do not fit, or the runtime cannot take the net.
        ConfigError: an option is wrong.
    """

    def __init__(self, device: str, options: NetOptions, own_task: str) -> None:
        weights = show_repository(options.weights)
        wanted = {"weights": options.weights, "revision": options.revision}
        folder = find_weights("transformers", wanted)
        self.config = read_config(folder)
        self.kind: NetKind = find_kind(self.config, weights)
        processor = read_processor(folder, self.config)
        size = choose_size(options.min_size, options.max_size, options.size)
        _check_size(self.config, processor, size, weights)
        self._prepare = ImagePreparation(processor, size, weights)
        self.cuts_pieces = self._prepare.cuts_pieces
        self._task = _read_task(folder, self.config, options, own_task)
        self.weights_hash = hash_files(find_state_files(folder))
        self.side_files = hash_side_files("transformers", folder)
        precision = options.precision
        if self.kind == "detections" and precision == "auto" and device == "cpu":
            precision = "float32"  # a place in 0..1 needs more than bfloat16's eight bits
        self.dense = plan_dense(
            f"transformers-{self.config.model_type}", device, precision, options.runtime
        )
        self.label_space, self.category_ids = _resolve_classes(
            weights, folder, self.config, self.kind, options
        )
        key = (self.weights_hash, *self.side_files.values(), self.dense)
        self._loaded = _NETS.get(key) or _LoadedNet(
            runtime.place(load_net(folder, self.kind), device)
        )
        _NETS[key] = self._loaded
        self.net = self._loaded.net
        self._device = device
        self._settings = (str(size), None if self._task is None else str(self._task.tolist()))
        users = self._loaded.users
        users[self._settings] = users.get(self._settings, 0) + 1
        self._converted = self._convert() if self.dense.runtime != "torch" else None
        self._autocast = runtime.autocast(device, self.dense.precision)

    def _convert(self) -> Callable[[Tensor], Any] | None:
        """The net in another runtime, once for both branches; None where it does not convert."""
        converted = self._loaded.converted
        if self._settings not in converted:
            converted[self._settings] = convert_net(
                self.net, self.kind, self._task, self._prepare, self.dense
            )
        run, self.dense = converted[self._settings]
        return run if self.dense.runtime != "torch" else None

    def answer(self, images: Sequence[NamedImage]) -> list[NetAnswer]:
        """The net's answer to each image, made now or for the other branch before."""
        kept = self._loaded.kept
        if self._loaded.users[self._settings] < 2:
            return [self._run(image) for image in images]
        answers = [kept.by_image.pop(id(image), None) for image in images]
        if None not in answers:
            return [answer for _, answer in filter(None, answers)]
        made = [self._run(image) for image in images]
        kept.by_image = {id(i): (i, answer) for i, answer in zip(images, made, strict=True)}
        return made

    def _run(self, image: NamedImage) -> NetAnswer:
        pixels, views = self._prepare(image)
        if self._converted is not None:
            with torch.inference_mode():
                return NetAnswer(self._converted(pixels), views)
        inputs: Mapping[str, Tensor] = {"pixel_values": pixels.to(self._device)}
        if self._task is not None:
            inputs = {**inputs, "task_inputs": self._task.to(self._device)}
        with torch.inference_mode(), self._autocast:
            return NetAnswer(self.net(**inputs), views)


def _resolve_classes(
    weights: str,
    folder: Path,
    config: Any,  # noqa: ANN401 - a class per architecture
    kind: NetKind,
    options: NetOptions,
) -> tuple[LabelSpace, Int32Array]:
    """`fuse.labels.resolve_classes` of a checkpoint's configuration."""
    count = int(config.num_labels)
    class_ids = options.class_ids or _find_own_ids(kind, count, options.label_space)
    names = parse_class_names(config.id2label)
    try:
        return resolve_classes(weights, count, options.label_space, class_ids, names)
    except ConfigError as err:
        if read_object(folder / CONFIG).keys() & {"id2label", "num_labels"}:
            raise
        raise ConfigError(
            f"{err}; its {CONFIG} says neither num_labels nor id2label, for which transformers "
            f"takes {count} classes: add num_labels"
        ) from err


def _find_own_ids(kind: NetKind, count: int, label_space: str | None) -> list[int] | None:
    """The category ids of a detector whose classes are COCO's category ids, 0 where there is none.

    RF-DETR has 91 slots, of which COCO uses 80. None for any other net.
    """
    if kind != "detections" or count != COCO_SLOTS or label_space not in COCO_SPACES:
        return None
    known = load_space(label_space).by_id
    return [slot if slot in known else 0 for slot in range(count)]


def _check_size(
    config: Any,  # noqa: ANN401 - a class per architecture
    processor: Any,  # noqa: ANN401
    size: dict[str, int] | None,
    weights: str,
) -> None:
    """Say which size counts where the preset's is not the checkpoint's.

    Raises:
        ConfigError: the net takes one size only.
    """
    own = {key: side for key, side in dict(processor.size).items() if side}
    if size is None or size == own:
        return
    if config.model_type in FIXED_SIZE_NETS:
        raise ConfigError(
            f"{weights}: takes images of {describe_input(own)} only, for which its places are "
            "made; leave min_size, max_size and size out"
        )
    warnings.warn(
        FuseWarning(
            f"{weights}: images get the size that the preset says, {describe_input(size)}, "
            f"not that of its own preprocessing, {describe_input(own)}"
        ),
        stacklevel=2,
    )


def _read_task(
    folder: Path,
    config: Any,  # noqa: ANN401 - a class per architecture
    options: NetOptions,
    own_task: str,
) -> Tensor | None:
    """The task of a OneFormer as tokens; None for other nets, which have none."""
    if config.model_type != "oneformer":
        if options.task is not None:
            raise ConfigError(f"{options.weights}: task is for OneFormer alone; leave it out")
        return None
    task = options.task or own_task
    if task not in TASKS:
        raise ConfigError(f"task {task!r} is none of {', '.join(TASKS)}")
    return read_task(folder, task, int(config.task_seq_len))
