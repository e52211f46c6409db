"""From images to panoptic maps: two nets and a rule."""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from fuse.errors import DataError, FuseWarning, LabelSpaceError
from fuse.fusion import find_pairs, fuse_image
from fuse.inference.batches import plan_lanes
from fuse.inference.fetch import place_weights
from fuse.inference.prediction import ImagePrediction, RawPrediction
from fuse.inference.presets import ModelConfig, PipelineConfig, read_pipeline
from fuse.inference.stream import (
    MILLISECONDS,
    GivenImage,
    LaneNets,
    TimedPrediction,
    read_given,
    stream,
)
from fuse.io.files import StrPath
from fuse.io.given import KINDS, ImageLike, is_image
from fuse.labels import (
    LabelMap,
    find_label_map,
    load_partners,
    load_space,
    map_category_ids,
    map_instances,
    map_labels,
    map_logits,
    read_label_map,
)
from fuse.models.output_checks import predict_instances, predict_semantic
from fuse.models.registry import create_instance_model, create_semantic_model
from fuse.models.runtime import choose_device, keep_threads
from fuse.models.weights.fetching import Progress as FetchProgress
from fuse.results.result import PanopticResult
from fuse.threads import search_no_cycles
from fuse.types import (
    Instances,
    LabelSpace,
    NamedImage,
    PanopticPrediction,
    SemanticPrediction,
    TargetLogits,
)


class Pipeline:
    """Two nets on a device, and the rule that fuses what they say.

    `Pipeline.load` makes one; calling it with an image, a list or a generator of images does all.
    Of its steps `predict` runs the nets; `to_target` and `apply_rule` are pure, need no device and
    may run on any thread.

    Args:
        config: the preset.
        device: ``auto``, ``cpu``, ``cuda:0``, ...
        weights_dir: where published weights lie, and are put where they do not; see
            `fuse.inference.fetch.fetch`.
        on_fetch: called while weights are fetched.

    Attributes:
        config: the preset.
        space: the target label space.
        device: where the nets run.
        semantic_model, instance_model: the nets.
        weights: SHA-256 of the weights by branch.
        side_files: of a branch whose weights have files beside them that decide its answers, their
            SHA-256 by name.
        label_maps: from the nets' own label spaces to the target, by branch.
        is_thread_safe: whether several threads may ask the nets at once.
    """

    def __init__(
        self,
        config: PipelineConfig,
        device: str = "auto",
        *,
        weights_dir: StrPath | None = None,
        on_fetch: FetchProgress | None = None,
    ) -> None:
        self.config = _check_config(config)
        self.space: LabelSpace = load_space(config.label_space)
        if config.fusion.class_choice == "overlap":
            load_partners(self.space)  # where there are none it fails here, not at each image
        find_pairs(config.fusion, self.space)  # a wrong name fails here, not at each image
        self.device = choose_device(device)
        with search_no_cycles():
            options = place_weights(config, weights_dir, on_fetch)
            self.semantic_model = create_semantic_model(
                config.semantic.model, self.device, options["semantic"]
            )
            self.instance_model = create_instance_model(
                config.instance.model, self.device, options["instance"]
            )
        self.label_maps: Mapping[str, LabelMap] = {
            "semantic": choose_label_map(
                config.semantic, self.semantic_model.label_space, self.space
            ),
            "instance": choose_label_map(
                config.instance, self.instance_model.label_space, self.space
            ),
        }
        self._class_targets = map_category_ids(
            self.semantic_model.label_space.read_ids(self.semantic_model.category_ids),
            self.label_maps["semantic"],
        )
        self.weights: Mapping[str, str] = {
            "semantic": self.semantic_model.weights_hash,
            "instance": self.instance_model.weights_hash,
        }
        models = {"semantic": self.semantic_model, "instance": self.instance_model}
        beside = {branch: getattr(model, "side_files", {}) for branch, model in models.items()}
        self.side_files: Mapping[str, Mapping[str, str]] = {
            branch: files for branch, files in beside.items() if files
        }
        self.is_thread_safe = all(
            getattr(model, "thread_safe", False)
            for model in (self.semantic_model, self.instance_model)
        )

    @classmethod
    def load(
        cls,
        pipeline: StrPath = "tiny",
        overrides: Sequence[str] = (),
        device: str = "auto",
        *,
        weights_dir: StrPath | None = None,
    ) -> Pipeline:
        """A pipeline from a preset, with its nets loaded and ready.

        Args:
            pipeline: the name of a preset, of which `fuse.api.describe_pipelines` tells those that
                ship, or the path of a TOML file.
            overrides: changes to it, as ``["fusion.score_threshold=0.3"]``.
            device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda:0``, ...
            weights_dir: where published weights lie, or are put; by default where their libraries
                have them. What is missing is fetched.

        Raises:
            ConfigError: there is no such preset, a key in it is wrong, or no such device is here.
            ModelNotFoundError: weights are neither here nor can be fetched.
            ModelError: weights do not fit their net.
        """
        return cls(read_pipeline(str(pipeline), overrides), device, weights_dir=weights_dir)

    def predict(
        self, images: Sequence[NamedImage], *, score_threshold: float | None = None
    ) -> list[RawPrediction]:
        """Run both nets over images of any sizes.

        Args:
            images: any number.
            score_threshold: instances below it need not be found; by default the rule's threshold.

        Raises:
            ModelError: a net failed, or answered with something else than it must; names it.
            TypeError: an image is no `NamedImage`.
        """
        strange = next((image for image in images if not isinstance(image, NamedImage)), None)
        if strange is not None:
            kind = type(strange).__name__
            raise TypeError(f"predict takes NamedImages, got {kind}; pipeline(image) takes it")
        semantic, instance = self.config.semantic, self.config.instance
        if score_threshold is None:
            score_threshold = self.config.fusion.score_threshold
        answers = predict_semantic(semantic.model, self.semantic_model, images)
        found = predict_instances(instance.model, self.instance_model, images, score_threshold)
        return [RawPrediction(*pair) for pair in zip(answers, found, strict=True)]

    def to_target(self, raw: RawPrediction) -> ImagePrediction:
        """Both answers in the target label space."""
        semantic: TargetLogits | SemanticPrediction
        if isinstance(raw.semantic, SemanticPrediction):
            semantic = map_labels(raw.semantic, self.label_maps["semantic"])
        else:
            semantic = map_logits(raw.semantic, self._class_targets)
        instances = map_instances(raw.instances, self.label_maps["instance"])
        return ImagePrediction(semantic, instances)

    def apply_rule(self, semantic: SemanticPrediction, instances: Instances) -> PanopticPrediction:
        """The panoptic map by the preset's rule, of predictions in the target space."""
        choices = self.label_maps["instance"].choices
        return fuse_image(semantic, instances, self.space, self.config.fusion, choices)

    @overload
    def __call__(  # type: ignore[overload-overlap]  # arrays and strings can be iterated over, too
        self, images: ImageLike, *, batch_size: int | None = None
    ) -> PanopticResult: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, images: list[Any] | tuple[ImageLike, ...], *, batch_size: int | None = None
    ) -> list[PanopticResult]: ...
    @overload
    def __call__(
        self, images: Iterable[ImageLike], *, batch_size: int | None = None
    ) -> Generator[PanopticResult, None, None]: ...

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike] | Iterable[ImageLike],
        *,
        batch_size: int | None = None,
    ) -> PanopticResult | list[PanopticResult] | Generator[PanopticResult, None, None]:
        """The result of an image, a list of those of a list, or a generator of those of others.

        The bytes of a map are those of `fuse.run`, as are batches and lanes: the nets have as many
        threads of torch.

        Args:
            images: an image is a path, a URL of fsspec, a PIL image, a uint8 array (H, W, 3) in
                RGB or a tensor of torch (3, H, W); see `fuse.io.given.to_image`. A generator, or
                anything else to iterate over, is drawn from as results are taken, so that any
                number of images fits.
            batch_size: images per call of the nets, of a list or a generator. By default 1 on a
                CPU; elsewhere it doubles as long as the memory lasts.

        Raises:
            ImageReadError: an image cannot be read.
            ModelError: a net failed.
            DataError: a generator of images raised.
            TypeError, ValueError: what was given is no image, there is none in the list, or
                batch_size is below 1. Of several images each has its error at its turn.
        """
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if is_image(images):
            return self._predict_one(images)
        if isinstance(images, Mapping) or not isinstance(images, Iterable):
            raise TypeError(f"an image is {KINDS}, got {type(images).__name__}")
        batch = batch_size or (1 if self.device == "cpu" else None)
        plan = plan_lanes(self.device, is_thread_safe=self.is_thread_safe)
        results = stream(
            images,
            self.predict,
            self._finish,
            plan,
            batch_size=batch,
            as_stored=self.config.as_stored,
        )
        if not isinstance(images, list | tuple):
            return results
        if not images:
            raise ValueError("a list of images is expected, got an empty one; pipeline(['a.jpg'])")
        return list(results)

    def _predict_one(self, given: ImageLike) -> PanopticResult:
        """The result of one image, on the caller's thread."""
        image = read_given(given, as_stored=self.config.as_stored)
        if image.image is None:
            raise image.failure or DataError(image.error)
        plan = plan_lanes(self.device, is_thread_safe=self.is_thread_safe)
        with keep_threads():
            nets = LaneNets(self.predict, plan.threads)
            (prediction,) = nets.predict([image.image], score_threshold=None)
        return self._finish(image, prediction)

    def _finish(self, image: GivenImage, prediction: TimedPrediction) -> PanopticResult:
        """The result of what the nets said of an image."""
        start = time.perf_counter()
        predicted = self.to_target(prediction.raw)
        fused = self.apply_rule(predicted.label(), predicted.instances)
        speed = {
            "preprocess": image.preprocess,
            "inference": prediction.inference,
            "postprocess": MILLISECONDS * (time.perf_counter() - start),
        }
        pixels = image.image.pixels if image.image else None
        return PanopticResult.from_prediction(
            fused, self.space, image=pixels, path=image.path, speed=speed
        )

    def __repr__(self) -> str:
        nets = f"{self.config.semantic.model} + {self.config.instance.model}"
        return f"Pipeline({self.config.name!r}, {nets}, {self.space.name}, {self.device!r})"


def choose_label_map(model: ModelConfig, source: LabelSpace, target: LabelSpace) -> LabelMap:
    """The map that a preset names for a net, else the one that ships.

    Args:
        model: the net's section of the preset.
        source: what the net speaks.
        target: what the preset is fused in.

    Raises:
        LabelSpaceError: the map's file is wrong, or none is named and none ships.
    """
    if model.label_map is not None:
        return read_label_map(Path(model.label_map), source, target)
    try:
        label_map = find_label_map(source, target)
    except LabelSpaceError as err:
        raise LabelSpaceError(
            f"model {model.model!r}: {err}; give one of your own in the preset, "
            'as label_map = "map.csv" beside its model'
        ) from err
    if label_map.through:
        warnings.warn(
            FuseWarning(
                f"model {model.model!r}: {label_map.describe_way()}; fuse labels audit says what "
                "is lost"
            ),
            stacklevel=2,
        )
    return label_map


def _check_config(config: object) -> PipelineConfig:
    """The config; TypeError with the call that mends it where it is a preset's name."""
    if not isinstance(config, PipelineConfig):
        raise TypeError(
            f"config must be a PipelineConfig, got {config!r:.100}; of a preset's name or file "
            f"give Pipeline.load({config!r:.100})"
        )
    return config
