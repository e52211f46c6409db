"""Forms that are PNGs: numbers and colours of classes, VOC's folders, Cityscapes' results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fuse.errors import DataError, LabelSpaceError
from fuse.exports.folder_forms import write_files
from fuse.exports.image import Encoded, ExportImage
from fuse.findings import Note
from fuse.io.csv_files import write_table
from fuse.io.png import encode_id_map, encode_labels
from fuse.labels.colors import Color, encode_color, voc_color
from fuse.labels.spaces import COLUMNS, is_shipped
from fuse.ops.segments import label_segments
from fuse.types import Int32Array, LabelSpace, SegmentInfo
from fuse.types.label_space import id_to_file

BACKGROUND = "background"
BLACK = (0, 0, 0)
VOID_VALUES = (0, 255, 2**16 - 1)  # of a label PNG; the first that is no class


def paint_classes(image: ExportImage, numbers: Sequence[int]) -> Int32Array:
    """The map with a number in place of each segment, in their order; 0 is void."""
    segments = image.prediction.segments_info
    ids = np.array([segment.segment_id for segment in segments], dtype=np.int32)
    return label_segments(image.prediction.panoptic_map, ids, np.array(numbers, dtype=np.int32))


@dataclass(frozen=True)
class LabelPng:
    """``<image>.png`` with the category id of each pixel, and ``labels.csv``, the label space."""

    space: LabelSpace

    @cached_property
    def void(self) -> int:
        """The value of void: 0, or what no class has."""
        used = {category.file_id for category in self.space.categories}
        return next(value for value in VOID_VALUES if value not in used)

    def check(self, space: LabelSpace) -> list[Note]:
        """Ids must fit 16 bits."""
        largest = max(category.file_id for category in space.categories)
        if largest >= 2**16:
            raise LabelSpaceError(f"{space.name}: category id {largest} does not fit a label PNG")
        return []

    def encode(self, image: ExportImage) -> Encoded:
        """One PNG."""
        segments = image.prediction.segments_info
        labels = paint_classes(image, [1 + id_to_file(s.category_id) for s in segments])
        values = np.where(labels, labels - 1, self.void)
        png = encode_labels(values.astype(np.int32))
        return Encoded([(f"{image.stem}.png", png)], len(segments))

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """A PNG per image, and the classes."""
        write_files(out, contents)
        rows = (
            (c.file_id, index, c.name, int(c.isthing), c.supercategory, *c.color)
            for index, c in enumerate(self.space.categories)
        )
        write_table(out / "labels.csv", COLUMNS, rows)


def find_colors(space: LabelSpace) -> dict[int, Color]:
    """A colour of its own for each category; black is nobody's but a background's.

    A category whose colour another one has gets one of PASCAL VOC's.
    """
    uses = Counter(category.color for category in space.categories)
    taken = {BLACK, *uses}
    free = (color for color in map(voc_color, count(1)) if color not in taken)
    colors: dict[int, Color] = {}
    for category in space.categories:
        is_own = uses[category.color] == 1 and category.color != BLACK
        color = category.color if is_own else next(free)
        colors[category.category_id] = BLACK if category.name == BACKGROUND else color
    return colors


def write_labelmap(space: LabelSpace) -> bytes:
    """CVAT's and Datumaro's ``labelmap.txt``; void is the background."""
    colors = find_colors(space)
    named = {category.name: colors[category.category_id] for category in space.categories}
    lines = ["# label:color_rgb:parts:actions"]
    for name, color in ({BACKGROUND: BLACK} | named).items():
        lines.append(f"{name}:{','.join(map(str, color))}::")
    return "".join(f"{line}\n" for line in lines).encode()


def note_colors(space: LabelSpace) -> list[Note]:
    """A note where classes have another colour than in the label space."""
    colors = find_colors(space)
    moved = [c for c in space.categories if colors[c.category_id] != c.color]
    moved = [c for c in moved if c.name != BACKGROUND]
    notes = [Note("colors-shared", repr(moved[0].name), len(moved))] if moved else []
    if BACKGROUND in space.by_name:
        notes.append(Note("background-as-void", repr(BACKGROUND)))
    return notes


def _fits_line(name: str) -> bool:
    """Whether labelmap.txt can hold a name."""
    return name == name.strip() and name.isprintable() and not name.startswith("#")


@dataclass(frozen=True)
class _Coloured:
    """A form whose PNGs have the colours of the classes."""

    space: LabelSpace

    @cached_property
    def codes(self) -> dict[int, int]:
        """The colour of each category as a code."""
        return {i: encode_color(color) for i, color in find_colors(self.space).items()}

    def check(self, space: LabelSpace) -> list[Note]:
        """Names must fit a line; a note on colours that two classes share."""
        wrong = next((c.name for c in self.space.categories if not _fits_line(c.name)), None)
        if wrong is not None:
            raise LabelSpaceError(
                f"class {wrong!r} cannot stand in labelmap.txt: no name there has line breaks, "
                "blanks around it, or a # in front; rename it in the categories of the JSON"
            )
        return note_colors(self.space)

    def paint(self, image: ExportImage) -> bytes:
        """The PNG of an image."""
        codes = [self.codes[s.category_id] for s in image.prediction.segments_info]
        return encode_id_map(paint_classes(image, codes))


@dataclass(frozen=True)
class ColouredPng(_Coloured):
    """``<image>.png`` in the colours of the classes, and ``labelmap.txt`` that names them."""

    def encode(self, image: ExportImage) -> Encoded:
        """One PNG."""
        files = [(f"{image.stem}.png", self.paint(image))]
        return Encoded(files, len(image.prediction.segments_info))

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """A PNG per image, and the names of the colours."""
        write_files(out, contents)
        (out / "labelmap.txt").write_bytes(write_labelmap(self.space))


@dataclass(frozen=True)
class Voc(_Coloured):
    """CVAT's "segmentation mask 1.1" and Datumaro's VOC: colours of classes and of objects."""

    def encode(self, image: ExportImage) -> Encoded:
        """The two PNGs of an image, and its line in the list."""
        segments = image.prediction.segments_info
        objects = paint_classes(
            image, [encode_color(voc_color(n)) for n in range(1, len(segments) + 1)]
        )
        files = [
            (f"SegmentationClass/{image.stem}.png", self.paint(image)),
            (f"SegmentationObject/{image.stem}.png", encode_id_map(objects)),
        ]
        return Encoded((image.stem, files), len(segments), image.note_crowds(segments))

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """Two PNGs per image, the list of images and the names of the colours."""
        stems: list[str] = []

        def list_files() -> Iterable[Sequence[tuple[str, bytes]]]:
            for stem, files in contents:
                if "\n" in stem or "\r" in stem:
                    raise DataError(f"image {stem!r}: a list of names has one a line; rename it")
                stems.append(stem)
                yield files

        write_files(out, list_files())
        text = "".join(f"{stem}\n" for stem in stems)
        write_files(out, [[("ImageSets/Segmentation/default.txt", text.encode())]])
        (out / "labelmap.txt").write_bytes(write_labelmap(self.space))


@dataclass(frozen=True)
class Cityscapes:
    """Results as Cityscapes' own scorers read them, in label ids (road is 7).

    ``pixel/<image>.png``, and per image ``instance/<image>.txt`` with lines of a mask's path, its
    label id and its score, the masks beside it. The panoptic scorer reads the run itself.
    """

    space: LabelSpace

    def check(self, space: LabelSpace) -> list[Note]:
        """The categories must be those of Cityscapes."""
        if not (space.name.startswith("cityscapes") and is_shipped(space)):
            raise LabelSpaceError(
                f"the categories are of {space.name!r}, not of Cityscapes; run with a preset that "
                "speaks cityscapes"
            )
        return []

    def encode(self, image: ExportImage) -> Encoded:
        """The files of an image."""
        segments = image.prediction.segments_info
        labels = paint_classes(image, [s.category_id for s in segments])
        stem = PurePosixPath(image.stem).name
        if " " in stem:
            raise DataError(
                f"image {image.file_name!r}: Cityscapes' scorer parts its lines at blanks, so no "
                "name may have one; rename the image"
            )
        files = [(f"pixel/{stem}.png", encode_labels(labels))]
        lines, unscored = [], 0
        for number, segment in enumerate(s for s in segments if image.category(s).isthing):
            name = f"masks/{stem}_{number}.png"
            score = 1.0 if segment.score is None else segment.score
            unscored += segment.score is None
            lines.append(f"{name} {segment.category_id} {score:.6f}\n")
            files.append((f"instance/{name}", encode_labels(self._mask(image, segment))))
        files.append((f"instance/{stem}.txt", "".join(lines).encode()))
        notes = [Note("no-scores", image.file_name, unscored)] if unscored else []
        return Encoded(files, len(segments), notes + image.note_crowds(segments))

    def _mask(self, image: ExportImage, segment: SegmentInfo) -> Int32Array:
        is_here = image.prediction.panoptic_map == segment.segment_id
        return np.where(is_here, 255, 0).astype(np.int32)

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """The files of all images."""
        write_files(out, contents)
