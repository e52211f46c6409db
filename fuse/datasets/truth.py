"""What the converters share: the numbers of a label map, and what each means, become segments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fuse.errors import DataError, describe_size
from fuse.findings import Note
from fuse.io.coco.panoptic import ImageId
from fuse.io.listing import is_shown
from fuse.ops.segments import measure_segments, run_starts
from fuse.types import Int32Array, LabelSpace, PanopticPrediction, SegmentInfo

PACKED = (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar")


@dataclass(frozen=True, slots=True)
class SegmentKind:
    """The segment that pixels of one number belong to.

    Attributes:
        segment_id: 1..2**24 - 1; several numbers may share it, with one category.
        category_id: in the label space of the dataset.
        iscrowd: True for a group of objects that nobody told apart.
    """

    segment_id: int
    category_id: int
    iscrowd: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class NotedTruth:
    """The ground truth of an image, and what is to be known of how it was made."""

    truth: PanopticPrediction
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class TruthImage:
    """One image of a dataset and the files of its ground truth.

    Attributes:
        image_id: as the dataset's users know the image.
        file_name: of the image, relative to the folder of the split's images.
        png_name: of the map that is written.
        label_files: what the map is made from; the first has the image's size.
        size: (height, width), where no label file has it.
    """

    image_id: ImageId
    file_name: str
    png_name: str
    label_files: tuple[Path, ...] = ()
    size: tuple[int, int] | None = None

    @classmethod
    def named(cls, name: str, *label_files: Path) -> TruthImage:
        """An image that is called ``<name>.jpg``."""
        return cls(name, f"{name}.jpg", f"{name}.png", label_files)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetTruth:
    """A split of a dataset, ready to be converted image by image.

    Attributes:
        space: the categories.
        images: in the order of their names.
        load: makes the ground truth of an image; any number of threads may call it.
        notes: on the labels as a whole.
    """

    space: LabelSpace
    images: tuple[TruthImage, ...]
    load: Callable[[TruthImage], PanopticPrediction | NotedTruth]
    notes: tuple[Note, ...] = ()


def make_truth(
    codes: Int32Array, describe: Callable[[int], SegmentKind | None]
) -> PanopticPrediction:
    """The ground truth of an image whose pixels hold numbers; segments in ascending id.

    Args:
        codes: int32 (H, W), small numbers from 0 on, for memory grows with the largest.
        describe: what the pixels of a number are, None for void; called once for each number
            that occurs, in ascending order. What it raises passes through.

    >>> codes = np.array([[7, 7, 9], [0, 9, 8]], dtype=np.int32)
    >>> truth = make_truth(codes, lambda code: SegmentKind(code % 7 + 1, 17) if code else None)
    >>> truth.panoptic_map.tolist()
    [[1, 1, 3], [0, 3, 2]]
    >>> [(s.segment_id, s.area, s.bbox) for s in truth.segments_info]
    [(1, 2, (0, 0, 2, 1)), (2, 1, (2, 1, 1, 1)), (3, 2, (1, 0, 2, 2))]
    """
    codes = np.ascontiguousarray(codes)
    present = np.unique(codes.ravel()[run_starts(codes, codes)])
    kinds = [describe(code) for code in present.tolist()]
    segment_of_code = np.zeros(present[-1] + 1, dtype=np.int32)
    segment_of_code[present] = [kind.segment_id if kind else 0 for kind in kinds]
    panoptic_map = segment_of_code[codes]
    by_id = {kind.segment_id: kind for kind in kinds if kind}
    segment_ids = sorted(by_id)
    areas, bboxes, _ = measure_segments(panoptic_map, np.array(segment_ids, dtype=np.int32))
    measured = zip(segment_ids, areas.tolist(), bboxes.tolist(), strict=True)
    segments = tuple(
        SegmentInfo(i, by_id[i].category_id, area, tuple(bbox), by_id[i].iscrowd)
        for i, area, bbox in measured
    )
    return PanopticPrediction(panoptic_map, segments)


def check_same_size(
    image: TruthImage, first_pixels: npt.NDArray[Any], second_pixels: npt.NDArray[Any]
) -> None:
    """Raise DataError unless the pixels of an image's two label files are of one (H, W)."""
    (first_height, first_width), (height, width) = first_pixels.shape[:2], second_pixels.shape[:2]
    if (first_height, first_width) != (height, width):
        first, second = image.label_files
        raise DataError(
            f"{first} is {describe_size((first_height, first_width))}, but {second} is "
            f"{describe_size((height, width))}; "
            "they must be of one image"
        )


def list_folder(folder: Path, pattern: str, hint: str) -> list[Path]:
    """Files below a folder by a glob, sorted by their paths; without hidden ones and systems' own.

    Args:
        folder: to be searched.
        pattern: whose ending after the last dot is matched in any case.
        hint: what to give, for messages.

    Raises:
        DataError: there is no such folder, or nothing in it that matches; ends with the hint.
    """
    if folder.is_file():
        packed = "is packed; unpack it, and " if folder.suffix.lower() in PACKED else "is a file; "
        raise DataError(f"{folder} {packed}{hint}")
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; {hint}")
    stem, dot, ending = pattern.rpartition(".")
    any_case = "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in ending)
    found = folder.glob(f"{stem}{dot}{any_case}")
    files = sorted(file for file in found if is_shown(file.relative_to(folder)))
    if not files:
        raise DataError(f"{folder}: no file matches {pattern}; {hint}")
    return files


def find_partner(path: Path, of: Path) -> Path:
    """The path of a file that another one needs; DataError names both where it is missing."""
    if not path.is_file():
        raise DataError(f"{path}: the file is missing that belongs to {of}")
    return path
