"""Mapillary Vistas v1.2 and v2.0: ``<split>/panoptic`` with its JSON, or ``<split>/instances``.

The panoptic files hold crowds and are taken where they are there; they are COCO panoptic but
for the class "Unlabeled", which is void here. A pixel of the other files holds class * 256 +
number of the object, classes in the order of the dataset's config, and says nothing of crowds.
The release with both versions keeps them in ``<split>/v1.2`` and ``<split>/v2.0``, which are looked
into first. Of v2.0's 124 classes 8 are ambiguous, groups or unlabeled; they are not scored, so they
are void here, and crowds where the panoptic JSON says that.
"""

from __future__ import annotations

from dataclasses import dataclass
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
OBJECT_FACTOR = 256


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the dataset.

    Attributes:
        dataset: what `fuse convert` calls it.
        name: of its folder below the split.
        panoptic: the JSON of its panoptic files.
        configs: what its config may be called.
        space: the label space; class n of the config is its category n + 1, or no category.
        classes: how many the config lists.
        void: those of them that are not scored.
    """

    dataset: str
    name: str
    panoptic: str
    configs: tuple[str, ...]
    space: str
    classes: int
    void: frozenset[str]

    @property
    def hint(self) -> str:
        """What to give."""
        return f"give the folder that holds training and validation of Vistas {self.name}"


V1 = Version(
    "vistas",
    "v1.2",
    "panoptic_2018.json",
    ("config_v1.2.json", "config.json"),
    "vistas_v1",
    66,
    frozenset({"Unlabeled"}),
)
V2 = Version(
    "vistas-v2",
    "v2.0",
    "panoptic_2020.json",
    ("config_v2.0.json",),
    "vistas_v2",
    124,
    frozenset(
        {
            *("Ambiguous Barrier", "Person Group", "Lane Marking - Ambiguous"),
            *("Signage - Ambiguous", "Pole Group", "Traffic Sign - Ambiguous", "Vehicle Group"),
            "Unlabeled",
        }
    ),
)


def open_vistas(folder: Path, split: str, version: Version = V1) -> DatasetTruth:
    """Find the ground truth of a split, training or validation, beside which the config lies.

    Raises:
        DataError: the folder has no such files, or is of another version.
    """
    base = folder / split
    if (base / version.name).is_dir():
        base /= version.name
    elif other := next((v for v in (V1, V2) if (base / v.name).is_dir()), None):
        raise DataError(
            f"{base}: holds {other.name} of Vistas and no {version.name}; convert it as "
            f"{other.dataset}, or unpack {version.name}, too, from the same download"
        )
    panoptic_path = base / "panoptic" / version.panoptic
    if panoptic_path.is_file():
        return _open_panoptic(panoptic_path, version)
    return _open_instances(folder, base / "instances", version)


def open_vistas_v2(folder: Path, split: str) -> DatasetTruth:
    """`open_vistas` of v2.0."""
    return open_vistas(folder, split, V2)


def _open_panoptic(path: Path, version: Version) -> DatasetTruth:
    dataset = read_panoptic_json(path, path.parent)
    space = load_space(version.space)
    label_map = LabelMap(dataset.space, space, _match_categories(dataset, space, version))
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


def _match_categories(
    dataset: PanopticDataset, space: LabelSpace, version: Version
) -> dict[int, int]:
    """The category_id in the space, 0 = void, by that of the JSON."""
    void = {name.casefold() for name in version.void}
    target_ids = {}
    for category_id, category in dataset.space.by_id.items():
        known = space.by_id.get(category_id)
        is_void = category.name.casefold() in void
        if not is_void and not (known and known.name == category.name):
            raise DataError(
                f"{dataset.path}: category {category.file_id} {category.name!r} is not in "
                f"{space.name}; {version.hint}"
            )
        target_ids[category_id] = 0 if is_void else category_id
    return target_ids


def _open_instances(folder: Path, instance_dir: Path, version: Version) -> DatasetTruth:
    files = list_folder(instance_dir, "*.png", version.hint)
    space = load_space(version.space)
    _check_config(folder, space, version)
    images = tuple(TruthImage.named(path.stem, path) for path in files)
    return DatasetTruth(space, images, partial(_load_instances, space, version))


def _check_config(folder: Path, space: LabelSpace, version: Version) -> None:
    """Raise DataError unless the config lists the classes in the order of the label space."""
    names = version.configs
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{folder}: there is no {' or '.join(names)}; {version.hint}")
    config: dict[str, Any] = read_json(path, dict[str, Any], "config of Vistas")
    labels = config.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise DataError(f"{path}: 'labels' must be a list of classes")
    listed = [label.get("readable") for label in labels]
    if len(listed) != version.classes:
        raise DataError(
            f"{path}: {len(listed)} classes, but Vistas {version.name} has {version.classes}; "
            "v1.2 is converted as 'vistas', v2.0 as 'vistas-v2', others are not"
        )
    for place, name in enumerate(listed):
        known = space.by_id.get(place + 1)
        if name != known.name if known else name not in version.void:
            expected = known.name if known else "one that is not scored"
            raise DataError(
                f"{path}: class {place} is {name!r}, in Vistas {version.name} {expected!r}"
            )


def _load_instances(space: LabelSpace, version: Version, image: TruthImage) -> PanopticPrediction:
    (path,) = image.label_files

    def describe(code: int) -> SegmentKind | None:
        label = code // OBJECT_FACTOR
        if label >= version.classes:
            raise DataError(
                f"{path}: {code} is of class {label}, but Vistas has 0 to {version.classes - 1}"
            )
        category = space.by_id.get(label + 1)
        if category is None:  # not scored
            return None
        # The first object of a class has number 0, and segment 0 would be void.
        first = code if category.isthing else label * OBJECT_FACTOR
        return SegmentKind(first + 1, category.category_id)

    return make_truth(read_labels(path, bits=(16,)), describe)
