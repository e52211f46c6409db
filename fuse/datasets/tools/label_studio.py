"""Label Studio's JSON: brush masks and polygons of tasks, in its full form (not JSON-MIN).

Polygons and ellipses are in percent of the image, a brush is a code of an RGBA picture whose
alpha is the mask, a bitmask such a picture itself.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import numpy as np

from fuse.datasets.tools.classes import LabelOptions, NamedClass, make_classes
from fuse.datasets.tools.polygons import check_shares, clip_points, list_ellipse, note_place
from fuse.datasets.tools.shapes import Shape, ToolImage, ToolLabels, crop_mask, refuse_nothing
from fuse.errors import CocoFormatError, DataError, describe_misfit
from fuse.findings import Note
from fuse.io.images import list_endings
from fuse.io.json_toml import read_json
from fuse.io.png import decode_alpha
from fuse.ops.outlines import draw_edges
from fuse.ops.segment_rles import decode_brush
from fuse.types import BoolArray

HINT = "export the project as 'JSON'"
PERCENT = 100.0
BRUSH, BITMASK = "brushlabels", "bitmasklabels"
POLYGON, ELLIPSE = "polygonlabels", "ellipselabels"
AREAS = (BRUSH, BITMASK, POLYGON, ELLIPSE)
BOXES = ("rectanglelabels", "rectangle")
# The labels of regions that were drawn with a plain tag stand in a result of their own.
PLAIN = {"brush": BRUSH, "bitmask": BITMASK, "polygon": POLYGON, "ellipse": ELLIPSE}


class _Result(msgspec.Struct):
    type: str = ""
    value: dict[str, Any] = {}
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: float = 0
    id: str | int | None = None
    to_name: str = ""
    item_index: int | None = None  # of a task with a list of images
    meta: Any = None


class _MinTask(msgspec.Struct):
    """What JSON-MIN, which does not say which region is of which label, has beside the data."""

    annotation_id: int | None
    annotator: Any


class _Annotation(msgspec.Struct):
    result: list[_Result] | None = None
    was_cancelled: bool | None = False


class _Task(msgspec.Struct):
    data: dict[str, Any]
    annotations: list[_Annotation] | None = None
    predictions: list[_Annotation | int] | None = None  # some exports name them by number only
    completions: list[_Annotation] | None = None  # so called before version 1.0
    id: int | str | None = None


def open_label_studio(path: Path, options: LabelOptions) -> ToolLabels:
    """Read an export.

    Raises:
        DataError: it is no such file, or a region is wrong; the message names task and region.
    """
    tasks = _read_tasks(path)
    images, notes, labels = [], [], set()
    for place, task in enumerate(tasks):
        where = f"{path}, task {task.id if task.id is not None else place}"
        annotation, more = _choose_annotation(task, where)
        notes += more
        if annotation is None:
            continue
        results = _merge_plain(annotation.result or [])
        for number, result in enumerate(results):
            labels |= set(_list_labels(result, f"{where}, region {number}"))
        image = _open_image(task, results, where, notes)
        if image:
            images.append(image)
    if not images:
        refuse_nothing(path, notes)
    classes = [NamedClass(label) for label in sorted(labels)]
    space, more = make_classes(classes, options, path)
    return ToolLabels(space, tuple(images), (*notes, *more))


def _read_tasks(path: Path) -> list[_Task]:
    try:
        tasks: list[_Task] = read_json(path, list[_Task], f"JSON of Label Studio ({HINT})")
    except CocoFormatError as err:
        with suppress(CocoFormatError):
            if read_json(path, list[_MinTask], ""):
                raise DataError(f"{path}: this is JSON-MIN; {HINT}") from err
        raise
    return tasks


def _choose_annotation(task: _Task, where: str) -> tuple[_Annotation | None, list[Note]]:
    """What one person said of a task: annotations, else predictions of a model."""
    predicted = [one for one in task.predictions or () if isinstance(one, _Annotation)]
    made = task.annotations or task.completions or predicted
    valid = [one for one in made if not one.was_cancelled]
    if not valid:
        return None, [Note("image-unlabelled", where)]
    return valid[0], [Note("several-annotations", where)] if len(valid) > 1 else []


def _merge_plain(results: list[_Result]) -> list[_Result]:
    """Regions with the labels that stand in another result of the same id, as old exports have."""
    labels = {
        r.id: r.value["labels"] for r in results if r.type == "labels" and "labels" in r.value
    }
    merged = []
    for result in results:
        kind = PLAIN.get(result.type)
        if kind:
            result = msgspec.structs.replace(
                result, type=kind, value={**result.value, kind: labels.get(result.id, [])}
            )
        if result.type != "labels":
            merged.append(result)
    return merged


def _list_labels(result: _Result, where: str) -> list[str]:
    """The one label of a region, none for a result that is no area."""
    if result.type not in AREAS:
        return []
    labels = result.value.get(result.type)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise DataError(f"{where}: {result.type} must be a list of names; label it in the tool")
    if len(labels) != 1 or not labels[0].strip():
        raise DataError(
            f"{where}: a region has one label, this one has {labels!r}; mend it in the tool"
        )
    return labels


def _open_image(
    task: _Task, results: list[_Result], where: str, notes: list[Note]
) -> ToolImage | None:
    areas = [result for result in results if result.type in AREAS]
    if not areas:
        notes.append(Note("image-unlabelled", where))
        notes += [_note_mark(r, f"{where}, region {r.id or n}") for n, r in enumerate(results)]
        return None
    shown = sorted({(r.to_name, r.item_index or 0) for r in areas})
    if len(shown) > 1:
        raise DataError(
            f"{where}: its regions are of {len(shown)} images (of tags or places "
            f"{', '.join(f'{name} {place}' for name, place in shown[:3])}); make a task of each"
        )
    size = _find_size(areas, where)
    name = find_image_name(task.data, where, shown[0][0])
    stem = PurePosixPath(name).with_suffix("").as_posix()
    return ToolImage(stem, name, size, partial(_read, results, size, where))


def _find_size(areas: list[_Result], where: str) -> tuple[int, int]:
    """(height, width) of the image that regions were drawn on."""
    sizes = {(r.original_height, r.original_width) for r in areas}
    (height, width), *others = sizes
    if others:
        raise DataError(f"{where}: its regions were drawn on images of {len(sizes)} sizes")
    if not height or not width or min(height, width) < 1:
        raise DataError(f"{where}: its regions do not say original_width and original_height")
    return height, width


def find_image_name(data: dict[str, Any], where: str, tag: str = "") -> str:
    """The image's name out of a task's data: of a URL, an upload or a local file.

    Args:
        data: of the task; the image is what is called as the tag, or ``image``, else what ends as
            an image does, else what looks like a path.
        where: the task, for messages.
        tag: that the regions are of.

    Raises:
        DataError: there is no such name, or there are several.

    >>> find_image_name({"image": "/data/local-files/?d=a/b%20c.jpg"}, "")
    'a/b c.jpg'
    >>> find_image_name({"caption": "cats/dogs", "img": "/data/upload/3/1f0b9c2d-a.jpg"}, "")
    'a.jpg'
    """
    texts = {key: value.replace("\\", "/") for key, value in data.items() if isinstance(value, str)}
    names = {key: _find_name(text) for key, text in texts.items()}
    wanted = [key for key in (tag, "image") if key in texts][:1]
    wanted = wanted or [key for key in texts if names[key].lower().endswith(list_endings())]
    wanted = wanted or [key for key in texts if "/" in texts[key]]
    if not wanted or texts[wanted[0]].startswith("data:"):
        raise DataError(f"{where}: 'data' names no image")
    if len(wanted) > 1:
        raise DataError(f"{where}: 'data' names several images ({', '.join(wanted)})")
    return names[wanted[0]]


def _find_name(text: str) -> str:
    url = urlsplit(text)
    local = parse_qs(url.query).get("d")
    if local:
        return local[0].replace("\\", "/").lstrip("/")
    if not url.scheme and not url.path.startswith("/"):
        return unquote(url.path)
    name = PurePosixPath(unquote(url.path)).name
    head, dash, rest = name.partition("-")
    is_upload = "/upload/" in url.path and dash and len(head) == 8
    return rest if is_upload and all(c in "0123456789abcdef" for c in head) else name


def _read(
    results: list[_Result], size: tuple[int, int], where: str
) -> tuple[list[Shape], list[Note]]:
    shapes: list[Shape] = []
    notes: list[Note] = []
    for place, result in enumerate(results):
        place_name = f"{where}, region {result.id or place}"
        if result.type not in AREAS:
            notes.append(_note_mark(result, place_name))
            continue
        if result.image_rotation:
            raise DataError(
                f"{place_name}: its image was rotated in the tool; turn the file itself"
            )
        try:
            mask, more = _make_mask(result, size, place_name)
        except (KeyError, TypeError, ValueError, OverflowError) as err:
            raise DataError(f"{place_name}: cannot be read ({err})") from err
        notes += more
        if mask is not None:
            [label] = _list_labels(result, place_name)
            found, more = crop_mask(label, mask, place_name, group=_find_group(result))
            shapes += found
            notes += more
    return shapes, notes


def _note_mark(result: _Result, where: str) -> Note:
    """A note on a result that is no area."""
    code = "label-box" if result.type in BOXES else "label-no-area"
    return Note(code, f"{where} ({result.type or 'no type'})")


def _find_group(result: _Result) -> str | None:
    """What `fuse export` writes where a segment has several regions."""
    texts = result.meta.get("text") if isinstance(result.meta, dict) else None
    if isinstance(texts, list) and len(texts) == 1 and isinstance(texts[0], str):
        return texts[0]
    return None


def _make_mask(
    result: _Result, size: tuple[int, int], where: str
) -> tuple[BoolArray | None, list[Note]]:
    value = result.value
    if result.type == BRUSH:
        if value.get("format") != "rle":
            raise ValueError(f"format {value.get('format')!r} is not known, only 'rle'")
        code = np.array(value["rle"], dtype=np.uint8)
        return decode_brush(code.reshape(-1), size) > 0, []
    if result.type == BITMASK:
        return _read_bitmask(value, size), []
    scale = np.array([size[1], size[0]]) / PERCENT
    if result.type == ELLIPSE:
        center = np.array([float(value["x"]), float(value["y"])]) * scale
        radii = float(value["radiusX"]) * scale[0], float(value["radiusY"]) * scale[1]
        points = list_ellipse(center, radii, float(value.get("rotation", 0)))
        notes = [Note("label-filled", where)]
    else:
        shares = np.array(value["points"], dtype=np.float64).reshape(-1, 2)
        check_shares(shares, PERCENT)
        points, notes = shares * scale, []
    if not np.isfinite(points).all():
        raise ValueError("a point is not finite")
    if len(points) < 3:
        return None, [Note("polygon-short", where)]
    notes += note_place(points, size, where)
    return draw_edges([clip_points(points, size)], size), notes


def _read_bitmask(value: dict[str, Any], size: tuple[int, int]) -> BoolArray:
    """The mask of a PNG in a data URL; what is not transparent is the region."""
    head, _, encoded = str(value["imageDataURL"]).partition("base64,")
    if head != "data:image/png;":
        raise ValueError("imageDataURL is no PNG in base64")
    mask: BoolArray = decode_alpha(base64.b64decode(encoded, validate=True)) > 0
    if mask.shape != size:
        raise ValueError(
            describe_misfit("the bitmask", (mask.shape[0], mask.shape[1]), "the image", size)
        )
    return mask
