"""From images to panoptic maps: two nets and a rule."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuse.errors import FuseWarning, LabelSpaceError
from fuse.fusion import find_pairs, fuse_image
from fuse.inference.fetch import place_weights
from fuse.inference.prediction import ImagePrediction
from fuse.inference.presets import ModelConfig, PipelineConfig, read_pipeline
from fuse.io.files import StrPath
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
from fuse.models.runtime import choose_device
from fuse.models.weights.fetching import Progress as FetchProgress
from fuse.types import (
    Instances,
    LabelSpace,
    NamedImage,
    PanopticPrediction,
    SemanticLogits,
    SemanticPrediction,
    TargetLogits,
    UInt8Array,
)


@dataclass(frozen=True, slots=True, eq=False)
class RawPrediction:
    """What the two nets answered for one image, each in its own label space.

    Attributes:
        semantic: logits, or the label map of a net that has none.
        instances: in the net's order.
    """

    semantic: SemanticLogits | SemanticPrediction
    instances: Instances


class Pipeline:
    """Two nets on a device, and the rule that fuses what they say.

    `predict` runs the nets; `to_target` and `apply_rule` are pure, need no device and may run on
    any thread. Calling the pipeline does all for one image.

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
        self.config = config
        self.space: LabelSpace = load_space(config.label_space)
        if config.fusion.class_choice == "overlap":
            load_partners(self.space)  # where there are none it fails here, not at each image
        find_pairs(config.fusion, self.space)  # a wrong name fails here, not at each image
        self.device = choose_device(device)
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
        pipeline: str = "tiny",
        overrides: Sequence[str] = (),
        device: str = "auto",
        *,
        weights_dir: StrPath | None = None,
    ) -> Pipeline:
        """Build a pipeline from a preset's name or file, as `read_pipeline` reads it."""
        return cls(read_pipeline(pipeline, overrides), device, weights_dir=weights_dir)

    def predict(
        self, images: Sequence[NamedImage], *, score_threshold: float | None = None
    ) -> list[RawPrediction]:
        """Run both nets over images of any sizes.

        Args:
            images: any number.
            score_threshold: instances below it need not be found; by default the rule's threshold.

        Raises:
            ModelError: a net failed, or answered with something else than it must; names it.
        """
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

    def __call__(self, image: UInt8Array) -> PanopticPrediction:
        """Panoptic map of one RGB image, uint8 (H, W, 3)."""
        prediction = self.to_target(*self.predict([NamedImage(image)]))
        return self.apply_rule(prediction.label(), prediction.instances)


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
