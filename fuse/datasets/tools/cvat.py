"""CVAT for images 1.1: ``annotations.xml`` with polygons, masks and ellipses; z_order is kept.

A polygon becomes pixels as CVAT's own exports make them, by pycocotools. A mask's numbers are runs
along the rows of its box, background first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import ParseError, XMLParser  # nosec B405 - document types are refused

import numpy as np

from fuse.datasets.tools.classes import LabelOptions, NamedClass, make_classes
from fuse.datasets.tools.polygons import clip_points, list_ellipse, note_place, parse_points
from fuse.datasets.tools.shapes import Shape, ToolImage, ToolLabels, crop_mask, place_crop
from fuse.datasets.truth import PACKED
from fuse.errors import DataError, describe_size
from fuse.findings import Note
from fuse.io.files import refuse_special
from fuse.labels.colors import Color
from fuse.ops.outlines import draw_edges
from fuse.types import BoolArray

HINT = "give annotations.xml of an export as 'CVAT for images 1.1'"
VERSIONS = ("1.0", "1.1")  # the first lacks z_order only
CHUNK = 2**20
LARGEST_BOX = 4  # of a mask, in areas of its image
AREAS = ("polygon", "mask", "ellipse")
NO_AREA = ("box", "polyline", "points", "cuboid", "skeleton", "tag")

Attributes = Mapping[str, str]


@dataclass(slots=True)
class _Image:
    attributes: Attributes
    shapes: list[tuple[str, Attributes]] = field(default_factory=list)


class _Target:
    """Takes the elements of an export one by one; no tree is made."""

    def __init__(self) -> None:
        self.images: list[_Image] = []
        self.labels: dict[str, Color | None] = {}
        self.version = ""
        self.is_video = False
        self.root = ""
        self._path: list[str] = []
        self._text = ""
        self._label = ""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Exports have none; hostile files define entities in it."""
        raise DataError(f"the XML has a document type ({name!r}), which no export of CVAT has")

    def start(self, tag: str, attributes: Attributes) -> None:
        """An element begins."""
        self.root = self.root or tag
        self._path.append(tag)
        self._text = ""
        if tag == "image":
            self.images.append(_Image(dict(attributes)))
        elif tag == "track":
            self.is_video = True
        elif len(self._path) == 3 and self._path[1] == "image":
            shape = dict(attributes)
            if "label" in shape:
                shape["label"] = shape["label"].strip()
            self.images[-1].shapes.append((tag, shape))

    def data(self, text: str) -> None:
        """Text of an element."""
        self._text += text

    def end(self, tag: str) -> None:
        """An element ends."""
        inside = self._path[-2:]
        if inside == ["annotations", "version"]:
            self.version = self._text.strip()
        elif inside == ["label", "name"]:
            self._label = self._text.strip()
            self.labels[self._label] = None
        elif inside == ["label", "color"]:
            self.labels[self._label] = _parse_color(self._text.strip())
        self._path.pop()


def open_cvat(path: Path, options: LabelOptions) -> ToolLabels:
    """Read an export: the XML, or the folder that holds ``annotations.xml``.

    Raises:
        DataError: it is no such file; the message names what is wrong and where.
    """
    path = path / "annotations.xml" if path.is_dir() else path
    found = _parse(path)
    used = {
        label
        for image in found.images
        for kind, shape in image.shapes
        if kind in AREAS and (label := shape.get("label"))
    }
    labels = found.labels | dict.fromkeys(sorted(used - found.labels.keys()))
    classes = [NamedClass(name, color=color) for name, color in labels.items()]
    space, notes = make_classes(classes, options, path)
    images = tuple(
        _open_image(path, place, image, space.by_name.keys())
        for place, image in enumerate(found.images)
    )
    return ToolLabels(space, images, tuple(notes))


def _parse(path: Path) -> _Target:
    target = _Target()
    parser = XMLParser(target=target)  # nosec B314 - its target refuses document types
    try:
        refuse_special(path)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                parser.feed(chunk)
        parser.close()
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror}); {HINT}") from err
    except ParseError as err:
        packed = "is packed; unpack it, and" if path.suffix in PACKED else f"is no XML ({err});"
        raise DataError(f"{path}: {packed} {HINT}") from err
    except DataError as err:
        raise DataError(f"{path}: {err}") from err
    if target.root != "annotations":
        raise DataError(f"{path}: its root is {target.root!r}, not 'annotations'; {HINT}")
    if target.is_video:
        raise DataError(f"{path}: holds tracks, so it is 'CVAT for video'; {HINT}")
    if target.version and target.version not in VERSIONS:
        raise DataError(f"{path}: version {target.version!r} is not known; {HINT}")
    if not target.images:
        raise DataError(f"{path}: there are no images; {HINT}")
    return target


def _parse_color(text: str) -> Color | None:
    try:
        number = int(text.removeprefix("#"), 16)
    except ValueError:
        return None
    return (number >> 16 & 255, number >> 8 & 255, number & 255) if len(text) == 7 else None


def _open_image(path: Path, place: int, image: _Image, known: Any) -> ToolImage:  # noqa: ANN401
    where = f"{path}, image {place}"
    try:
        name = image.attributes["name"]
        size = int(image.attributes["height"]), int(image.attributes["width"])
    except (KeyError, ValueError) as err:
        raise DataError(f"{where}: name, width or height is missing or no number ({err})") from err
    if min(size) < 1:
        raise DataError(f"{where}: it is {describe_size(size)}")
    stem = PurePosixPath(name).with_suffix("").as_posix()
    read = partial(_read_shapes, f"{path}, image {name!r}", image, size)
    return ToolImage(stem, name, size, read)


def _read_shapes(
    where: str, image: _Image, size: tuple[int, int]
) -> tuple[list[Shape], list[Note]]:
    shapes: list[Shape] = []
    notes: list[Note] = []
    for place, (kind, attributes) in enumerate(image.shapes):
        place_name = f"{where}, {kind} {place}"
        try:
            found, more = _make_shape(kind, attributes, size, place_name)
        except (KeyError, ValueError) as err:
            reason = f"no {err}" if isinstance(err, KeyError) else err
            raise DataError(f"{place_name}: cannot be read ({reason})") from err
        shapes += found
        notes += more
    return shapes, notes


def _make_shape(
    kind: str, attributes: Attributes, size: tuple[int, int], where: str
) -> tuple[list[Shape], list[Note]]:
    if kind in NO_AREA:
        return [], [Note("label-box" if kind == "box" else "label-no-area", where)]
    if kind not in AREAS:
        raise DataError(f"{where}: the element {kind!r} is not known")
    notes: list[Note] = []
    if kind == "mask":
        mask, notes = _read_mask(attributes, size, where)
    elif kind == "ellipse":
        center = np.array([float(attributes["cx"]), float(attributes["cy"])])
        radii = float(attributes["rx"]), float(attributes["ry"])
        corners = list_ellipse(center, radii, float(attributes.get("rotation", 0)))
        notes = [Note("label-filled", where), *note_place(corners, size, where)]
        mask = draw_edges([clip_points(corners, size)], size)
    else:
        points = parse_points(attributes["points"])
        if len(points) < 3:
            return [], [Note("polygon-short", where)]
        notes = note_place(points, size, where)
        mask = draw_edges([clip_points(points, size)], size)
    group = attributes.get("group_id")
    label = attributes["label"]
    if not label.strip():
        raise ValueError("its label has no name")
    found, more = crop_mask(
        label,
        mask,
        where,
        z=int(attributes.get("z_order", 0)),
        group=None if group in (None, "0") else group,
    )
    return found, [*notes, *more]


def _read_mask(
    attributes: Attributes, size: tuple[int, int], where: str
) -> tuple[BoolArray, list[Note]]:
    """A mask over the image, and a note where its box reaches out of it."""
    left, top, width, height = (int(attributes[key]) for key in ("left", "top", "width", "height"))
    counts = np.array([int(number) for number in attributes["rle"].split(",")], dtype=np.int64)
    if width < 1 or height < 1 or (counts < 0).any() or counts.sum() != width * height:
        raise ValueError(f"its runs are of {int(counts.sum())} pixels, its box of {width * height}")
    if width * height > LARGEST_BOX * size[0] * size[1]:
        raise ValueError("its box is far larger than the image")
    crop = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
    mask, is_cut = place_crop(crop, (top, left), size)
    return mask, [Note("label-outside", where)] if is_cut else []
