"""Predictions of other tools in place of a net: looked up by the image's file name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fuse.errors import DataError
from fuse.io.coco.image_list import read_image_list
from fuse.io.coco.image_names import ImageNames, name_number, place_inside
from fuse.io.coco.panoptic import ImageId
from fuse.io.coco.results import LabelFolder, open_semantic, read_results
from fuse.labels import load_space
from fuse.models.weights.loading import hash_files
from fuse.types import Instances, NamedImage, SemanticPrediction


class PrecomputedLabelMaps:
    """Label maps from a folder of PNGs, or from a COCO result file of stuff.

    Options:
        path: the folder of grey values, see `LabelFolder`, or the JSON.
        label_space: what the category ids belong to.
        images: a COCO JSON that gives a JSON's image ids their file names; by default the
            image_id is the number that the file name is. Of a folder it says where names that
            lead out of their folder count from.

    Raises:
        CocoFormatError: a file is missing or wrong.
    """

    def __init__(
        self, device: str, *, path: str, label_space: str, images: str | None = None
    ) -> None:
        source = Path(path).expanduser()
        self.label_space = load_space(label_space)
        self.category_ids = np.array(list(self.label_space.by_id), dtype=np.int32)
        self._find_id = _ImageIds(images)
        self._placed = self._find_id.place_inside()
        self._predictions = open_semantic(source, self.label_space, self._find_id.find)
        is_folder = isinstance(self._predictions, LabelFolder)
        self.weights_hash = hash_files(sorted(source.rglob("*.png")) if is_folder else [source])

    def predict(self, images: Sequence[NamedImage]) -> list[SemanticPrediction]:
        """The label map of each image.

        Raises:
            CocoFormatError: there is none, or it is wrong.
            DataError: no image_id is known for the image.
        """
        is_folder = isinstance(self._predictions, LabelFolder)
        found = (
            self._predictions.load_semantic(
                image.file_name if is_folder else self._find_id(image),
                self._placed.get(image.file_name, image.file_name),
                image.size,
            )
            for image in images
        )
        return [SemanticPrediction(self.label_space.write_ids(one.label_map)) for one in found]


class PrecomputedInstances:
    """Instances from a COCO result file, ``path``; the rest is as for `PrecomputedLabelMaps`."""

    def __init__(
        self, device: str, *, path: str, label_space: str, images: str | None = None
    ) -> None:
        source = Path(path).expanduser()
        self.label_space = load_space(label_space)
        self._find_id = _ImageIds(images)
        self._predictions = read_results(source, self.label_space, self._find_id.find)
        self.weights_hash = hash_files([source])

    def predict(self, images: Sequence[NamedImage], *, score_threshold: float) -> list[Instances]:
        """The instances of each image that score at least score_threshold, in the file's order."""
        return [
            self._predictions.load_instances(
                self._find_id(image), image.size, score_threshold=score_threshold
            )
            for image in images
        ]


class _ImageIds:
    """The image_id of an image, by a list of images or by the number in its name."""

    def __init__(self, images: str | None) -> None:
        self._images = images
        self._names: list[str] = []
        self.find: Callable[[str], ImageId | None] = name_number
        if images is not None:
            records, _ = read_image_list(Path(images).expanduser())
            self._names = [record.file_name for record in records.values()]
            self.find = ImageNames((i, record.file_name) for i, record in records.items()).find

    def place_inside(self) -> dict[str, str]:
        """The listed names as paths in one folder, by name; empty without a list."""
        return dict(zip(self._names, place_inside(self._names), strict=True))

    def __call__(self, image: NamedImage) -> ImageId:
        """The image_id; DataError where the list lacks the image, or its name is no number."""
        image_id = self.find(image.file_name)
        if image_id is not None:
            return image_id
        if self._images is None:
            raise DataError(
                f"{image.file_name}: is no number; set images to a JSON that lists the images"
            )
        raise DataError(f"{self._images}: does not list {image.file_name}")
