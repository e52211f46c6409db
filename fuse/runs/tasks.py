"""What there is to do in a run: images, the names of their maps and their image ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

from fuse.errors import CocoFormatError, DataError
from fuse.io.coco.image_names import name_number
from fuse.io.coco.panoptic import ImageId, PanopticDataset
from fuse.io.listing import ImageFile, png_names

PNG_DIR = "panoptic"
PICTURE_DIR = "pictures"
PREDICTION_DIR = "predictions"
IMAGE_DIRS = (PNG_DIR, PICTURE_DIR, PREDICTION_DIR)  # in which each image may have a file


@dataclass(frozen=True, slots=True)
class ImageTask:
    """An image to be done.

    Attributes:
        path: of the image; text where it is a URL.
        file_name: its relative path, with ``/``; what the JSON calls it.
        png_name: of its map, relative to the PNG folder.
        image_id: in the panoptic JSON.
        recorded_at: where an earlier run recorded it (`Journal.locate`), of which its files stay
            and only those that it lacks are made; None where all are.
    """

    path: Path | str
    file_name: str
    png_name: str
    image_id: ImageId
    recorded_at: int | None = None

    @property
    def map_path(self) -> str:
        """Of its map, relative to the output folder."""
        return f"{PNG_DIR}/{self.png_name}"

    @property
    def prediction_path(self) -> str:
        """Of its kept prediction, relative to the output folder."""
        return str(PurePosixPath(PREDICTION_DIR, self.png_name).with_suffix(".npz"))

    @property
    def picture_path(self) -> str:
        """Of its picture, relative to the output folder."""
        return str(PurePosixPath(PICTURE_DIR, self.png_name).with_suffix(".jpg"))


def make_tasks(files: Sequence[ImageFile], truth: PanopticDataset | None = None) -> list[ImageTask]:
    """What there is to do: images with the names of their maps and their image ids.

    Args:
        files: the images.
        truth: ground truth, from which the images have their ids.

    Raises:
        DataError: the ground truth knows none of them, or two of them are the same one there.
        CocoFormatError: a PNG of the ground truth is missing.
    """
    names = [file.relative_name for file in files]
    ids = assign_image_ids(names, truth)
    tasks = [
        ImageTask(file.path, file.relative_name, png_name, image_id)
        for file, png_name, image_id in zip(files, png_names(names), ids, strict=True)
    ]
    if truth:
        _check_truth(tasks, truth)
    return tasks


def describe_tasks(tasks: Sequence[ImageTask]) -> str:
    """How many images there are, and a hash of their names, maps and image ids.

    Shards are parts of one list; where it changed between two, images would be lost or doubled.
    """
    names = ([task.file_name, task.png_name, task.image_id] for task in tasks)
    digest = hashlib.sha256()
    for name in names:
        digest.update(json.dumps(name).encode())
    return f"{len(tasks)} images ({digest.hexdigest()[:16]})"


def _check_truth(tasks: Sequence[ImageTask], truth: PanopticDataset) -> None:
    """Find out before any work is done that images cannot be scored, see `make_tasks`."""
    if not any(task.image_id in truth.annotations for task in tasks):
        known = next(map(truth.image_name, truth.annotations), "none")
        raise DataError(
            f"{truth.path} knows none of the images (first {tasks[0].file_name!r}, its own "
            f"{known!r}); give the ground truth of these images, or leave out --gt"
        )
    scored = [task.image_id for task in tasks if task.image_id in truth.annotations]
    missing = [png for png in map(truth.png_path, scored) if not png.is_file()]
    if missing:
        raise CocoFormatError(
            f"{truth.path}: {len(missing)} of {len(scored)} PNGs of the images are missing, "
            f"first {missing[0]}; name their folder with --gt-dir"
        )


def assign_image_ids(
    file_names: Sequence[str], truth: PanopticDataset | None = None
) -> list[ImageId]:
    """An image_id per image.

    The ground truth's where it knows the file name, and numbers above its largest for the
    other images. Without ground truth the number that each name is, as in COCO, where every
    name is another number; else 1, 2, 3, ...

    Raises:
        DataError: two images are the same one of the ground truth.

    >>> assign_image_ids(["000000000139.jpg", "000000000285.jpg"])
    [139, 285]
    >>> assign_image_ids(["cat.jpg", "dog.jpg"])
    [1, 2]
    """
    if truth is None:
        numbers = [number for name in file_names if (number := name_number(name)) is not None]
        if len(set(numbers)) == len(file_names):
            return list(numbers)
        return list(range(1, len(file_names) + 1))
    largest = max((i for i in truth.annotations if isinstance(i, int)), default=0)
    unknown_ids = count(largest + 1)
    owners: dict[ImageId, str] = {}
    for name in file_names:
        image_id = truth.find_image(name)
        if image_id is None:
            image_id = next(unknown_ids)
        if image_id in owners:
            raise DataError(
                f"{owners[image_id]} and {name} are both image {image_id!r} of {truth.path}; "
                "leave one out, or run them apart"
            )
        owners[image_id] = name
    return list(owners)
