"""Ground truth replayed as the answers of two nets: the most that a fusion rule can reach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from fuse.errors import DataError, describe_size
from fuse.io.coco.panoptic import PanopticDataset, read_panoptic_json
from fuse.models.weights.loading import hash_files
from fuse.ops.segments import label_segments
from fuse.types import (
    Instances,
    LabelSpace,
    NamedImage,
    PanopticPrediction,
    RleMasks,
    SemanticPrediction,
)


class SemanticOracle:
    """A semantic model that knows the truth.

    Options:
        gt: COCO panoptic JSON.
        gt_dir: folder of its PNGs, where it is not beside the JSON.

    Raises:
        CocoFormatError: the JSON is missing or wrong.
    """

    def __init__(self, device: str, *, gt: str, gt_dir: str | None = None) -> None:
        self._truth = _read_truth(gt, gt_dir)
        self.label_space = self._truth.space
        self.category_ids = np.array(list(self.label_space.by_id), dtype=np.int32)
        self.weights_hash = hash_files([self._truth.path])

    def predict(self, images: Sequence[NamedImage]) -> list[SemanticPrediction]:
        """The category of each pixel, crowds included.

        Raises:
            DataError: the truth lacks the image, or is of another size.
        """
        space = self.label_space
        return [_label_map(_find_truth(self._truth, image), space) for image in images]


class InstanceOracle:
    """An instance model that knows the truth; options and errors are those of `SemanticOracle`."""

    def __init__(self, device: str, *, gt: str, gt_dir: str | None = None) -> None:
        self._truth = _read_truth(gt, gt_dir)
        self.label_space = self._truth.space
        self.weights_hash = hash_files([self._truth.path])

    def predict(self, images: Sequence[NamedImage], *, score_threshold: float) -> list[Instances]:
        """Every thing of an image with score 1; crowds are none."""
        thing_ids = self.label_space.thing_ids
        return [_instances(_find_truth(self._truth, image), thing_ids) for image in images]


def _read_truth(gt: str, gt_dir: str | None) -> PanopticDataset:
    png_dir = Path(gt_dir).expanduser() if gt_dir else None
    return read_panoptic_json(Path(gt).expanduser(), png_dir)


def _find_truth(truth: PanopticDataset, image: NamedImage) -> PanopticPrediction:
    image_id = truth.find_image(image.file_name)
    if image_id is None:
        raise DataError(f"{truth.path}: knows no image {image.file_name!r}")
    prediction = truth.load(image_id)
    if prediction.size != image.size:
        raise DataError(
            f"{truth.png_path(image_id)}: is {describe_size(prediction.size)}, the image "
            f"{describe_size(image.size)}"
        )
    return prediction


def _label_map(truth: PanopticPrediction, space: LabelSpace) -> SemanticPrediction:
    segment_ids = np.array([s.segment_id for s in truth.segments_info], dtype=np.int32)
    category_ids = np.array([s.category_id for s in truth.segments_info], dtype=np.int32)
    label_map = label_segments(truth.panoptic_map, segment_ids, category_ids)
    return SemanticPrediction(space.write_ids(label_map))


def _instances(truth: PanopticPrediction, thing_ids: Sequence[int]) -> Instances:
    things = [s for s in truth.segments_info if s.category_id in thing_ids and not s.iscrowd]
    rles = []
    for segment in things:
        mask = np.asfortranarray(truth.panoptic_map == segment.segment_id, dtype=np.uint8)
        rles.append(coco_mask.encode(mask))
    boxes = np.array([segment.bbox for segment in things], dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Instances(
        boxes=boxes,
        scores=np.ones(len(things)),
        category_ids=np.array([segment.category_id for segment in things], dtype=np.int32),
        masks=RleMasks(tuple(rles)),
        size=truth.size,
    )
