"""From photos to panoptic maps: two nets and a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuse.config import PipelineConfig, read_pipeline
from fuse.errors import ModelOutputError
from fuse.fusion import METHODS
from fuse.labels import LabelMap, find_label_map, load_space
from fuse.models.registry import create_instance_model, create_semantic_model
from fuse.models.runtime import choose_device
from fuse.ops.argmax import merge_classes, upsample_argmax
from fuse.types import (
    Instances,
    Int32Array,
    LabelSpace,
    PanopticPrediction,
    SemanticLogits,
    SemanticPrediction,
    UInt8Array,
)


@dataclass(frozen=True, slots=True, eq=False)
class RawPrediction:
    """What the two nets say about one photo, small and not yet fused.

    Attributes:
        logits: the semantic net's, in its own classes.
        instances: the instance net's, in the target label space.
    """

    logits: SemanticLogits
    instances: Instances


class Pipeline:
    """Two nets on a device, and the rule that fuses what they say.

    `predict` runs the nets; `label` and `fuse` are pure, need no device and may run on any
    thread. Calling the pipeline does all for one photo.

    Attributes:
        config: the preset.
        space: the target label space.
        device: where the nets run.
        weights: SHA-256 of the weights by branch.
    """

    def __init__(self, config: PipelineConfig, device: str = "auto") -> None:
        self.config = config
        self.space: LabelSpace = load_space(config.label_space)
        self.device = choose_device(device)
        semantic, instance = config.semantic, config.instance
        self._semantic = create_semantic_model(semantic.model, self.device, semantic.options)
        self._instance = create_instance_model(instance.model, self.device, instance.options)
        self._class_targets = map_class_ids(
            self._semantic.class_ids, find_label_map(self._semantic.label_space, self.space)
        )
        self._instance_map = find_label_map(self._instance.label_space, self.space)
        self.weights: Mapping[str, str] = {
            "semantic": self._semantic.weights_hash,
            "instance": self._instance.weights_hash,
        }

    @classmethod
    def load(
        cls, pipeline: str = "tiny", overrides: Sequence[str] = (), device: str = "auto"
    ) -> Pipeline:
        """Build a pipeline from a preset's name or file; see `fuse.config.read_pipeline`."""
        return cls(read_pipeline(pipeline, overrides), device)

    def predict(self, images: Sequence[UInt8Array]) -> list[RawPrediction]:
        """Run both nets over RGB photos, uint8 (H, W, 3) each, of any sizes.

        Raises:
            ModelOutputError: a net answered with something else than it must.
        """
        logits = self._semantic.predict(images)
        instances = self._instance.predict(
            images, score_floor=self.config.fusion.score_threshold
        )
        _check_answers("semantic", self.config.semantic.model, logits, SemanticLogits, images)
        _check_answers("instance", self.config.instance.model, instances, Instances, images)
        return [
            RawPrediction(one, map_instances(found, self._instance_map))
            for one, found in zip(logits, instances, strict=True)
        ]

    def label(self, logits: SemanticLogits) -> SemanticPrediction:
        """The label map in the target space; classes that share a target are summed before."""
        return label_logits(logits, self._class_targets)

    def fuse(self, semantic: SemanticPrediction, instances: Instances) -> PanopticPrediction:
        """The panoptic map by the preset's rule."""
        fusion = self.config.fusion
        return METHODS[fusion.rule](
            semantic,
            instances,
            self.space,
            score_threshold=fusion.score_threshold,
            overlap_threshold=fusion.overlap_threshold,
            stuff_area=fusion.stuff_area,
        )

    def __call__(self, image: UInt8Array) -> PanopticPrediction:
        """Panoptic map of one RGB photo, uint8 (H, W, 3)."""
        (raw,) = self.predict([image])
        return self.fuse(self.label(raw.logits), raw.instances)


def map_class_ids(class_ids: Int32Array, label_map: LabelMap) -> Int32Array:
    """int32 (C,), the target category_id of each row of a net's logits, 0 = void."""
    return np.array(
        [label_map.target_ids[i] if i else 0 for i in class_ids.tolist()], dtype=np.int32
    )


def map_instances(instances: Instances, label_map: LabelMap) -> Instances:
    """Instances in the target space; those whose category has no counterpart are dropped."""
    if label_map.is_identity:
        return instances
    targets = [label_map.target_ids[i] for i in instances.category_ids.tolist()]
    category_ids = np.array(targets, dtype=np.int32)
    return instances.select(category_ids > 0, category_ids)


def label_logits(logits: SemanticLogits, class_targets: Int32Array) -> SemanticPrediction:
    """The label map of a photo from a net's logits.

    Rows that share a target category have their probabilities added before the argmax. Rows
    without a target stay apart: where one of them is the largest, the pixel is void.
    """
    values, category_ids = logits.logits.astype(np.float32), class_targets
    # A key of its own for each row without a target.
    keys = np.where(class_targets > 0, class_targets, -1 - np.arange(len(class_targets)))
    groups, group_of_row = np.unique(keys, return_inverse=True)
    if len(groups) < len(keys):
        values = merge_classes(values, group_of_row.astype(np.int32))
        category_ids = np.maximum(groups, 0).astype(np.int32)
    return SemanticPrediction(
        upsample_argmax(
            values,
            logits.size,
            category_ids,
            scale=logits.scale,
            offset=logits.offset,
        )
    )


def _check_answers(
    branch: str,
    model: str,
    answers: Sequence[Any],
    kind: type[SemanticLogits] | type[Instances],
    images: Sequence[UInt8Array],
) -> None:
    """Raise ModelOutputError unless there is one answer of that kind and size per photo."""
    name = f"{branch} model {model!r}"
    if len(answers) != len(images):
        raise ModelOutputError(f"{name}: {len(answers)} answers to {len(images)} photos")
    for answer, image in zip(answers, images, strict=True):
        if not isinstance(answer, kind):
            raise ModelOutputError(
                f"{name}: answered with {type(answer).__name__}, not {kind.__name__}"
            )
        if tuple(answer.size) != image.shape[:2]:
            raise ModelOutputError(
                f"{name}: answered for size {answer.size} to a photo of {image.shape[:2]}"
            )
