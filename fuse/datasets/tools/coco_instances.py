"""COCO instances, alone or over semantic labels: a stuff JSON, or a folder of label PNGs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NoReturn

import msgspec
import numpy as np

from fuse.datasets.tools.classes import LabelOptions, NamedClass, make_classes
from fuse.datasets.tools.semantic_png import read_classes
from fuse.datasets.tools.shapes import (
    Shape,
    ToolImage,
    ToolLabels,
    crop_mask,
    decode_mask,
)
from fuse.errors import CocoFormatError, ConfigError, DataError, describe_misfit
from fuse.findings import Note
from fuse.io.coco.categories import GREY, CategoryRecord, Flag, make_space
from fuse.io.coco.panoptic import ImageId, ImageRecord
from fuse.io.coco.shapes import encode_shape, lies_off, read_bbox, read_shape
from fuse.io.json_toml import read_json
from fuse.io.png import read_png_header
from fuse.types import Int32Array, LabelSpace

MAX_COORDINATE_OVER = 1.0  # pixels that a polygon may reach out, as rounding does


class _AnnotationRecord(msgspec.Struct):
    image_id: ImageId
    category_id: int
    segmentation: msgspec.Raw = msgspec.Raw(b"null")
    bbox: msgspec.Raw = msgspec.Raw(b"null")
    iscrowd: Flag = 0


class _PanopticRecord(msgspec.Struct):
    segments_info: msgspec.Raw


class _PanopticFile(msgspec.Struct):
    annotations: list[_PanopticRecord]


class _InstancesFile(msgspec.Struct):
    images: list[ImageRecord]
    annotations: list[_AnnotationRecord]
    categories: list[CategoryRecord]


Entries = dict[ImageId, list[tuple[int, _AnnotationRecord]]]


def open_coco_instances(path: Path, options: LabelOptions) -> ToolLabels:
    """Read an instance JSON, and semantic labels of the same images where they are named.

    Raises:
        DataError: an image has no size, ids of the two clash, or an entry is wrong.
        ConfigError: label PNGs are given without a label space.
    """
    content = _read_instances(path)
    classes = _list_classes(content, path)
    stuff: _InstancesFile | None = None
    if options.semantic and options.semantic.is_file():
        stuff = read_json(options.semantic, _InstancesFile, "stuff JSON of COCO")
        classes = _join_classes(classes, _list_classes(stuff, options.semantic, False), options)
    elif options.semantic and not options.label_space:
        raise ConfigError("label PNGs have no names; give --label-space NAME|FILE.csv")
    space, notes = make_classes(classes, options, path)
    names = {record.category_id: record.name for record in content.categories}
    entries = _sort_entries(content, names.keys(), path)
    stuff_names = {r.category_id: r.name for r in stuff.categories} if stuff else {}
    stuff_entries: Entries = {}
    if stuff and options.semantic:
        by_name = {image.file_name: image.image_id for image in content.images}
        same = {i.image_id: by_name.get(i.file_name, i.image_id) for i in stuff.images}
        found = _sort_entries(stuff, stuff_names.keys(), options.semantic)
        stuff_entries = {same.get(i, i): listed for i, listed in found.items()}
    images = []
    for record in sorted(content.images, key=lambda record: record.file_name):
        if not record.height or not record.width:
            raise DataError(f"{path}: image {record.file_name!r} has no height and width")
        size = record.height, record.width
        own = entries.get(record.image_id, [])
        read = partial(_read_shapes, path, own, names, size)
        base = None
        if stuff and options.semantic:
            below = stuff_entries.get(record.image_id, [])
            where = options.semantic
            base = partial(_read_stuff, where, below, stuff_names, size, record.file_name)
        elif options.semantic:
            base = partial(_read_pngs, options.semantic, record.file_name, options.values, size)
        images.append(ToolImage(record.image_id, record.file_name, size, read, base))
    return ToolLabels(space, tuple(images), tuple(notes))


def _read_instances(path: Path) -> _InstancesFile:
    try:
        content: _InstancesFile = read_json(path, _InstancesFile, "JSON of COCO instances")
    except CocoFormatError as err:
        with suppress(CocoFormatError):
            if read_json(path, _PanopticFile, "").annotations:
                raise DataError(f"{path} is panoptic already; give it as it is") from err
        raise
    return content


def _list_classes(
    content: _InstancesFile, path: Path, isthing: bool | None = None
) -> list[NamedClass]:
    """The categories; what they are is looked up in the shipped label spaces."""
    known = {c.name: c for c in make_space(content.categories, path).categories}
    classes = []
    for record in content.categories:
        category = known.get(record.name)
        color = category.color if category and category.color != GREY else None
        kind = isthing if isthing is not None or record.isthing is None else bool(record.isthing)
        classes.append(NamedClass(record.name, record.category_id, color, kind))
    shipped = make_space(content.categories, path)
    if shipped.name != path.stem:  # COCO's own categories
        classes = [
            replace(c, isthing=shipped.by_name[c.name].isthing) if c.isthing is None else c
            for c in classes
        ]
    return classes


def _join_classes(
    instances: Sequence[NamedClass], stuff: Sequence[NamedClass], options: LabelOptions
) -> list[NamedClass]:
    """The classes of both files; one that both have is what the instances say."""
    joined = {one.name: one for one in instances}
    by_id = {one.category_id: one.name for one in instances}
    for one in stuff:
        other = by_id.get(one.category_id)
        if other is not None and other != one.name and not options.label_space:
            raise DataError(
                f"{options.semantic}: category id {one.category_id} is {one.name!r} there and "
                f"{other!r} among the instances; renumber one, or give --label-space"
            )
        joined.setdefault(one.name, one)
    return list(joined.values())


def _sort_entries(content: _InstancesFile, known: object, path: Path) -> Entries:
    """Annotations by image, each with its place in the file."""
    known_ids = set(known)  # type: ignore[call-overload]
    counted = Counter(image.image_id for image in content.images)
    twice = next((image_id for image_id, count in counted.items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{path}: two images have the id {twice!r}; renumber them")
    image_ids = set(counted)
    entries: Entries = defaultdict(list)
    for place, entry in enumerate(content.annotations):
        if entry.image_id not in image_ids:
            other = next((i for i in image_ids if str(i) == str(entry.image_id)), None)
            hint = "" if other is None else f", where it is {other!r}; write both as one"
            _refuse(path, place, f"image_id {entry.image_id!r} is not in 'images'{hint}")
        if entry.category_id not in known_ids:
            _refuse(path, place, f"category_id {entry.category_id} is not in 'categories'")
        entries[entry.image_id].append((place, entry))
    return dict(entries)


def _refuse(path: Path, place: int, reason: str, cause: Exception | None = None) -> NoReturn:
    raise DataError(f"{path}, annotation {place}: {reason}") from cause


def _decode(
    path: Path, place: int, entry: _AnnotationRecord, size: tuple[int, int]
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None, list[Note]]:
    """The mask of an annotation; None and a note where it has none."""
    where = f"{path}, annotation {place}"
    if bytes(entry.segmentation) in (b"null", b"[]", b"{}"):
        return None, [Note("label-box", where)]
    try:
        shape = read_shape(entry.segmentation)
        notes = []
        if isinstance(shape, tuple):
            whole = tuple(polygon for polygon in shape if len(polygon) >= 6)
            if len(whole) < len(shape):
                notes.append(Note("polygon-short", where, len(shape) - len(whole)))
            if not whole:
                return None, notes
            shape = whole
            limits = (size[1] + MAX_COORDINATE_OVER, size[0] + MAX_COORDINATE_OVER)
            if any(_is_outside(polygon, limits) for polygon in shape):
                notes.append(Note("label-outside", where))
            elif all(0 <= number <= 1 for polygon in shape for number in polygon):
                notes.append(Note("label-in-first-pixel", where))
        rle = encode_shape(shape, size)
        with suppress(ValueError):  # a box is not needed
            if lies_off(rle, read_bbox(entry.bbox)):
                notes.append(Note("label-off-box", where))
        return decode_mask(rle), notes
    except ValueError as err:
        _refuse(path, place, f"segmentation: {err}", err)


def _is_outside(polygon: Sequence[float], limits: tuple[float, float]) -> bool:
    over = MAX_COORDINATE_OVER
    return min(polygon) < -over or max(polygon[::2]) > limits[0] or max(polygon[1::2]) > limits[1]


def _read_shapes(
    path: Path,
    entries: list[tuple[int, _AnnotationRecord]],
    names: dict[int, str],
    size: tuple[int, int],
) -> tuple[list[Shape], list[Note]]:
    shapes: list[Shape] = []
    notes: list[Note] = []
    for place, entry in entries:
        mask, more = _decode(path, place, entry, size)
        notes += more
        if mask is None:
            continue
        where = f"{path}, annotation {place}"
        found, more = crop_mask(names[entry.category_id], mask, where, iscrowd=bool(entry.iscrowd))
        shapes += found
        notes += more
    return shapes, notes


def _read_stuff(
    path: Path,
    entries: list[tuple[int, _AnnotationRecord]],
    names: dict[int, str],
    size: tuple[int, int],
    file_name: str,
    space: LabelSpace,
) -> tuple[Int32Array, list[Note]]:
    """The classes of a stuff JSON; of two that overlap the smaller keeps the pixels."""
    label_map = np.zeros(size, dtype=np.int32)
    notes: list[Note] = [] if entries else [Note("semantic-missing", file_name)]
    masks = []
    for place, entry in entries:
        mask, more = _decode(path, place, entry, size)
        notes += more
        if mask is not None:
            masks.append((int(np.count_nonzero(mask)), place, entry.category_id, mask))
    for _, _, category_id, mask in sorted(masks, key=lambda one: (-one[0], one[1])):
        label_map[mask] = space.by_name[names[category_id]].category_id
    return drop_things(label_map, space, notes, file_name)


def _read_pngs(
    folder: Path, file_name: str, values: str, size: tuple[int, int], space: LabelSpace
) -> tuple[Int32Array, list[Note]]:
    name = PurePosixPath(file_name).with_suffix(".png")
    path = next((p for p in (folder / name, folder / name.name) if p.is_file()), None)
    if path is None:
        return np.zeros(size, dtype=np.int32), [Note("semantic-missing", file_name)]
    found = read_png_header(path).size
    if found != size:
        raise DataError(describe_misfit(str(path), found, "its image", size))
    label_map, notes = read_classes(path, space, values)
    return drop_things(label_map, space, notes, file_name)


def drop_things(
    label_map: Int32Array, space: LabelSpace, notes: list[Note], file_name: str
) -> tuple[Int32Array, list[Note]]:
    """A label map without things, which instances alone can tell apart."""
    is_thing = np.isin(label_map, space.thing_ids)
    if is_thing.any():
        notes.append(Note("thing-without-object", file_name, int(np.count_nonzero(is_thing))))
    return np.where(is_thing, 0, label_map).astype(np.int32), notes
