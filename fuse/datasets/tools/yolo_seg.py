"""YOLO's segments: ``labels/**/*.txt`` with a class and a polygon in shares of the image a line.

Names come from ``data.yaml`` (or another .yaml of the folder) or ``classes.txt``. Sizes come from
the images, which lie in ``images/`` where labels lie in ``labels/`` (as in ``labels/train``, or
``train/labels`` of Roboflow), or in --images. Pixels are made as YOLO's trainers make them, by
OpenCV from coordinates cut to whole pixels.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fuse.datasets.tools.classes import LabelOptions, NamedClass, make_classes
from fuse.datasets.tools.polygons import clip_points, note_outside
from fuse.datasets.tools.shapes import Shape, ToolImage, ToolLabels, crop_mask
from fuse.datasets.truth import list_folder
from fuse.errors import DataError
from fuse.findings import Note
from fuse.io.files import read_regular
from fuse.io.images import list_endings, read_image_size
from fuse.ops.outlines import draw_centres

HINT = "give the folder that holds labels/ and data.yaml"
BOX_FIELDS = 5  # class, centre x and y, width, height: a box of a detector
MAX_YAML = 2**20  # bytes
LABELS = "labels"
NOT_LABELS = ("classes.txt", "labels.txt", "train.txt", "val.txt", "test.txt")


def open_yolo_seg(path: Path, options: LabelOptions) -> ToolLabels:
    """Find the labels of a folder.

    Raises:
        DataError: there are none, names or images are missing, or a line is wrong.
    """
    names = _read_names(path)
    space, notes = make_classes([NamedClass(name) for name in names], options, path)
    images = []
    for file in _list_files(path):
        below = file.relative_to(path)
        image = _find_image(below, path, options.images)
        size = read_image_size(image)
        parts = [part for part in below.with_suffix("").parts if part != LABELS]
        name = "/".join(parts)
        file_name = f"{name}{image.suffix}"
        images.append(ToolImage(name, file_name, size, partial(_read, file, names, size)))
    return ToolLabels(space, tuple(images), tuple(notes))


def _read_names(path: Path) -> list[str]:
    listed = path / "classes.txt"
    if listed.is_file():
        return [line.strip() for line in _read_text(listed).splitlines() if line.strip()]
    files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    if not files:
        raise DataError(f"{path}: there is no data.yaml or classes.txt with the names; {HINT}")
    text = _read_text(files[0])
    try:
        content: Any = yaml.safe_load(text) if len(text) < MAX_YAML else None
    except (yaml.YAMLError, RecursionError) as err:
        raise DataError(f"{files[0]}: is no YAML ({' '.join(str(err).split())[:200]})") from err
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise DataError(f"{files[0]}: 'names' must list the classes, by number from 0 on")
    return [str(name) for name in names]


def _read_text(path: Path) -> str:
    try:
        return read_regular(path).decode("utf-8-sig")
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror})") from err
    except UnicodeDecodeError as err:
        raise DataError(f"{path}: is no UTF-8 text ({err.reason})") from err


def _list_files(path: Path) -> list[Path]:
    """The label files: those in folders called labels, or all if there are none."""
    found = list_folder(path, "**/*.txt", HINT)
    below = [file for file in found if LABELS in file.relative_to(path).parts[:-1]]
    files = below or [file for file in found if file.name not in NOT_LABELS]
    if not files:
        raise DataError(f"{path}: there are no label files; {HINT}")
    return files


def _find_image(below: Path, path: Path, images: Path | None) -> Path:
    """The image of a label file: in images/ in the place of labels/, beside it, or in --images."""
    parts = below.with_suffix("").parts
    bare = Path(*(part for part in parts if part != LABELS))
    swapped = Path(*("images" if part == LABELS else part for part in parts))
    places = [images / bare, images / bare.name] if images else [path / swapped, path / bare]
    for place in places:
        for ending in list_endings():
            for spelled in (ending, ending.upper()):
                image = place.with_name(place.name + spelled)
                if image.is_file():
                    return image
    raise DataError(
        f"{path / below}: its image {places[0]}.* is not there, and YOLO's files do not say how "
        "large it is; give the folder of the images by --images"
    )


def _read(path: Path, names: list[str], size: tuple[int, int]) -> tuple[list[Shape], list[Note]]:
    shapes: list[Shape] = []
    notes: list[Note] = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        found, more = _read_line(line.split(), names, size, where)
        shapes += found
        notes += more
    return shapes, notes


def _read_line(
    fields: list[str], names: list[str], size: tuple[int, int], where: str
) -> tuple[list[Shape], list[Note]]:
    try:
        label, numbers = int(fields[0]), np.array([float(field) for field in fields[1:]])
    except ValueError as err:
        raise DataError(f"{where}: must be a class and numbers ({err})") from err
    if not 0 <= label < len(names):
        raise DataError(f"{where}: there is no class {label}; there are {len(names)}")
    if len(fields) == BOX_FIELDS:
        return [], [Note("label-box", where)]
    if len(numbers) % 2 or not np.isfinite(numbers).all():
        raise DataError(f"{where}: a polygon is x and y in turn, all finite")
    points = numbers.reshape(-1, 2) * np.array([size[1], size[0]])
    if len(points) < 3:
        return [], [Note("polygon-short", where)]
    notes = note_outside(points, size, where)
    mask = draw_centres([clip_points(points, size)], size)
    found, more = crop_mask(names[label], mask, where)
    return found, [*notes, *more]
