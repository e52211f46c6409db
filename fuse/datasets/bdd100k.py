"""BDD100K's panoptic bitmasks: ``labels/pan_seg/bitmasks/<split>/*.png``, four numbers a pixel.

Red is the class (1 to 40; above 30 they are things), blue * 256 + alpha the number of the
object in its image, and green holds flags: 1 ignored, 2 crowd, 4 occluded, 8 truncated. As
BDD100K's own converter has it, what is crowd or ignored is a crowd here; stuff that is either is
void, as no object of it could be excused. Class 0 is void.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from fuse.datasets.truth import DatasetTruth, SegmentKind, TruthImage, list_folder, make_truth
from fuse.errors import DataError
from fuse.io.png import read_four_channels
from fuse.labels import load_space
from fuse.types import LabelSpace, PanopticPrediction

DEFAULT_SPLIT = "val"
BITMASKS = Path("labels") / "pan_seg" / "bitmasks"
EXCUSED = 1 | 2  # ignored or crowd
HINT = "give the folder that holds labels/pan_seg"


def open_bdd100k(folder: Path, split: str) -> DatasetTruth:
    """Find the bitmasks of a split, train or val.

    Raises:
        DataError: the folder has no such files.
    """
    files = list_folder(folder / BITMASKS / split, "*.png", HINT)
    space = load_space("bdd100k")
    images = tuple(TruthImage.named(path.stem, path) for path in files)
    return DatasetTruth(space, images, partial(_load, space))


def _load(space: LabelSpace, image: TruthImage) -> PanopticPrediction:
    (path,) = image.label_files
    channels = read_four_channels(path).astype(np.int32)
    label, flags, high, low = np.moveaxis(channels, -1, 0)
    number = high << 8 | low
    is_excused = (flags & EXCUSED) > 0
    # Codes must stay small: class and flag of each number, numbers from 0 on.
    keys = (number.astype(np.int64) << 8 | label) << 1 | is_excused
    found, codes = np.unique(keys, return_inverse=True)
    segments: dict[int, int] = {}

    def describe(code: int) -> SegmentKind | None:
        key = int(found[code])
        iscrowd, category_id = bool(key & 1), key >> 1 & 255
        if category_id == 0:
            return None
        if category_id not in space.by_id:
            raise DataError(f"{path}: {category_id} (red) is none of BDD100K's 40 classes")
        isthing = space.by_id[category_id].isthing
        if iscrowd and not isthing:
            return None
        # One segment per stuff class, one per object and one for the crowds of a class.
        name = key if isthing and not iscrowd else category_id << 1 | iscrowd
        return SegmentKind(segments.setdefault(name, len(segments) + 1), category_id, iscrowd)

    return make_truth(codes.reshape(label.shape).astype(np.int32), describe)
