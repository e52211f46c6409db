"""Semantic label PNGs alone: a class per pixel; of things, each connected part is an object."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fuse.datasets.tools.classes import LabelOptions
from fuse.datasets.tools.shapes import Shape, ToolImage, ToolLabels, list_parts
from fuse.datasets.truth import list_folder
from fuse.errors import ConfigError, DataError, suggest
from fuse.findings import Note
from fuse.io.png import read_labels, read_png_header
from fuse.labels import load_space
from fuse.types import Int32Array, LabelSpace

HINT = "give a folder of PNGs with a number per pixel"
VOID = 255
ALSO_VOID = 2**16 - 1  # in PNGs of 16 bits


def open_semantic_png(path: Path, options: LabelOptions) -> ToolLabels:
    """Find the PNGs of a folder, also below it.

    The classes are those of --label-space; a category is an object per connected part where it
    is one of --things, or a thing of the label space.

    Raises:
        ConfigError: no label space is named, or --things names what it lacks.
        DataError: there are no PNGs.
    """
    if not options.label_space:
        raise ConfigError("label PNGs have no names; give --label-space NAME|FILE.csv")
    space = change_kinds(load_space(options.label_space), options)
    files = list_folder(path, "**/*.png", HINT)
    images = []
    for file in files:
        name = file.relative_to(path).with_suffix("").as_posix()
        images.append(
            ToolImage(
                name,
                f"{name}.jpg",
                read_png_header(file).size,
                partial(_read_things, file, space, options.values),
                partial(_read_stuff, file, options.values),
            )
        )
    return ToolLabels(space, tuple(images))


def change_kinds(space: LabelSpace, options: LabelOptions) -> LabelSpace:
    """The label space with the things, or the stuff, that the user names."""
    named = options.things or options.stuff
    if not named:
        return space
    if options.things and options.stuff:
        raise ConfigError("give --things or --stuff; what is not named is the other")
    unknown = next((name for name in named if name not in space.by_name), None)
    if unknown is not None:
        hint = suggest(unknown, list(space.by_name))
        raise ConfigError(f"label space {space.name!r} has no class {unknown!r}; {hint}")
    isthing = bool(options.things)
    categories = tuple(
        replace(c, isthing=isthing if c.name in named else not isthing) for c in space.categories
    )
    return replace(space, name=f"{space.name}-own", categories=categories)


def read_classes(path: Path, space: LabelSpace, values: str) -> tuple[Int32Array, list[Note]]:
    """The category_id of each pixel of a label PNG, 0 = void.

    255, and 65535 in 16 bits, are void unless they are a class, and so is 0, which is noted.

    Raises:
        DataError: a number is no class; the message names it and the file.
    """
    labels = read_labels(path, bits=(8, 16))
    if values == "class-index":
        ids = {index: c.category_id for index, c in enumerate(space.categories)}
    else:
        ids = {c.file_id: c.category_id for c in space.categories}
    notes = []
    found = np.zeros(labels.shape, dtype=np.int32)
    for value in np.unique(labels).tolist():
        if value in ids:
            found[labels == value] = ids[value]
        elif value == 0:
            notes.append(Note("zero-as-void", str(path), int(np.count_nonzero(labels == 0))))
        elif value not in (VOID, ALSO_VOID):
            raise DataError(
                f"{path}: {value} is no {values.replace('-', ' ')} of {space.name!r}, nor 255 for "
                "void; --values says what the numbers are"
            )
    return found, notes


def _read_stuff(path: Path, values: str, space: LabelSpace) -> tuple[Int32Array, list[Note]]:
    label_map, notes = read_classes(path, space, values)
    label_map[np.isin(label_map, space.thing_ids)] = 0
    return label_map, notes


def _read_things(path: Path, space: LabelSpace, values: str) -> tuple[list[Shape], list[Note]]:
    label_map, _ = read_classes(path, space, values)
    return list_parts(label_map, space), []
