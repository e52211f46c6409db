"""PASCAL VOC 2012: ``SegmentationClass/*.png``, ``SegmentationObject/*.png``, ``ImageSets/``.

Palette indices are the class of 20, and the number of the object; 255 is the border between
objects and what was too hard to label, void here. Class 0, the background, is one stuff segment
per image, as papers with panoptic figures on VOC have it: were it void, nothing that is found in
the background would count as wrong. A class without an object number is a crowd.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fuse.datasets.truth import (
    DatasetTruth,
    SegmentKind,
    TruthImage,
    check_same_size,
    find_partner,
    make_truth,
)
from fuse.errors import DataError
from fuse.io.files import leads_out, read_regular
from fuse.io.png import read_labels
from fuse.labels import load_space
from fuse.types import LabelSpace, PanopticPrediction

DEFAULT_SPLIT = "val"
OBJECT_FACTOR = 256
BACKGROUND = 0
BORDER = 255
HINT = "give the folder that holds SegmentationClass, as VOCdevkit/VOC2012"


def open_voc(folder: Path, split: str) -> DatasetTruth:
    """Find the ground truth of a split in VOC2012, by ``ImageSets/Segmentation/<split>.txt``.

    Raises:
        DataError: the folder has no such files, or one that the list names is missing.
    """
    list_path = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
    try:
        names = sorted(set(read_regular(list_path).decode("utf-8-sig").split()))
    except OSError as err:
        raise DataError(
            f"{list_path}: cannot be read ({err.strerror}); {_advise(folder, list_path.parent)}"
        ) from err
    except UnicodeDecodeError as err:
        raise DataError(f"{list_path}: no list of names ({err})") from err
    if not names:
        raise DataError(f"{list_path}: the list is empty")
    outside = next((name for name in names if leads_out(name)), None)
    if outside is not None:
        raise DataError(f"{list_path}: {outside!r} is no name of an image")
    images = tuple(
        TruthImage.named(
            name,
            find_partner(folder / "SegmentationClass" / f"{name}.png", list_path),
            find_partner(folder / "SegmentationObject" / f"{name}.png", list_path),
        )
        for name in names
    )
    space = load_space("voc")
    return DatasetTruth(space, images, partial(_load, space))


def _advise(folder: Path, lists: Path) -> str:
    """What to do where there is no list of the images of a split."""
    if splits := sorted(path.stem for path in lists.glob("*.txt")):
        return f"there are {', '.join(splits)}; {HINT}"
    if not (folder / "SegmentationClass").is_dir():
        return HINT
    return (
        "it names the images of the split: unpack ImageSets from the same download, or write the "
        "names there yourself, one a line without their ending, as 2007_000033"
    )


def _load(space: LabelSpace, image: TruthImage) -> PanopticPrediction:
    class_path, object_path = image.label_files
    classes, objects = read_labels(class_path), read_labels(object_path)
    check_same_size(image, classes, objects)
    background_id = space.by_name["background"].category_id

    def describe(code: int) -> SegmentKind | None:
        number, category_id = divmod(code, OBJECT_FACTOR)
        if BORDER in (category_id, number):
            return None
        if category_id == BACKGROUND:
            return SegmentKind(background_id, background_id)
        if category_id not in space.thing_ids:
            raise DataError(f"{class_path}: {category_id} is none of VOC's 20 classes, 0 and 255")
        return SegmentKind(code, category_id, iscrowd=number == 0)

    return make_truth(classes + objects * OBJECT_FACTOR, describe)
