"""Cityscapes: ``gtFine/<split>/<city>/<city>_<sequence>_<frame>_gtFine_instanceIds.png``.

A pixel holds the id of its class, or id * 1000 + number of the object. As Cityscapes' own
converter (``csCreatePanopticImgs``) has it, segment ids are these values, a thing without
a number is a crowd, and classes that the benchmark ignores are void. Category ids are the ids
of the classes (road is 7), which that converter calls the default, not the trainIds.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fuse.datasets.truth import DatasetTruth, SegmentKind, TruthImage, list_folder, make_truth
from fuse.errors import DataError
from fuse.io.png import read_labels
from fuse.labels import load_space
from fuse.types import LabelSpace, PanopticPrediction

DEFAULT_SPLIT = "val"
LABEL_ENDING = "_gtFine_instanceIds.png"
OBJECT_FACTOR = 1000  # smaller values are classes without an object number
UNLABELED = 0
HINT = "give the folder that holds gtFine, unpacked from gtFine_trainvaltest.zip"


def open_cityscapes(folder: Path, split: str) -> DatasetTruth:
    """Find the ground truth of a split.

    Images are called by their path below ``leftImg8bit/<split>``, and image_id is that name's
    ``<city>_<sequence>_<frame>``. All of the split test is void.

    Raises:
        DataError: the folder has no such files.
    """
    files = list_folder(folder / "gtFine" / split, f"*/*{LABEL_ENDING}", HINT)
    space = load_space("cityscapes")
    known = frozenset({UNLABELED, *load_space("cityscapes_full").by_id})
    images = tuple(_make_image(path) for path in files)
    return DatasetTruth(space, images, partial(_load, space, known))


def _make_image(path: Path) -> TruthImage:
    stem = path.name.removesuffix(LABEL_ENDING)
    return TruthImage(
        image_id=stem,
        file_name=f"{path.parent.name}/{stem}_leftImg8bit.png",
        png_name=f"{stem}_gtFine_panoptic.png",
        label_files=(path,),
    )


def _load(space: LabelSpace, known: frozenset[int], image: TruthImage) -> PanopticPrediction:
    (path,) = image.label_files

    def describe(code: int) -> SegmentKind | None:
        label_id = code if code < OBJECT_FACTOR else code // OBJECT_FACTOR
        if label_id not in known:
            raise DataError(f"{path}: {code} is neither a class of Cityscapes nor an object of one")
        if label_id not in space.by_id:
            return None
        iscrowd = space.by_id[label_id].isthing and code < OBJECT_FACTOR
        return SegmentKind(code, label_id, iscrowd)

    return make_truth(read_labels(path, bits=(16,)), describe)
