"""CVAT's "segmentation mask 1.1" and Datumaro's VOC: colour PNGs, and ``labelmap.txt``.

``SegmentationClass/*.png`` has a colour of the map per pixel, ``SegmentationObject/*.png``, where
it is there, one per object; else each connected part of a thing is one. The class "background" is
void unless the label space has it; the border of PASCAL VOC, (224, 224, 192), is void too.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fuse.datasets.tools.classes import LabelOptions, NamedClass, make_classes
from fuse.datasets.tools.shapes import Shape, ToolImage, ToolLabels, list_parts
from fuse.datasets.truth import list_folder
from fuse.errors import DataError
from fuse.findings import Note
from fuse.io.files import read_regular
from fuse.io.png import read_id_map, read_png_header
from fuse.labels.colors import Color, encode_color, voc_color
from fuse.types import Int32Array, LabelSpace

HINT = "give the folder that holds labelmap.txt and SegmentationClass"
BACKGROUND = "background"
# A name may have colons itself.
LINE = re.compile(r"(.*?):\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?::.*)?")
NO_COLOR = ":::"  # how a line ends that has a name alone
BORDER = (224, 224, 192)


def open_color_masks(path: Path, options: LabelOptions) -> ToolLabels:
    """Find the masks of a folder; a flat folder of PNGs beside labelmap.txt will do.

    Raises:
        DataError: there is no labelmap.txt, a line of it is wrong, or there are no PNGs.
    """
    colors = read_labelmap(path / "labelmap.txt")
    classes = [NamedClass(name, color=color) for name, color in colors.items()]
    named = [one for one in classes if one.name != BACKGROUND]
    space, notes = make_classes(named, options, path / "labelmap.txt")
    folder = path / "SegmentationClass"
    folder = folder if folder.is_dir() else path
    files = list_folder(folder, "**/*.png", HINT)
    images = []
    for file in files:
        name = file.relative_to(folder).with_suffix("").as_posix()
        objects = path / "SegmentationObject" / file.relative_to(folder)
        read = partial(_read_shapes, file, objects if objects.is_file() else None, colors, space)
        base = partial(_read_stuff, file, colors)
        images.append(ToolImage(name, f"{name}.jpg", read_png_header(file).size, read, base))
    return ToolLabels(space, tuple(images), tuple(notes))


def read_labelmap(path: Path) -> dict[str, Color]:
    """Colour by name; PASCAL VOC's in their order where no line has one, as Datumaro has it.

    Raises:
        DataError: the file is missing, a line is no class, or two classes have one colour.
    """
    try:
        lines = read_regular(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"{path}: cannot be read ({err}); {HINT}") from err
    listed = [
        (f"{path}, line {number}", *_parse_line(line, f"{path}, line {number}"))
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.startswith("#")
    ]
    if all(color is None for *_, color in listed):
        listed = [(where, name, voc_color(n)) for n, (where, name, _) in enumerate(listed)]
    colors: dict[str, Color] = {}
    owners: dict[Color | None, str] = {}
    for where, name, color in listed:
        same = owners.get(color)
        if color is None or same is not None or not name or name in colors:
            fault = f"has the colour of {same!r}" if same else "has no name, or one that is taken"
            raise DataError(f"{where}: {name!r} {fault if color else 'has no colour'}")
        colors[name] = color
        owners[color] = name
    return colors


def _parse_line(line: str, where: str) -> tuple[str, Color | None]:
    """Name and colour of a line; DataError where it is no such line."""
    found = LINE.fullmatch(line.strip())
    if found:
        red, green, blue = map(int, found.groups()[1:])
        if max(red, green, blue) <= 255:
            return found[1].strip(), (red, green, blue)
    if line.strip().endswith(NO_COLOR):
        return line.strip().removesuffix(NO_COLOR).strip(), None
    raise DataError(f"{where}: must be NAME:R,G,B::, is {line!r}")


def _find_classes(
    path: Path, colors: dict[str, Color], space: LabelSpace
) -> tuple[Int32Array, list[Note]]:
    """Category ids of the pixels, 0 = void, and a note on colours that are in no map."""
    codes = read_id_map(path)
    void = {encode_color(BORDER), 0}
    by_code = {encode_color(color): name for name, color in colors.items()}
    label_map = np.zeros(codes.shape, dtype=np.int32)
    notes: list[Note] = []
    for code in np.unique(codes).tolist():
        name = by_code.get(code)
        if name is not None and name in space.by_name:
            label_map[codes == code] = space.by_name[name].category_id
        elif name is None and code not in void:
            color = (code & 255, code >> 8 & 255, code >> 16)
            pixels = int(np.count_nonzero(codes == code))
            notes.append(Note("color-unknown", f"{path}, colour {color}", pixels))
    return label_map, notes


def _read_stuff(
    path: Path, colors: dict[str, Color], space: LabelSpace
) -> tuple[Int32Array, list[Note]]:
    label_map, notes = _find_classes(path, colors, space)
    label_map[np.isin(label_map, space.thing_ids)] = 0
    return label_map, notes


def _read_shapes(
    path: Path, objects_path: Path | None, colors: dict[str, Color], space: LabelSpace
) -> tuple[list[Shape], list[Note]]:
    """Things by colour of class and of object, else by connected part, which is noted."""
    label_map, _ = _find_classes(path, colors, space)
    label_map[~np.isin(label_map, space.thing_ids)] = 0
    if not objects_path:
        parts = list_parts(label_map, space)
        return parts, [Note("objects-by-part", str(path))] if parts else []
    objects = read_id_map(objects_path)
    if objects.shape != label_map.shape:
        raise DataError(f"{objects_path} is of another size than {path}")
    pairs: Any = np.unique(
        np.stack((label_map[label_map > 0], objects[label_map > 0]), axis=1), axis=0
    )
    shapes = []
    for category_id, code in pairs.tolist():
        mask = (label_map == category_id) & (objects == code)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        corner = (int(rows[0]), int(columns[0]))
        name = space.by_id[category_id].name
        shapes.append(Shape(name, crop, corner, iscrowd=code in (0, encode_color(BORDER))))
    return shapes, []
