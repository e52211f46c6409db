"""The predictions of both nets that a run kept, to be fused again by any rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuse.errors import CocoFormatError, ConfigError, DataError, describe_size
from fuse.fusion import (
    METHODS,
    FusionConfig,
    change_fusion,
    compute_class_logits,
    find_pairs,
    fuse_image,
)
from fuse.inference.prediction import ImagePrediction
from fuse.inference.prediction_file import lowest_saved_score, read_prediction
from fuse.inference.presets import BRANCHES
from fuse.io.coco.pairing import leave_out_turned, pair_images
from fuse.io.coco.panoptic import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.files import RUN_FILE, StrPath, to_path
from fuse.labels import find_choices, parse_targets
from fuse.runs.folder import read_run_file, restore_space
from fuse.runs.tasks import PREDICTION_DIR
from fuse.types import LabelSpace, PanopticPrediction, SemanticPrediction
from fuse.types.label_space import list_file_ids


@dataclass(frozen=True, slots=True, eq=False)
class SavedPredictions:
    """A finished run with ``--keep-predictions``.

    Attributes:
        path: the output folder of the run.
        fusion: the rule and thresholds that it was made with.
        space: its label space.
        targets: by branch, where its net's categories went (`LabelMap.targets`).
        dataset: its images and its maps.
    """

    path: Path
    fusion: FusionConfig
    space: LabelSpace
    targets: Mapping[str, Mapping[str, tuple[int, ...]]]
    dataset: PanopticDataset

    @property
    def choices(self) -> Mapping[int, Sequence[int]]:
        """What an instance may be instead, for `fuse_image`."""
        return find_choices(self.targets["instance"])

    def find_semantic_ids(self) -> frozenset[int]:
        """The categories that the semantic net can say.

        Raises:
            CocoFormatError: see `load`.
        """
        first = self.load(next(iter(self.dataset.images))).semantic
        if isinstance(first, SemanticPrediction):
            found = {target_id for target_id, *_ in self.targets["semantic"].values()}
        else:
            found = set(first.category_ids.tolist())
        return frozenset(found) - {0}

    def load(self, image_id: ImageId) -> ImagePrediction:
        """What the nets predicted for an image.

        Raises:
            CocoFormatError: the file is missing, damaged, of an image of another size, or speaks
                of categories that the run does not have.
        """
        path = self._find_file(image_id)
        prediction = read_prediction(path)
        image = self.dataset.images[image_id]
        if prediction.size != (image.height, image.width):
            raise CocoFormatError(
                f"{path}: of an image {describe_size(prediction.size)}, not "
                f"{image.width} wide, {image.height} high"
            )
        strange = prediction.find_category_ids() - {0, *self.space.by_id}
        if strange:
            raise CocoFormatError(
                f"{path}: {list_file_ids(strange)[0]} is no category_id of {self.space.name}"
            )
        return prediction

    def match_truth(self, truth: PanopticDataset) -> list[tuple[ImageId, ImageId]]:
        """(own image_id, the ground truth's) of each image that it knows, those turned left out.

        Raises:
            DataError: it knows none of them, or two are the same one.
        """
        own_ids = leave_out_turned(self.dataset, truth, pair_images(self.dataset, truth))
        pairs = [(own_id, true_id) for true_id, own_id in own_ids.items()]
        if not pairs:
            raise DataError(f"{self.path} has no images")
        return pairs

    def change_rule(self, changes: Mapping[str, Any]) -> FusionConfig:
        """The run's rule with changes, see `change_fusion`.

        Raises:
            ConfigError: the rule has no such key, a value is wrong, or the score threshold is
                below what was kept.
        """
        fusion = change_fusion(self.fusion, changes)
        find_pairs(fusion, self.space)
        lowest = lowest_saved_score(self.fusion)
        if fusion.score_threshold < lowest:
            raise ConfigError(
                f"score_threshold {fusion.score_threshold} is below {lowest}, down to which "
                f"{self.path} kept instances; run the nets with a lower threshold"
            )
        return fusion

    def fuse_by_rules(
        self, image_id: ImageId, fusions: Sequence[FusionConfig]
    ) -> Iterator[PanopticPrediction]:
        """The panoptic map of an image by each of some rules.

        Raises:
            CocoFormatError: the file is missing or damaged, or its categories are not the run's.
        """
        predicted = self.load(image_id)
        try:
            semantic, instances, choices = predicted.label(), predicted.instances, self.choices
            class_logits = None
            if any(METHODS[fusion.rule].uses_class_logits for fusion in fusions):
                class_logits = compute_class_logits(semantic, self.space)  # once for all rules
            for fusion in fusions:
                yield fuse_image(
                    semantic, instances, self.space, fusion, choices, class_logits=class_logits
                )
        except ValueError as err:
            raise CocoFormatError(f"{self._find_file(image_id)}: {err}") from err

    def _find_file(self, image_id: ImageId) -> Path:
        png_name = self.dataset.annotations[image_id].file_name
        return (self.path / PREDICTION_DIR / png_name).with_suffix(".npz")


def open_saved_predictions(path: StrPath) -> SavedPredictions:
    """Open a run for fusing its predictions again.

    Raises:
        DataError: the folder holds no finished run, or one without kept predictions.
        CocoFormatError: a file of it is damaged.
    """
    path = to_path(path)
    content = read_run_file(path)
    settings = content["settings"]
    if not settings.get("predictions"):
        raise DataError(f"{path} has no kept predictions; run it with --keep-predictions")
    if "photos" not in content:
        raise DataError(f"{path} is not finished; give its command again")
    dataset = read_panoptic_json(path)
    try:
        space = restore_space(settings, dataset)
        targets = {
            branch: parse_targets(settings["label_maps"][branch], space) for branch in BRANCHES
        }
        fusion = change_fusion(FusionConfig(), settings["pipeline"]["fusion"])
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise CocoFormatError(f"{path / RUN_FILE} cannot be read ({err!r})") from err
    unlisted = next((i for i in dataset.annotations if i not in dataset.images), None)
    if unlisted is not None:
        raise CocoFormatError(f"{dataset.path}: images lacks image_id {unlisted!r}")
    unmapped = next((i for i in dataset.images if i not in dataset.annotations), None)
    if unmapped is not None:
        raise CocoFormatError(f"{dataset.path}: annotations lacks image_id {unmapped!r}")
    return SavedPredictions(path, fusion, space, targets, dataset)
