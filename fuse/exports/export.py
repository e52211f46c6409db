"""`fuse export`: the maps of a run or a panoptic JSON, streamed into another form."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from fuse.errors import ConfigError, DataError
from fuse.exports.cvat import Cvat
from fuse.exports.folder_forms import Labelme, YoloSeg
from fuse.exports.image import FAULTS, Encoded, ExportImage, Form
from fuse.exports.json_forms import CocoInstances, LabelStudio
from fuse.exports.label_pngs import Cityscapes, ColouredPng, LabelPng, Voc
from fuse.findings import Finding, sum_notes
from fuse.io.coco.categories import GREY
from fuse.io.coco.image_names import place_inside
from fuse.io.coco.panoptic import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.files import (
    StrPath,
    check_writable,
    find_name_fault,
    to_path,
    write_folder_aside,
)
from fuse.io.listing import png_names
from fuse.threads import count_steps, map_threads
from fuse.types import LabelSpace


@dataclass(frozen=True, slots=True)
class Choices:
    """What a user may choose of a form, see `export`."""

    shapes: str
    stuff: bool
    image_prefix: str


class FormKind(NamedTuple):
    """A form by name.

    Attributes:
        make: the form of categories and choices.
        ending: of its one file; None where it is a folder.
        stuff: whether it has stuff, if nobody says.
        has_shapes: whether it has both masks and polygons.
    """

    make: Callable[[LabelSpace, Choices], Form]
    ending: str | None = None
    stuff: bool = True
    has_shapes: bool = False


FORMS = {
    "coco-instances": FormKind(
        lambda space, chosen: CocoInstances(space, chosen.stuff), ".json", stuff=False
    ),
    "label-png": FormKind(lambda space, _: LabelPng(space)),
    "coloured-png": FormKind(lambda space, _: ColouredPng(space)),
    "yolo-seg": FormKind(lambda space, chosen: YoloSeg(space, chosen.stuff), stuff=False),
    "cvat": FormKind(
        lambda space, chosen: Cvat(space, chosen.stuff, chosen.shapes == "polygons"),
        ".xml",
        has_shapes=True,
    ),
    "labelme": FormKind(
        lambda space, chosen: Labelme(space, chosen.stuff, chosen.shapes != "masks"),
        has_shapes=True,
    ),
    "label-studio": FormKind(
        lambda space, chosen: LabelStudio(
            space, chosen.stuff, chosen.shapes == "polygons", chosen.image_prefix
        ),
        ".json",
        has_shapes=True,
    ),
    "voc": FormKind(lambda space, _: Voc(space)),
    "cityscapes": FormKind(lambda space, _: Cityscapes(space)),
}
SHAPES = ("auto", "masks", "polygons")


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was exported.

    Attributes:
        out: the file or folder.
        images: how many it holds.
        segments: of all images together.
        findings: what the form could not keep.
    """

    out: Path
    images: int
    segments: int
    findings: tuple[Finding, ...]


def export(
    source: StrPath,
    out: StrPath,
    *,
    to: str,
    png_dir: StrPath | None = None,
    shapes: str = "auto",
    stuff: bool | None = None,
    image_prefix: str = "",
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ExportResult:
    """Write the maps of a run, or of any panoptic JSON, in the form of another tool.

    The output appears when all images are done, or not at all; a few images are in memory at a
    time, and the same input gives the same bytes.

    Args:
        source: output folder of a run, or a COCO panoptic JSON.
        out: file or folder to write, which must not exist.
        to: a key of FORMS.
        png_dir: the JSON's PNGs, where they are not in the folder of its name.
        shapes: of SHAPES; ``auto`` is masks for cvat and label-studio, polygons for labelme.
        stuff: whether stuff is exported; by default where the form is not of objects alone.
        image_prefix: in front of image names in label-studio's tasks.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        ConfigError: there is no such form, or it has no such shapes.
        LabelSpaceError: the categories do not fit the form.
        DataError: out exists or is called otherwise than the form asks, or a name leads out.
        CocoFormatError: the source cannot be read.
    """
    out = to_path(out)
    _check_options(to, out, shapes)
    dataset = read_panoptic_json(source, png_dir)
    space = _find_space(dataset)
    kind = FORMS[to]
    form = kind.make(space, Choices(shapes, kind.stuff if stuff is None else stuff, image_prefix))
    notes = form.check(dataset.space)
    stems = _name_stems(dataset)
    images, segments = 0, 0

    def encode(image_id: ImageId) -> Encoded:
        name = dataset.image_name(image_id).replace("\\", "/")
        return form.encode(
            ExportImage(image_id, name, stems[image_id], dataset.load(image_id), space)
        )

    step = count_steps(on_progress, len(stems))
    with (
        nullcontext(out) if kind.ending else write_folder_aside(out) as part,
        map_threads(encode, list(stems), workers, on_result=step) as encoded,
    ):

        def contents() -> Iterator[Any]:
            nonlocal images, segments
            for one in encoded:
                images, segments = images + 1, segments + one.segments
                notes.extend(one.notes)
                yield one.content

        form.write(part, contents())
    return ExportResult(out, images, segments, sum_notes(notes, FAULTS))


def _check_options(to: str, out: Path, shapes: str) -> None:
    if to not in FORMS:
        raise ConfigError(f"no form {to!r}; known are {', '.join(FORMS)}")
    ending, has_shapes = FORMS[to].ending, FORMS[to].has_shapes
    if shapes not in SHAPES or (shapes != "auto" and not has_shapes):
        choice = ", ".join(name for name, kind in FORMS.items() if kind.has_shapes)
        raise ConfigError(
            f"shapes {shapes!r}: must be auto, masks or polygons, and only {choice} have a choice"
        )
    if ending and out.suffix != ending:
        raise DataError(f"{out}: {to} is one file, whose name must end in {ending}")
    if os.path.lexists(out):
        raise DataError(f"{out} exists; give another name, or remove it")
    check_writable(out)


def _find_space(dataset: PanopticDataset) -> LabelSpace:
    """The categories of the JSON, in the colours of the shipped space where it gives none."""
    own = dataset.own_space or dataset.space
    colored = tuple(
        replace(c, color=dataset.space.by_id[c.category_id].color)
        if c.color == GREY and c.category_id in dataset.space.by_id
        else c
        for c in own.categories
    )
    return replace(own, categories=colored)


def _name_stems(dataset: PanopticDataset) -> dict[ImageId, str]:
    """A name without ending for the files of each image, each once.

    Raises:
        DataError: a name cannot be that of a file.
    """
    given = [dataset.image_name(i).replace("\\", "/") for i in dataset.annotations]
    names = dict(zip(dataset.annotations, place_inside(given), strict=True))
    for name in names.values():
        if fault := find_name_fault(name):
            raise DataError(f"{dataset.path}: image {name!r}: {fault}")
    pngs = png_names(list(names.values()))
    return {i: png.removesuffix(".png") for i, png in zip(names, pngs, strict=True)}
