"""ADE20K, scene parsing: ``annotations/<split>/*.png``, ``annotations_instance/<split>/*.png``.

The first folder has a class of 150 per pixel (grey, 0 = other), the second a thing class of
100 in red and the number of the object in green. As the field's converter
(Mask2Former's ``prepare_ade20k_pan_seg.py``) has it, stuff comes from the first and things
from the second, which wins where both label a pixel; a thing's class without an object is void.
Category ids are the 150 classes counted from 1, as in the PNGs; that converter counts from 0.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from fuse.datasets.truth import (
    DatasetTruth,
    SegmentKind,
    TruthImage,
    check_same_size,
    find_partner,
    list_folder,
    make_truth,
)
from fuse.errors import DataError
from fuse.io.png import read_label_colors, read_labels
from fuse.labels import load_space
from fuse.types import LabelSpace, PanopticPrediction

DEFAULT_SPLIT = "validation"
OBJECT_FACTOR = 256  # smaller codes are classes of the semantic file
HINT = (
    "give the folder ADEChallengeData2016, with annotations_instance unpacked into it "
    "(annotations_instance.tar of the Places challenge)"
)


def open_ade20k(folder: Path, split: str) -> DatasetTruth:
    """Find the ground truth of a split, training or validation, in ADEChallengeData2016.

    Raises:
        DataError: the folder has no such files, or one lacks its partner.
    """
    instance_dir = folder / "annotations_instance" / split
    files = list_folder(folder / "annotations" / split, "*.png", HINT)
    list_folder(instance_dir, "*.png", HINT)
    images = tuple(
        TruthImage.named(path.stem, path, find_partner(instance_dir / path.name, path))
        for path in files
    )
    space = load_space("ade20k_panoptic")
    return DatasetTruth(space, images, partial(_load, space))


def _load(space: LabelSpace, image: TruthImage) -> PanopticPrediction:
    semantic_path, instance_path = image.label_files
    classes, objects = read_labels(semantic_path), read_label_colors(instance_path)
    check_same_size(image, classes, objects)
    number = objects[..., 1].astype(np.int32)
    codes = np.where(number > 0, objects[..., 0] + number * OBJECT_FACTOR, classes)

    def describe(code: int) -> SegmentKind | None:
        if code >= OBJECT_FACTOR:
            thing = code % OBJECT_FACTOR
            # Thing class n of 100 is the n-th thing of the 150 classes.
            if not 1 <= thing <= len(space.thing_ids):
                raise DataError(f"{instance_path}: {thing} (red) is none of the 100 thing classes")
            return SegmentKind(code, space.thing_ids[thing - 1])
        if code and code not in space.by_id:
            raise DataError(f"{semantic_path}: {code} is none of the 150 classes, nor 0 for other")
        return SegmentKind(code, code) if code and not space.by_id[code].isthing else None

    return make_truth(codes.astype(np.int32), describe)
