"""COCO's panoptic format both ways: one JSON of segments and one PNG of ids per image."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

import msgspec
import numpy as np

from fuse.errors import CocoFormatError, FuseWarning, describe_misfit
from fuse.io.coco.categories import CategoryRecord, Flag, list_categories, make_own_space
from fuse.io.coco.image_names import ImageNames
from fuse.io.coco.other_files import refuse_other
from fuse.io.coco.png_folder import find_panoptic_json, find_png_dir
from fuse.io.files import StrPath, leads_out, open_whole, to_path
from fuse.io.json_toml import read_json
from fuse.io.png import check_channels, read_id_map
from fuse.labels import identify_space
from fuse.ops.segments import measure_segments
from fuse.types import (
    MAX_SEGMENT_ID,
    Int32Array,
    LabelSpace,
    PanopticPrediction,
    SegmentInfo,
)
from fuse.types.label_space import ID_OF_ZERO, id_to_file

ImageId = int | str  # COCO numbers its images, Cityscapes names them
Pixel = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class ImageRecord(msgspec.Struct, frozen=True, gc=False):
    """One image of a panoptic JSON.

    Attributes:
        image_id: ``id`` in files.
        file_name: of the image, as the JSON has it.
        height: pixels, None where the JSON does not say.
        width: pixels, None where the JSON does not say.
    """

    image_id: ImageId = msgspec.field(name="id")
    file_name: str = ""
    height: Annotated[int, msgspec.Meta(ge=1)] | None = None
    width: Annotated[int, msgspec.Meta(ge=1)] | None = None


class SegmentRecord(msgspec.Struct, frozen=True, gc=False):
    """One segment as a JSON claims it; None where the JSON does not say.

    Attributes:
        segment_id: ``id`` in files; 0 is void and names no segment, but occurs.
        category_id: in the label space of the JSON; in a `PanopticDataset` as in memory.
        area: pixels; wrong in some files, so counted from the PNG instead.
        iscrowd: None means 0.
        score: of a predicted thing.
    """

    segment_id: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEGMENT_ID)] = msgspec.field(name="id")
    category_id: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    area: float | None = None
    iscrowd: Flag = None
    score: float | None = None


class AnnotationRecord(msgspec.Struct, frozen=True, gc=False):
    """The segments of one image as a JSON claims them.

    Attributes:
        image_id: the image's.
        file_name: of the PNG, relative to the dataset's PNG folder.
        segments_info: in the order of the file.
    """

    image_id: ImageId
    file_name: str
    segments_info: tuple[SegmentRecord, ...]

    def segments_by_id(self) -> dict[int, SegmentRecord]:
        """Segments by segment_id: without id 0, and of a repeated id the last, as COCO does."""
        return {s.segment_id: s for s in self.segments_info if s.segment_id}


class _OwnSegment(msgspec.Struct, frozen=True):
    """One segment as `segment_to_json` writes it."""

    id: Annotated[int, msgspec.Meta(ge=1, le=MAX_SEGMENT_ID)]
    category_id: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    area: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    bbox: tuple[Pixel, Pixel, Pixel, Pixel]
    iscrowd: Annotated[int, msgspec.Meta(ge=0, le=1)]
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None


class _PanopticFile(msgspec.Struct, frozen=True):
    annotations: tuple[AnnotationRecord, ...]
    categories: tuple[CategoryRecord, ...] | None = None
    images: tuple[ImageRecord, ...] = ()


Record = TypeVar("Record", ImageRecord, AnnotationRecord)


@dataclass(frozen=True, repr=False)
class PanopticDataset:
    """A panoptic JSON with its folder of PNGs: ground truth, or what some tool predicted.

    Attributes:
        path: the JSON, for messages.
        png_dir: folder that the file names of annotations are relative to.
        space: its categories; a shipped space where they are that, or are a part of it.
        images: images by image_id, in the order of the file; may lack some or all.
        annotations: segments by image_id, in the order of the file.
        assumed_things: category ids whose isthing the JSON does not give.
        own_space: its categories as the JSON has them; None where it has none, and `space` is
            the caller's.
    """

    path: Path
    png_dir: Path
    space: LabelSpace
    images: dict[ImageId, ImageRecord]
    annotations: dict[ImageId, AnnotationRecord]
    assumed_things: tuple[int, ...] = ()
    own_space: LabelSpace | None = None

    def __repr__(self) -> str:
        images = f"{len(self.annotations)} images"
        return f"PanopticDataset({str(self.path)!r}, {self.space.name}, {images})"

    def png_path(self, image_id: ImageId) -> Path:
        """The PNG that holds an image's ids; a JSON of Windows may part folders with ``\\``."""
        name = self.annotations[image_id].file_name
        path = self.png_dir / name
        return (
            self.png_dir / name.replace("\\", "/") if "\\" in name and not path.exists() else path
        )

    def image_name(self, image_id: ImageId) -> str:
        """File name of an image; its PNG's where the JSON does not say."""
        image = self.images.get(image_id)
        return (
            image.file_name if image and image.file_name else self.annotations[image_id].file_name
        )

    def load(self, image_id: ImageId) -> PanopticPrediction:
        """Read one image's panoptic map; areas and boxes are counted from its pixels.

        Segments without pixels are left out, pixels of ids that the JSON lacks are void.

        Raises:
            KeyError: no annotation has that image_id.
            CocoFormatError: the PNG is missing or cannot be read, or its red and blue are swapped.
        """
        records = self.annotations[image_id].segments_by_id()
        panoptic_map = read_id_map(self.png_path(image_id))
        self._tell_misfit(image_id, panoptic_map)
        listed_ids = np.array(list(records), dtype=np.int32)
        ascending = np.argsort(listed_ids)
        areas, bboxes, unlisted = measure_segments(panoptic_map, listed_ids[ascending])
        if unlisted:
            check_channels(self.png_path(image_id), panoptic_map, listed_ids)
            listed = np.isin(panoptic_map, listed_ids)
            panoptic_map = np.where(listed, panoptic_map, 0).astype(np.int32)
        back = np.argsort(ascending)
        segments = tuple(
            SegmentInfo(
                segment_id=record.segment_id,
                category_id=record.category_id,
                area=area,
                bbox=tuple(bbox),
                iscrowd=bool(record.iscrowd),
                score=record.score,
            )
            for record, area, bbox in zip(
                records.values(), areas[back].tolist(), bboxes[back].tolist(), strict=True
            )
            if area
        )
        return PanopticPrediction(panoptic_map, segments)

    def _tell_misfit(self, image_id: ImageId, panoptic_map: Int32Array) -> None:
        """Tell in a `FuseWarning` of the first map of another size than the JSON says."""
        image = self.images.get(image_id)
        if not image or not image.height or not image.width or self._misfits:
            return
        size, height, width = (image.height, image.width), *panoptic_map.shape
        if size != (height, width):
            png_path = str(self.png_path(image_id))
            self._misfits.append(image_id)
            told = describe_misfit(png_path, (height, width), f"its image in {self.path}", size)
            warnings.warn(FuseWarning(f"{told}; the PNG counts, here and elsewhere"), stacklevel=3)

    @cached_property
    def _misfits(self) -> list[ImageId]:
        return []

    def find_image(self, file_name: str) -> ImageId | None:
        """The image_id of an annotated image by its name, however written; see `ImageNames`."""
        return self._names.find(file_name)

    @cached_property
    def _names(self) -> ImageNames:
        return ImageNames((image_id, self.image_name(image_id)) for image_id in self.annotations)


def read_panoptic_json(
    path: StrPath, png_dir: StrPath | None = None, *, default_space: LabelSpace | None = None
) -> PanopticDataset:
    """Read a COCO panoptic JSON, or the output folder of a run.

    What custom files often lack is allowed to be missing: images, isthing, iscrowd, area.

    Args:
        path: the JSON, or a folder with a ``panoptic.json``.
        png_dir: folder of the PNGs; by default the JSON's path without its ending.
        default_space: categories of a JSON that has none.

    Raises:
        CocoFormatError: the file or the folder is missing, or an entry is wrong; the message
            names the entry and its field.
    """
    path, png_dir = find_panoptic_json(to_path(path)), to_path(png_dir)
    try:
        content: _PanopticFile = read_json(path, _PanopticFile, "COCO panoptic JSON")
    except CocoFormatError as err:
        refuse_other(path, err)
    png_dir = find_png_dir(path, png_dir, content.annotations)
    records = content.categories
    if records is not None:
        own_space = make_own_space(records, path)
        space = identify_space(own_space.categories) or own_space
    elif default_space is not None:
        own_space, space = None, default_space
    else:
        raise CocoFormatError(f"{path}: there is no 'categories'")
    annotations = _check_annotations(path, content.annotations, own_space or space)
    return PanopticDataset(
        path=path,
        png_dir=png_dir,
        space=space,
        images=_index(path, "images", content.images),
        annotations=_index(path, "annotations", annotations),
        assumed_things=tuple(r.category_id for r in records or () if r.isthing is None),
        own_space=own_space,
    )


def _check_annotations(
    path: Path, annotations: Sequence[AnnotationRecord], space: LabelSpace
) -> Sequence[AnnotationRecord]:
    """The annotations with their category ids as in memory.

    Raises:
        CocoFormatError: a PNG lies outside the folder or is of two images, or the JSON lacks a
            category.
    """
    known = {category.file_id for category in space.categories}
    owners: dict[str, ImageId] = {}
    for annotation in annotations:
        owner = owners.setdefault(annotation.file_name, annotation.image_id)
        if owner != annotation.image_id:
            raise CocoFormatError(
                f"{path}: {annotation.file_name!r} is the PNG of image_id {owner!r} and of "
                f"{annotation.image_id!r}; each image has its own"
            )
        if leads_out(annotation.file_name):
            raise CocoFormatError(
                f"{path}, image_id {annotation.image_id!r}: file_name {annotation.file_name!r} "
                "is no path inside the folder of PNGs"
            )
        unknown = {segment.category_id for segment in annotation.segments_info} - known
        if unknown:
            first = next(s for s in annotation.segments_info if s.category_id in unknown)
            raise CocoFormatError(
                f"{path}, image_id {annotation.image_id!r}: segment {first.segment_id} has "
                f"category_id {first.category_id}, which is not in the categories"
            )
    return [_rename_zero(a) for a in annotations] if space.has_zero else annotations


def _rename_zero(annotation: AnnotationRecord) -> AnnotationRecord:
    """An annotation whose segments of category 0 have its id in memory."""
    segments = tuple(
        s if s.category_id else msgspec.structs.replace(s, category_id=ID_OF_ZERO)
        for s in annotation.segments_info
    )
    return msgspec.structs.replace(annotation, segments_info=segments)


def _index(path: Path, what: str, records: Sequence[Record]) -> dict[ImageId, Record]:
    """Records by image_id; CocoFormatError where one stands twice."""
    by_id = {record.image_id: record for record in records}
    if len(by_id) < len(records):
        (image_id, _), *_ = Counter(record.image_id for record in records).most_common(1)
        raise CocoFormatError(f"{path}, {what}: image_id {image_id!r} stands twice")
    return by_id


def write_panoptic_json(
    path: StrPath,
    images: Iterable[ImageRecord],
    annotations: Iterable[Mapping[str, Any]],
    space: LabelSpace,
) -> None:
    """Write a panoptic JSON entry by entry; the file appears whole or not at all.

    Args:
        path: where to; the PNGs belong in the folder of that name without its ending.
        images: in the order to be written; read before the first annotation.
        annotations: as `annotation_to_json` makes them, in the same order.
        space: the categories.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full.
        TypeError: an entry holds what JSON cannot, such as a NumPy number.
    """
    with open_whole(to_path(path)) as file:
        file.write(b'{"images":[')
        _write_entries(file, images)
        file.write(b'],\n"annotations":[')
        _write_entries(file, annotations)
        file.write(b'],\n"categories":[')
        _write_entries(file, list_categories(space))
        file.write(b"]}\n")


def _write_entries(file: BinaryIO, entries: Iterable[Any]) -> None:
    """Write entries one per line, so that two files can be compared line by line."""
    before = b"\n"
    for entry in entries:
        file.write(before + msgspec.json.encode(entry))
        before = b",\n"


def annotation_to_json(
    image_id: ImageId, file_name: str, segments_info: Iterable[SegmentInfo]
) -> dict[str, Any]:
    """One image's segments as an entry of ``annotations``; file_name is the PNG's."""
    return {
        "image_id": image_id,
        "file_name": file_name,
        "segments_info": [segment_to_json(segment) for segment in segments_info],
    }


def segment_to_json(segment: SegmentInfo) -> dict[str, Any]:
    """A segment as an entry of ``segments_info``, in plain numbers that JSON can write.

    >>> segment_to_json(SegmentInfo(1, 17, area=6, bbox=(0, 1, 3, 2), score=0.9))
    {'id': 1, 'category_id': 17, 'area': 6, 'bbox': [0, 1, 3, 2], 'iscrowd': 0, 'score': 0.9}
    """
    return {
        "id": int(segment.segment_id),
        "category_id": id_to_file(int(segment.category_id)),
        "area": int(segment.area),
        "bbox": [int(edge) for edge in segment.bbox],
        "iscrowd": int(segment.iscrowd),
        "score": None if segment.score is None else float(segment.score),
    }


def segment_from_json(entry: Mapping[str, Any]) -> SegmentInfo:
    """The segment that `segment_to_json` wrote.

    Raises:
        CocoFormatError: a field is missing, or is no number that a segment can have.
    """
    try:
        record = msgspec.convert(entry, _OwnSegment)
    except (msgspec.ValidationError, UnicodeEncodeError) as err:
        raise CocoFormatError(f"segments_info entry {entry!r}: {err}") from err
    return SegmentInfo(
        segment_id=record.id,
        category_id=record.category_id or ID_OF_ZERO,
        area=record.area,
        bbox=record.bbox,
        iscrowd=bool(record.iscrowd),
        score=record.score,
    )
