"""What nets and pipelines cost: one table for any of them, pairs beside single nets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from fuse.clock import StageClock
from fuse.errors import ConfigError, ModelNotFoundError
from fuse.inference.fetch import place_model_weights
from fuse.inference.pipeline import Pipeline
from fuse.inference.prediction import RawPrediction
from fuse.inference.presets import (
    BRANCHES,
    ModelConfig,
    PipelineConfig,
    find_examples,
    read_pipeline,
    refuse_plugins,
)
from fuse.io.files import StrPath
from fuse.io.image_list import ImageList
from fuse.io.images import read_image
from fuse.io.listing import list_images
from fuse.io.png import write_id_map
from fuse.models.cost import (
    count_activations,
    count_flops,
    count_parameters,
    measure_memory,
    write_random_weights,
)
from fuse.models.output_checks import predict_instances, predict_semantic
from fuse.models.registry import (
    create_instance_model,
    create_semantic_model,
    find_needed_weights,
)
from fuse.models.runtime import choose_device
from fuse.models.weights.sources import choose_weights_dir
from fuse.types import NamedImage

MOST_IMAGES = 8  # timed; the first one is run once before


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A part of a pipeline and what it costs per image.

    Attributes:
        pipeline: as it was asked for.
        part: ``semantic``, ``instance``, ``fusion``, ``files`` (reading the image and writing
            its map), or ``total`` of all of these.
        parameters: of the net; in a total, those that two branches share count once. None where
            the net is no module of torch.
        flops, activations, memory: of the net on the first image, see `count_flops`,
            `count_activations` and `measure_memory` of `fuse.models.cost`; of a total the sums,
            and the larger memory.
        seconds: median over the images, each seen after a first one.
        ratio: seconds of a total over those of the first total; None for parts.
        has_random_weights: whether some of its weights were made up.
    """

    pipeline: str
    part: str
    parameters: int | None
    flops: int
    activations: int
    memory: int
    seconds: float
    ratio: float | None = None
    has_random_weights: bool = False

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def profile(
    pipelines: Sequence[str],
    *,
    images: Sequence[str] = (),
    image_list: ImageList | None = None,
    overrides: Sequence[str] = (),
    as_stored: bool = False,
    device: str = "auto",
    random_weights: bool = False,
    allow_plugins: bool = False,
    weights_dir: StrPath | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[ProfileRow]:
    """Measure nets one by one, and what fusing and files add for those who ask for a pair.

    Args:
        pipelines: each a preset's name or file, or one of its nets, as ``coco:semantic``.
        images: folders, files and globs; the first `MOST_IMAGES` images are taken. By
            default those that ship.
        image_list: images by name, besides.
        overrides: changes to all presets, see `fuse.inference.presets.read_pipeline`.
        as_stored: read images as their files have them, see `fuse.run`.
        device: ``auto``, ``cpu``, ``cuda:0``, ...
        random_weights: make weights up where they are not on this machine. Times are true but for
            the few detections that a random net is sure of: heads for masks, and the fusion, see
            fewer.
        allow_plugins: let a preset load code that is not installed, as ``file.py:Class``.
        weights_dir: where weights lie; see `fuse.inference.fetch.fetch`.
        on_progress: called with how many pipelines are done, of how many.

    Raises:
        FuseError: a preset, a net or an image is wrong, or weights are missing.
    """
    if not images and not image_list:
        images = [str(find_examples() / "images")]
    listed = list_images(images, listed=image_list).images
    paths = [image.path for image in listed][:MOST_IMAGES]
    device = choose_device(device)
    folder = choose_weights_dir(weights_dir)
    rows: list[ProfileRow] = []
    first_total: float | None = None
    for done, asked in enumerate(pipelines):
        on_progress(done, len(pipelines))
        preset, branches = _split(asked)
        config = read_pipeline(preset, overrides)
        if not allow_plugins:
            refuse_plugins(config, branches)
        with TemporaryDirectory() as scratch:
            made_up: list[str] = []
            if random_weights:
                config, made_up = _make_up_weights(config, branches, Path(scratch), folder)
            read = partial(_read_image, as_stored=as_stored or config.as_stored)
            try:
                # No name for the nets: they must be gone before the next ones come.
                found = _measure(
                    asked,
                    _open(config, branches, device, folder),
                    *(device, paths, read, Path(scratch)),
                )
            except ModelNotFoundError as err:
                raise ModelNotFoundError(
                    f"{err}; or --random-weights makes some up, where their layout is known"
                ) from err
        for row in found:
            if row.part == "total":
                first_total = first_total or row.seconds
                row = replace(row, ratio=row.seconds / first_total)
            is_made_up = bool(made_up) if row.part == "total" else row.part in made_up
            rows.append(replace(row, has_random_weights=is_made_up))
    on_progress(len(pipelines), len(pipelines))
    return rows


def _split(asked: str) -> tuple[str, tuple[str, ...]]:
    """The preset, and which of its branches.

    >>> _split("coco:semantic"), _split("coco")
    (('coco', ('semantic',)), ('coco', ('semantic', 'instance')))
    """
    preset, colon, branch = asked.rpartition(":")
    if colon and branch in BRANCHES:
        return preset, (branch,)
    if colon and not branch.endswith(".toml"):
        raise ConfigError(f"{asked!r}: after the colon comes {' or '.join(BRANCHES)}")
    return asked, BRANCHES


def _make_up_weights(
    config: PipelineConfig, branches: Sequence[str], scratch: Path, folder: Path | None
) -> tuple[PipelineConfig, list[str]]:
    """The preset with random weights where its own are absent, and the branches where they are."""
    made_up = []
    for branch in branches:
        model: ModelConfig = getattr(config, branch)
        needed = find_needed_weights(branch, model.model, model.options)
        if needed and not needed.move_to(folder).is_present:
            path = write_random_weights(branch, model.model, model.options, needed, scratch)
            options = {**model.options, "weights": str(path)}
            changed: dict[str, Any] = {branch: replace(model, options=options)}
            config = replace(config, **changed)
            made_up.append(branch)
    return config, made_up


@dataclass(frozen=True, slots=True)
class _Nets:
    """The nets that are measured, by branch, and the pipeline where they are a pair."""

    models: Mapping[str, Any]
    predict: Mapping[str, Callable[[NamedImage], Any]]
    pipeline: Pipeline | None


def _open(
    config: PipelineConfig, branches: Sequence[str], device: str, folder: Path | None
) -> _Nets:
    def predict(branch: str, model: Any, image: NamedImage) -> object:  # noqa: ANN401
        name = getattr(config, branch).model
        if branch == "semantic":
            return predict_semantic(name, model, [image])[0]
        return predict_instances(name, model, [image], config.fusion.score_threshold)[0]

    pipeline = Pipeline(config, device, weights_dir=folder) if len(branches) > 1 else None
    if pipeline:
        models = {"semantic": pipeline.semantic_model, "instance": pipeline.instance_model}
    else:
        (branch,) = branches
        net: ModelConfig = getattr(config, branch)
        create = create_semantic_model if branch == "semantic" else create_instance_model
        models = {branch: create(net.model, device, place_model_weights(branch, net, folder))}
    predictors = {branch: partial(predict, branch, model) for branch, model in models.items()}
    return _Nets(models, predictors, pipeline)


def _measure(
    name: str,
    nets: _Nets,
    device: str,
    images: Sequence[Path | str],
    read: Callable[[Path | str], NamedImage],
    scratch: Path,
) -> list[ProfileRow]:
    """The rows of a pipeline, or that of one of its nets."""
    first = read(images[0])
    # Each round runs both branches: two branches of one net share what an image has cost.
    for predict in nets.predict.values():
        predict(first)
    flops = {b: count_flops(partial(predict, first)) for b, predict in nets.predict.items()}
    activations = {
        b: count_activations(partial(predict, first)) for b, predict in nets.predict.items()
    }
    memory = {
        b: measure_memory(partial(predict, first), device) for b, predict in nets.predict.items()
    }
    _time_image(nets, images[0], read, scratch)  # kernels are compiled when they are first used
    passes = [_time_image(nets, image, read, scratch) for image in images]
    parameters = {b: count_parameters([model]) for b, model in nets.models.items()}
    rows = [
        ProfileRow(
            pipeline=name,
            part=part,
            parameters=parameters.get(part),
            flops=flops.get(part, 0),
            activations=activations.get(part, 0),
            memory=memory.get(part, 0),
            seconds=median(seconds[part] for seconds in passes),
        )
        for part in passes[0]
    ]
    if nets.pipeline is None:
        return rows
    total = ProfileRow(
        pipeline=name,
        part="total",
        parameters=count_parameters(nets.models.values()),
        flops=sum(flops.values()),
        activations=sum(activations.values()),
        memory=max(memory.values()),
        seconds=median(sum(seconds.values()) for seconds in passes),
    )
    return [*rows, total]


def _read_image(path: Path | str, *, as_stored: bool) -> NamedImage:
    return NamedImage(read_image(path, as_stored=as_stored), Path(path).name)


def _time_image(
    nets: _Nets, path: Path | str, read: Callable[[Path | str], NamedImage], scratch: Path
) -> dict[str, float]:
    """Seconds of each part for one image."""
    clock, files = StageClock(), StageClock()
    with files.time("files"):
        image = read(path)
    predictions = {}
    for branch, predict in nets.predict.items():
        with clock.time(branch):
            predictions[branch] = predict(image)
    if nets.pipeline is None:
        return dict(clock.seconds)
    with clock.time("fusion"):
        raw = RawPrediction(predictions["semantic"], predictions["instance"])
        prediction = nets.pipeline.to_target(raw)
        fused = nets.pipeline.apply_rule(prediction.label(), prediction.instances)
    with files.time("files"):
        write_id_map(scratch / "map.png", fused.panoptic_map)
    return dict(clock.seconds) | dict(files.seconds)
