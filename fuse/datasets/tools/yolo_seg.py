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

from fuse.datasets.tools.beside import ImageFolders
from fuse.datasets.tools.classes import LabelOptions, NamedClass, make_classes
from fuse.datasets.tools.polygons import check_shares, clip_points, note_place
from fuse.datasets.tools.shapes import Shape, ToolImage, ToolLabels, crop_mask
from fuse.datasets.truth import list_folder
from fuse.errors import DataError
from fuse.findings import Note
from fuse.io.files import read_regular
from fuse.io.images import read_image_size
from fuse.ops.outlines import draw_centres

HINT = "give the folder that holds labels/ and data.yaml"
KEYPOINTS = "kpt_shape"  # of a data.yaml whose lines are boxes with keypoints
BOX_FIELDS = 5  # class, centre x and y, width, height: a box of a detector
MAX_YAML = 2**20  # bytes
YAML = (".yaml", ".yml")
LABELS = "labels"
CLASSES = "classes.txt"
NOT_LABELS = (CLASSES, "labels.txt", "train.txt", "val.txt", "test.txt")


def open_yolo_seg(path: Path, options: LabelOptions) -> ToolLabels:
    """Find the labels of a folder.

    Raises:
        DataError: there are none, names or images are missing, or a line is wrong.
    """
    path = path.parent if path.suffix in YAML and path.is_file() else path
    names = _read_names(path)
    space, notes = make_classes([NamedClass(name) for name in names], options, path)
    folders, images, labelled = ImageFolders(), [], []
    for file in _list_files(path):
        below = file.relative_to(path)
        image = _find_image(below, path, options.images, folders)
        labelled.append(image)
        size = read_image_size(image)
        parts = [part for part in below.with_suffix("").parts if part != LABELS]
        name = "/".join(parts)
        file_name = f"{name}{image.suffix}"
        images.append(ToolImage(name, file_name, size, partial(_read, file, names, size)))
    return ToolLabels(space, tuple(images), (*notes, *folders.note_unlabelled(labelled)))


def _read_names(path: Path) -> list[str]:
    """The names of the classes, by number.

    Raises:
        DataError: no file has them, or files contradict each other.
    """
    if not path.is_dir():
        raise DataError(f"{path}: there is no such folder; {HINT}")
    named: dict[Path, list[str]] = {}
    for listed in (path / CLASSES, path / LABELS / CLASSES):
        if listed.is_file():
            lines = map(str.strip, _read_text(listed).splitlines())
            named[listed] = [line for line in lines if line]
    files = sorted(file for file in path.iterdir() if file.suffix in YAML)
    # A training run leaves others there, as args.yaml.
    for file in [file for file in files if file.stem == "data"] or files:
        if (names := _parse_names(file)) is not None:
            named[file] = names
    if not named and files:
        raise DataError(f"{files[0]}: 'names' must list the classes, by number from 0 on")
    if not named:
        raise DataError(f"{path}: there is no data.yaml or {CLASSES} with the names; {HINT}")
    (first, names), *others = named.items()
    other = next((file for file, more in others if more != names), None)
    if other:
        raise DataError(f"{first} and {other} name other classes; remove one")
    return names


def _parse_names(path: Path) -> list[str] | None:
    """The classes that a YAML names; None where it names none.

    Raises:
        DataError: it is no YAML, is of keypoints, or a name is no text.
    """
    text = _read_text(path)
    try:
        content: Any = yaml.safe_load(text) if len(text) < MAX_YAML else None
    except (yaml.YAMLError, RecursionError) as err:
        raise DataError(f"{path}: is no YAML ({' '.join(str(err).split())[:200]})") from err
    content = content if isinstance(content, dict) else {}
    if KEYPOINTS in content:
        raise DataError(f"{path}: has {KEYPOINTS}, so its labels are keypoints and no masks")
    names = content.get("names")
    if isinstance(names, dict):
        by_number = {str(number): name for number, name in names.items()}
        names = [by_number.get(str(number)) for number in range(len(names))]
    if not isinstance(names, list) or None in names:
        return None
    if not all(isinstance(name, str | int | float) for name in names):
        return None
    wrong = next((name for name in names if isinstance(name, bool | float)), None)
    if wrong is not None:
        raise DataError(f"{path}: YAML reads the class {wrong!r} as no text; put it in quotes")
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
    others = (CLASSES,) if below else NOT_LABELS  # an image may well be called test.jpg
    files = [file for file in below or found if file.name not in others]
    if not files:
        raise DataError(f"{path}: there are no label files; {HINT}")
    return files


def _find_image(below: Path, path: Path, images: Path | None, folders: ImageFolders) -> Path:
    """The image of a label file: in images/ in the place of labels/, beside it, or in --images."""
    parts = below.with_suffix("").parts
    bare = Path(*(part for part in parts if part != LABELS))
    swapped = Path(*("images" if part == LABELS else part for part in parts))
    places = [images / bare, images / bare.name] if images else [path / swapped, path / bare]
    found = next(filter(None, map(folders.find_by_stem, places)), None)
    if found:
        return found
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
        number, *shares = (float(field) for field in fields)
    except ValueError as err:
        raise DataError(f"{where}: must be a class and numbers ({err})") from err
    if not (0 <= number < len(names) and number.is_integer()):
        raise DataError(f"{where}: there is no class {fields[0]}; there are {len(names)}")
    if len(fields) == BOX_FIELDS:
        return [], [Note("label-box", where)]
    if len(shares) % 2:
        raise DataError(
            f"{where}: {len(shares)} numbers are no pairs of x and y; a score at the end, as of "
            "save_conf, must go"
        )
    points = np.array(shares).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise DataError(f"{where}: a number is not finite")
    if len(points) < 3:
        return [], [Note("polygon-short", where)]
    try:
        check_shares(points, 1)
        points = points * np.array([size[1], size[0]])
        notes = note_place(points, size, where)
        mask = draw_centres([clip_points(points, size)], size)
    except ValueError as err:
        raise DataError(f"{where}: {err}") from err
    found, more = crop_mask(names[int(number)], mask, where)
    return found, [*notes, *more]
