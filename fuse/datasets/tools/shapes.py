"""What tools draw, as masks of one kind; and how these become the segments of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from pycocotools import mask as coco_mask

from fuse.datasets.truth import NotedTruth, SegmentKind, make_truth
from fuse.errors import DataError, describe_size
from fuse.findings import Fault, Note, sum_notes
from fuse.io.coco.panoptic import ImageId
from fuse.ops.segments import label_parts
from fuse.types import MAX_PIXELS, BoolArray, Int32Array, LabelSpace

FAULTS = {
    "kinds-assumed": Fault(
        "classes that nobody calls things or stuff",
        "taken as things; say otherwise by --things, --stuff or --label-space",
    ),
    "stuff-assumed": Fault(
        "classes of label PNGs that nobody calls things or stuff",
        "taken as stuff; say otherwise by --things or --label-space",
    ),
    "overlap-by-order": Fault(
        "pixels that several labels claim", "the label on top in the tool keeps them"
    ),
    "overlap-by-size": Fault(
        "pixels that several labels claim", "the smaller label keeps them, as if it lay on top"
    ),
    "label-covered": Fault("labels wholly covered by others", "gone"),
    "label-outside": Fault("labels that reach out of their image", "cut at its border"),
    "label-in-first-pixel": Fault(
        "polygons in the first pixel of their image",
        "taken as they are; points are pixels, not shares of the image",
    ),
    "label-off-box": Fault(
        "masks that lie outside of their own bbox",
        "the masks are taken; an RLE counts along columns, from the top, not along rows",
    ),
    "classes-alike": Fault(
        "classes whose names are those of others but for case and blanks",
        "kept apart; make one of them in the tool, if they are",
    ),
    "label-empty": Fault("labels without a pixel in their image", "left out"),
    "label-box": Fault("boxes", "left out: a box is no mask; draw or export masks or polygons"),
    "label-no-area": Fault(
        "points, lines and other marks without a mask", "left out, as they have no area"
    ),
    "label-filled": Fault("rectangles, circles and ellipses", "taken as filled regions"),
    "polygon-short": Fault("polygons of fewer than three points", "left out"),
    "color-unknown": Fault("pixels of colours that are in no map", "read as void"),
    "zero-as-void": Fault(
        "pixels of value 0, which is no class",
        "read as void; if the numbers are rows of a net, say --values class-index",
    ),
    "thing-without-object": Fault(
        "semantic pixels of things", "left to the instances, void where there is none"
    ),
    "objects-by-part": Fault(
        "images without colours of objects (SegmentationObject)",
        "each connected part of a thing is taken as an object, so things that touch are one",
    ),
    "semantic-missing": Fault("images without semantic labels", "of instances alone"),
    "image-unlabelled": Fault("images that nobody has labelled", "left out"),
    "several-annotations": Fault(
        "images with annotations by several people", "the first that was not cancelled is taken"
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One region that somebody drew.

    Attributes:
        label: name of its class.
        crop: bool (h, w), its pixels inside the image.
        corner: (y, x) of the crop's first pixel.
        z: place in a stack that the tool keeps, higher is on top; None where it keeps none.
        group: shapes of one label and group are one object; None for an object of its own.
        iscrowd: whether it is a group of objects.
    """

    label: str
    crop: BoolArray
    corner: tuple[int, int]
    z: float | None = None
    group: int | str | None = None
    iscrowd: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ToolImage:
    """One labelled image.

    Attributes:
        image_id: the tool's, or the name without its ending.
        file_name: of the image, with ``/``.
        size: (height, width); no larger than images that can be read.
        read: its shapes from the bottom up, and what is to be known of them.
        base: category ids below all shapes, int32 (H, W), 0 = void; for tools with label maps.
    """

    image_id: ImageId
    file_name: str
    size: tuple[int, int]
    read: Callable[[], tuple[list[Shape], list[Note]]]
    base: Callable[[LabelSpace], tuple[Int32Array, list[Note]]] | None = None

    def __post_init__(self) -> None:
        height, width = self.size
        if not 0 < height * width <= MAX_PIXELS or height < 1:
            raise DataError(
                f"image {self.file_name!r} is said to be {describe_size(self.size)}; between 1 and "
                f"{MAX_PIXELS:,} pixels can be read"
            )


@dataclass(frozen=True, slots=True, eq=False)
class ToolLabels:
    """A project of a tool, ready to be converted image by image.

    Attributes:
        space: its classes.
        images: in the order of their names.
        notes: on the project as a whole.
    """

    space: LabelSpace
    images: tuple[ToolImage, ...]
    notes: tuple[Note, ...] = ()


def refuse_nothing(path: Path, notes: Iterable[Note]) -> NoReturn:
    """Raise a DataError that says why nothing of a tool's labels is left."""
    lost = [n for n in notes if n.code not in ("kinds-assumed", "stuff-assumed")]
    reasons = [
        f"{f.count} {f.problem}, first {f.first}: {f.action}" for f in sum_notes(lost, FAULTS)
    ]
    raise DataError(
        f"{path}: no label with a mask is left; {'. '.join(reasons) or 'none is there'}"
    )


def crop_mask(
    label: str,
    mask: np.ndarray[Any, Any],
    where: str,
    *,
    z: float | None = None,
    group: int | str | None = None,
    iscrowd: bool = False,
) -> tuple[list[Shape], list[Note]]:
    """The shape of a mask over the whole image; a note instead where it is empty."""
    found = np.asarray(mask, dtype=np.bool_)
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    if not len(rows):
        return [], [Note("label-empty", where)]
    top, left = int(rows[0]), int(columns[0])
    crop = np.ascontiguousarray(found[top : rows[-1] + 1, left : columns[-1] + 1])
    return [Shape(label, crop, (top, left), z, group, iscrowd)], []


def list_parts(label_map: Int32Array, space: LabelSpace) -> list[Shape]:
    """Each connected part of a thing as an object, where nothing else tells objects apart.

    Args:
        label_map: category ids, (H, W), 0 = void.
        space: says what is a thing.
    """
    return [
        Shape(space.by_id[category_id].name, crop, corner)
        for category_id in np.intersect1d(label_map, space.thing_ids).tolist()
        for crop, corner in label_parts(label_map == category_id)
    ]


def place_crop(
    crop: BoolArray, corner: tuple[int, int], size: tuple[int, int]
) -> tuple[BoolArray, bool]:
    """A crop at its (y, x) in a mask of (height, width), and whether a part of it lies outside."""
    (top, left), (height, width) = corner, crop.shape
    mask = np.zeros(size, dtype=np.bool_)
    y1, x1 = max(top, 0), max(left, 0)
    y2, x2 = min(top + height, size[0]), min(left + width, size[1])
    if y2 > y1 and x2 > x1:
        mask[y1:y2, x1:x2] = crop[y1 - top : y2 - top, x1 - left : x2 - left]
    return mask, (y1, x1, y2, x2) != (top, left, top + height, left + width)


def decode_mask(rle: dict[str, Any]) -> BoolArray:
    """The mask of a compressed RLE: bool (H, W)."""
    mask: BoolArray = coco_mask.decode(rle).astype(np.bool_)
    return mask


def paint_shapes(image: ToolImage, space: LabelSpace) -> NotedTruth:
    """The ground truth of an image: shapes painted one over the other, then made segments.

    Where the tool keeps a stack, that is the order; else crowds come first, then large before
    small. All shapes of a stuff class are one segment, and so are the crowds of a class.
    """
    shapes, notes = image.read()
    notes = list(notes)
    codes = np.zeros(image.size, dtype=np.int32)
    kinds: dict[int, SegmentKind] = {}
    if image.base:
        label_map, more = image.base(space)
        notes += more
        codes, kinds = _number_classes(label_map)
    claimed = np.zeros(image.size, dtype=np.bool_)
    overlap = 0
    painted: list[tuple[int, list[Shape]]] = []
    objects = _group_objects(shapes, space)
    for number, (category_id, iscrowd, parts) in enumerate(objects, start=len(kinds) + 1):
        is_joined = iscrowd or not space.by_id[category_id].isthing
        code = _find_code(kinds, category_id, iscrowd, number) if is_joined else number
        kinds[code] = SegmentKind(code, category_id, iscrowd)
        overlap += _paint(codes, claimed, code, parts)
        painted.append((code, parts))
    if overlap:
        ordered = any(shape.z is not None for shape in shapes)
        fault = "overlap-by-order" if ordered else "overlap-by-size"
        notes.append(Note(fault, image.file_name, overlap))
        notes += [
            Note("label-covered", f"{image.file_name}, {parts[0].label!r}")
            for code, parts in painted
            if not any((_window(codes, part)[part.crop] == code).any() for part in parts)
        ]
    return NotedTruth(make_truth(codes, kinds.get), tuple(notes))


def _number_classes(label_map: Int32Array) -> tuple[Int32Array, dict[int, SegmentKind]]:
    """A label map as codes from 1 on, 0 = void, and what each code is."""
    ids = np.union1d(np.unique(label_map), [0]).astype(np.int32)
    codes = np.searchsorted(ids, label_map).astype(np.int32)
    return codes, {n: SegmentKind(n, int(i)) for n, i in enumerate(ids.tolist()) if i}


def _window(pixels: np.ndarray[Any, Any], part: Shape) -> np.ndarray[Any, Any]:
    """A view of the pixels of an image that a shape's crop lies on."""
    (top, left), (height, width) = part.corner, part.crop.shape
    return pixels[top : top + height, left : left + width]


def _paint(codes: Int32Array, claimed: BoolArray, code: int, parts: Sequence[Shape]) -> int:
    """Paint an object over what is there; returns the pixels that others had claimed."""
    overlap = 0
    for part in parts:
        own_codes, own_claimed = _window(codes, part), _window(claimed, part)
        overlap += int(np.count_nonzero(own_claimed & part.crop & (own_codes != code)))
        own_claimed |= part.crop
        own_codes[part.crop] = code
    return overlap


def _find_code(
    kinds: dict[int, SegmentKind], category_id: int, iscrowd: bool, new_code: int
) -> int:
    """The code of the one segment that a stuff class, or a class's crowds, have; else a new one."""
    for code, kind in kinds.items():
        if (kind.category_id, kind.iscrowd) == (category_id, iscrowd):
            return code
    return new_code


def _group_objects(
    shapes: Sequence[Shape], space: LabelSpace
) -> list[tuple[int, bool, list[Shape]]]:
    """(category_id, iscrowd, shapes) of each object, in the order of painting."""
    objects: dict[tuple[str, bool, Any], list[tuple[int, Shape]]] = {}
    for place, shape in enumerate(shapes):
        group = ("own", place) if shape.group is None else ("group", shape.group)
        objects.setdefault((shape.label, shape.iscrowd, group), []).append((place, shape))
    has_stack = any(shape.z is not None for shape in shapes)

    def order(parts: list[tuple[int, Shape]]) -> tuple[Any, ...]:
        place, shape = parts[0]
        if has_stack:
            return (max(part.z or 0 for _, part in parts), place)
        area = sum(int(part.crop.sum()) for _, part in parts)
        return (not shape.iscrowd, -area, place)

    return [
        (space.by_name[label].category_id, iscrowd, [shape for _, shape in parts])
        for (label, iscrowd, _), parts in sorted(objects.items(), key=lambda pair: order(pair[1]))
    ]
