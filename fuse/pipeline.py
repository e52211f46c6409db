"""From photos to panoptic maps: two nets and a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuse.config import PipelineConfig, read_pipeline
from fuse.errors import ModelOutputError
from fuse.fusion import METHODS, choose_by_evidence
from fuse.labels import LabelMap, find_label_map, load_space
from fuse.models.registry import create_instance_model, create_semantic_model
from fuse.models.runtime import choose_device
from fuse.ops.argmax import merge_classes, upsample_argmax
from fuse.types import (
    Instances,
    Int32Array,
    LabelSpace,
    PanopticPrediction,
    Photo,
    SemanticLogits,
    SemanticPrediction,
    UInt8Array,
)


SEMANTIC_ANSWERS = (SemanticLogits, SemanticPrediction)


@dataclass(frozen=True, slots=True, eq=False)
class RawPrediction:
    """What the two nets say about one photo, small and not yet fused.

    Attributes:
        semantic: the semantic net's logits, or label map, in its own label space.
        instances: the instance net's, in the target label space.
    """

    semantic: SemanticLogits | SemanticPrediction
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
        self._semantic_map = find_label_map(self._semantic.label_space, self.space)
        self._class_targets = map_class_ids(self._semantic.class_ids, self._semantic_map)
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

    def predict(self, photos: Sequence[Photo]) -> list[RawPrediction]:
        """Run both nets over photos of any sizes.

        Raises:
            ModelOutputError: a net answered with something else than it must.
        """
        fusion, semantic, instance = self.config.fusion, self.config.semantic, self.config.instance
        answers = self._semantic.predict(photos)
        _check_answers(f"semantic model {semantic.model!r}", answers, SEMANTIC_ANSWERS, photos)
        found = self._instance.predict(photos, score_floor=fusion.score_threshold)
        _check_answers(f"instance model {instance.model!r}", found, (Instances,), photos)
        return [
            RawPrediction(answer, map_instances(instances, self._instance_map))
            for answer, instances in zip(answers, found, strict=True)
        ]

    def label(self, semantic: SemanticLogits | SemanticPrediction) -> SemanticPrediction:
        """The label map in the target space; classes that share a target are summed before."""
        if isinstance(semantic, SemanticPrediction):
            return map_labels(semantic, self._semantic_map)
        return label_logits(semantic, self._class_targets)

    def fuse(self, semantic: SemanticPrediction, instances: Instances) -> PanopticPrediction:
        """The panoptic map by the preset's rule."""
        fusion = self.config.fusion
        if fusion.class_choice == "evidence":
            instances = choose_by_evidence(instances, semantic, self._instance_map.choices)
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
        (raw,) = self.predict([Photo(image)])
        return self.fuse(self.label(raw.semantic), raw.instances)


def map_class_ids(class_ids: Int32Array, label_map: LabelMap) -> Int32Array:
    """int32 (C,), the target category_id of each row of a net's logits, 0 = void."""
    return np.array(
        [label_map.target_ids[i] if i else 0 for i in class_ids.tolist()], dtype=np.int32
    )


def map_instances(instances: Instances, label_map: LabelMap) -> Instances:
    """Instances in the target space; those whose category has no thing there are dropped."""
    if label_map.is_identity:
        return instances
    targets = [label_map.target_ids[i] for i in instances.category_ids.tolist()]
    category_ids = np.array(targets, dtype=np.int32)
    return instances.select(np.isin(category_ids, label_map.target.thing_ids), category_ids)


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


def map_labels(semantic: SemanticPrediction, label_map: LabelMap) -> SemanticPrediction:
    """A finished label map in the target space; a label without a target becomes void."""
    if label_map.is_identity:
        return semantic
    largest = max(int(semantic.label_map.max()), *label_map.target_ids)
    targets = np.zeros(largest + 1, dtype=np.int32)
    for source_id, target_id in label_map.target_ids.items():
        targets[source_id] = target_id
    return SemanticPrediction(targets[semantic.label_map])


def _check_answers(
    model: str, answers: Sequence[Any], kinds: tuple[type[Any], ...], photos: Sequence[Photo]
) -> None:
    """Raise ModelOutputError unless there is one answer of a right kind and size per photo."""
    if len(answers) != len(photos):
        raise ModelOutputError(f"{model}: {len(answers)} answers to {len(photos)} photos")
    for answer, photo in zip(answers, photos, strict=True):
        if not isinstance(answer, kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise ModelOutputError(f"{model}: answered with {type(answer).__name__}, not {names}")
        if tuple(answer.size) != photo.size:
            raise ModelOutputError(
                f"{model}: answered for size {answer.size} to a photo of {photo.size}"
            )
