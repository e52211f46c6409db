"""labelme: a JSON beside each image; polygons, rectangles, circles and masks.

Its own way from a shape to pixels is followed: Pillow draws the polygon with its outline, corners
cut to whole pixels (`labelme.utils.shape_to_mask`); a mask's corners are its first and last pixel.
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from fuse.datasets.tools.beside import ImageFolders
from fuse.datasets.tools.classes import LabelOptions, NamedClass, make_classes
from fuse.datasets.tools.polygons import clip_points, list_ellipse, note_place
from fuse.datasets.tools.shapes import Shape, ToolImage, ToolLabels, crop_mask, place_crop
from fuse.datasets.truth import list_folder
from fuse.errors import DataError, describe_misfit
from fuse.findings import Note
from fuse.io.images import read_image_size
from fuse.io.json_toml import read_json
from fuse.io.png import decode_grey
from fuse.ops.outlines import draw_centres
from fuse.types import BoolArray

WHAT = "labelme JSON, as all in the folder must be"
HINT = "give the folder in which labelme wrote a JSON per image"
NEWEST = 6  # major version; none of that number is known
NO_AREA = ("point", "points", "line", "linestrip")
FILLED = ("rectangle", "circle")
# Of labelme 5.9 and of X-AnyLabeling, which writes labelme's JSON: given by their corners.
CORNERS = ("polygon", "oriented_rectangle", "rotation")
IGNORED_LABEL = "__ignore__"  # labelme's own name for void


class _ShapeRecord(msgspec.Struct):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    group_id: int | str | None = None
    mask: str | None = None


class _LabelmeFile(msgspec.Struct):
    shapes: list[_ShapeRecord]
    imagePath: str = ""  # noqa: N815 - as in the file
    imageHeight: int | None = None  # noqa: N815
    imageWidth: int | None = None  # noqa: N815
    imageData: str | None = None  # noqa: N815
    version: str | None = None


def open_labelme(path: Path, options: LabelOptions) -> ToolLabels:
    """Find the labels of a folder, also below it.

    Raises:
        DataError: there is none, or a file is wrong; the message names the file and the shape.
    """
    files = list_folder(path, "**/*.json", HINT)
    folders, images, labelled = ImageFolders(), [], []
    for file in files:
        content = _read(file)
        beside = _find_image(content, file, path, options.images, folders)
        images.append(_open_image(path, file, content, beside))
        labelled.append(beside)
    labels = {label for file in files for label in _list_labels(file)} - {IGNORED_LABEL}
    classes = [NamedClass(name) for name in sorted(labels)]
    space, notes = make_classes(classes, options, path)
    return ToolLabels(space, tuple(images), (*notes, *folders.note_unlabelled(labelled)))


def _read(path: Path) -> _LabelmeFile:
    content: _LabelmeFile = read_json(path, _LabelmeFile, WHAT)
    major = (content.version or "0").split(".")[0]
    if not major.isdigit() or int(major) > NEWEST:
        raise DataError(f"{path}: labelme version {content.version!r} is not known")
    return content


def _list_labels(path: Path) -> list[str]:
    """The labels of a file, each shape's."""
    labels = [record.label for record in _read(path).shapes]
    for place, label in enumerate(labels):
        if not label.strip():
            raise DataError(f"{path}, shape {place}: the shape has no label; name it in labelme")
    return labels


def _image_name(content: _LabelmeFile, path: Path, folder: Path) -> PurePosixPath:
    """The image's name, in the place of its JSON below the folder."""
    below = PurePosixPath(path.relative_to(folder).as_posix())
    name = PurePosixPath(content.imagePath.replace("\\", "/")).name
    return below.parent / (name or below.with_suffix(".jpg").name)


def _find_image(
    content: _LabelmeFile, path: Path, folder: Path, images: Path | None, folders: ImageFolders
) -> Path:
    """Where the image is looked for: in --images, where the JSON says, or beside the JSON.

    The last, which need not be there, where it is nowhere.
    """
    name = _image_name(content, path, folder)
    if images:
        return folders.find_named(images / name)
    said = path.parent / content.imagePath.replace("\\", "/")
    return said if said.is_file() else folders.find_named(path.parent / name.name)


def _open_image(folder: Path, path: Path, content: _LabelmeFile, beside: Path) -> ToolImage:
    size = _find_size(content, path, beside)
    stem = path.relative_to(folder).with_suffix("").as_posix()
    name = _image_name(content, path, folder).as_posix()
    return ToolImage(stem, name, size, partial(_load, path, size))


def _find_size(content: _LabelmeFile, path: Path, image: Path) -> tuple[int, int]:
    """(height, width) as the file says, or of the image inside it, or beside it.

    Raises:
        DataError: the image beside it is of another size than the file says.
    """
    if content.imageHeight and content.imageWidth:
        size = content.imageHeight, content.imageWidth
        if image.is_file() and (found := read_image_size(image)) != size:
            raise DataError(
                f"{describe_misfit(str(path), size, str(image), found)}; label that image, or give "
                "the folder of the right ones by --images"
            )
        return size
    if content.imageData:
        try:
            return read_image_size(path, base64.b64decode(content.imageData))
        except binascii.Error as err:
            raise DataError(f"{path}: imageData is no base64 ({err})") from err
    if not image.is_file():
        raise DataError(
            f"{path} does not say how large its image is, and {image} is not there; put it there, "
            "or give the folder of the images by --images"
        )
    return read_image_size(image)


def _load(path: Path, size: tuple[int, int]) -> tuple[list[Shape], list[Note]]:
    shapes: list[Shape] = []
    notes: list[Note] = []
    for place, record in enumerate(_read(path).shapes):
        where = f"{path}, shape {place}"
        if record.label == IGNORED_LABEL:
            continue
        try:
            found, more = _make_shape(record, size, where)
        except ValueError as err:
            raise DataError(f"{where}: {err}") from err
        shapes += found
        notes += more
    return shapes, notes


def _make_shape(
    record: _ShapeRecord, size: tuple[int, int], where: str
) -> tuple[list[Shape], list[Note]]:
    kind = record.shape_type or "polygon"
    points = np.array(record.points, dtype=np.float64).reshape(-1, 2)
    if kind in NO_AREA:
        return [], [Note("label-no-area", f"{where} ({kind})")]
    if kind in CORNERS and len(points) < 3:
        return [], [Note("polygon-short", where)]
    if kind in FILLED and len(points) != 2:
        raise DataError(f"{where}: a {kind} has two points, not {len(points)}")
    notes = [Note("label-filled", f"{where} ({kind})")] if kind in FILLED else []
    if kind == "mask":
        mask, more = _read_mask(record, points, size, where)
        notes += more
    elif kind in (*CORNERS, *FILLED):
        corners = _list_corners(kind, points)
        notes += note_place(corners, size, where)
        mask = draw_centres([clip_points(corners, size)], size)
    else:
        raise DataError(f"{where}: shape_type {kind!r} is not known")
    found, more = crop_mask(record.label, mask, where, group=record.group_id)
    return found, notes + more


def _list_corners(kind: str, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if kind in CORNERS:
        return points
    first, second = points
    if kind == "rectangle":
        (x1, y1), (x2, y2) = np.minimum(first, second), np.maximum(first, second)
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    with np.errstate(over="ignore"):
        radius = float(np.hypot(*(second - first)))
    return list_ellipse(first, (radius, radius))


def _read_mask(
    record: _ShapeRecord, points: np.ndarray[Any, Any], size: tuple[int, int], where: str
) -> tuple[BoolArray, list[Note]]:
    """A mask, which is a PNG in base64, at its place; a note where it reaches out."""
    if record.mask is None or len(points) != 2:
        raise DataError(f"{where}: a mask has two points and the picture 'mask'")
    try:
        crop = decode_grey(base64.b64decode(record.mask, validate=True)) > 0
    except (binascii.Error, ValueError) as err:
        raise DataError(f"{where}: the mask cannot be read ({err})") from err
    left, top = np.floor(points[0]).astype(int).tolist()
    mask, is_cut = place_crop(crop, (top, left), size)
    return mask, [Note("label-outside", where)] if is_cut else []
