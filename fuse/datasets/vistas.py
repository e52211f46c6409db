"""Mapillary Vistas v1.2: ``<split>/panoptic/*.png`` with its JSON, or ``<split>/instances/*.png``.

The panoptic files hold crowds and are taken where they are there; they are COCO panoptic but
for the class "Unlabeled", which is void here. A pixel of the other files holds class * 256 +
number of the object, classes in the order of the dataset's config, and says nothing of crowds.
The release with both versions keeps v1.2 in ``<split>/v1.2``, which is looked into first.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePath
from typing import Any

from fuse.datasets.truth import (
    DatasetTruth,
    SegmentKind,
    TruthImage,
    find_partner,
    list_folder,
    make_truth,
)
from fuse.errors import DataError, describe_size
from fuse.io.coco.panoptic import PanopticDataset, read_panoptic_json
from fuse.io.json_toml import read_json
from fuse.io.png import read_labels
from fuse.labels import LabelMap, load_space, map_panoptic
from fuse.types import LabelSpace, PanopticPrediction

DEFAULT_SPLIT = "validation"
VERSION, OTHER_VERSION = "v1.2", "v2.0"
CONFIG_NAMES = ("config_v1.2.json", "config.json")
PANOPTIC_NAME = "panoptic_2018.json"
UNLABELED = "Unlabeled"
OBJECT_FACTOR = 256
HINT = "give the folder that holds training and validation of Vistas v1.2"


def open_vistas(folder: Path, split: str) -> DatasetTruth:
    """Find the ground truth of a split, training or validation, beside which the config lies.

    Raises:
        DataError: the folder has no such files, or is of another version.
    """
    base = folder / split
    if (base / VERSION).is_dir():
        base /= VERSION
    elif (base / OTHER_VERSION).is_dir():
        raise DataError(
            f"{base}: holds {OTHER_VERSION} of Vistas and no {VERSION}, which is converted here; "
            "unpack that, too, from the same download"
        )
    panoptic_path = base / "panoptic" / PANOPTIC_NAME
    if panoptic_path.is_file():
        return _open_panoptic(panoptic_path)
    return _open_instances(folder, base / "instances")


def _open_panoptic(path: Path) -> DatasetTruth:
    dataset = read_panoptic_json(path, path.parent)
    space = load_space("vistas_v1")
    label_map = LabelMap(dataset.space, space, _match_categories(dataset, space))
    images = tuple(
        TruthImage(
            image_id=image_id,
            file_name=PurePath(dataset.image_name(image_id)).with_suffix(".jpg").as_posix(),
            png_name=dataset.annotations[image_id].file_name,
            label_files=(find_partner(dataset.png_path(image_id), path),),
        )
        for image_id in sorted(dataset.annotations, key=str)
    )

    def load(image: TruthImage) -> PanopticPrediction:
        truth = dataset.load(image.image_id)
        listed = dataset.images.get(image.image_id)
        if listed and truth.size != (listed.height or truth.size[0], listed.width or truth.size[1]):
            raise DataError(
                f"{image.label_files[0]} is {describe_size(truth.size)}, but {path} says "
                f"{listed.width} wide, {listed.height} high"
            )
        return map_panoptic(truth, label_map)

    return DatasetTruth(space, images, load)


def _match_categories(dataset: PanopticDataset, space: LabelSpace) -> dict[int, int]:
    """The category_id in the space, 0 = void, by that of the JSON."""
    target_ids = {}
    for category_id, category in dataset.space.by_id.items():
        known = space.by_id.get(category_id)
        is_void = category.name.casefold() == UNLABELED.casefold()
        if not is_void and not (known and known.name == category.name):
            raise DataError(
                f"{dataset.path}: category {category_id} {category.name!r} is not in "
                f"{space.name}; {HINT}"
            )
        target_ids[category_id] = 0 if is_void else category_id
    return target_ids


def _open_instances(folder: Path, instance_dir: Path) -> DatasetTruth:
    files = list_folder(instance_dir, "*.png", HINT)
    space = load_space("vistas_v1")
    _check_config(folder, space)
    images = tuple(TruthImage.named(path.stem, path) for path in files)
    return DatasetTruth(space, images, partial(_load_instances, space))


def _check_config(folder: Path, space: LabelSpace) -> None:
    """Raise DataError unless the config lists the space's classes in order, then Unlabeled."""
    path = next((folder / name for name in CONFIG_NAMES if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{folder}: there is no {' or '.join(CONFIG_NAMES)}; {HINT}")
    config: dict[str, Any] = read_json(path, dict[str, Any], "config of Vistas")
    labels = config.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise DataError(f"{path}: 'labels' must be a list of classes")
    names = [label.get("readable") for label in labels]
    expected = [category.name for category in space.categories] + [UNLABELED]
    if len(names) != len(expected):
        raise DataError(
            f"{path}: {len(names)} classes, but Vistas v1.2 has {len(expected)}; v2.0 and others "
            "are not converted"
        )
    for place, (name, known) in enumerate(zip(names, expected, strict=True)):
        if name != known:
            raise DataError(f"{path}: class {place} is {name!r}, in Vistas v1.2 {known!r}")


def _load_instances(space: LabelSpace, image: TruthImage) -> PanopticPrediction:
    (path,) = image.label_files
    classes = len(space.categories)

    def describe(code: int) -> SegmentKind | None:
        label = code // OBJECT_FACTOR
        if label > classes:
            raise DataError(f"{path}: {code} is of class {label}, but Vistas has 0 to {classes}")
        if label == classes:  # Unlabeled
            return None
        category = space.categories[label]
        # The first object of a class has number 0, and segment 0 would be void.
        first = code if category.isthing else label * OBJECT_FACTOR
        return SegmentKind(first + 1, category.category_id)

    return make_truth(read_labels(path, bits=(16,)), describe)
