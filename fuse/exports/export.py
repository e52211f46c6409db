"""`fuse export`: the maps of a run or a panoptic JSON, streamed into another form."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fuse.errors import ConfigError, DataError
from fuse.exports.cvat import Cvat
from fuse.exports.folder_forms import Labelme, YoloSeg
from fuse.exports.image import FAULTS, Encoded, ExportImage, Form
from fuse.exports.json_forms import CocoInstances, LabelStudio
from fuse.exports.label_pngs import Cityscapes, ColouredPng, LabelPng, Voc
from fuse.findings import Finding, sum_notes
from fuse.io.coco.categories import GREY
from fuse.io.coco.panoptic import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.files import PART_ENDING, StrPath, find_name_fault, to_path
from fuse.io.listing import png_names
from fuse.threads import count_steps, map_threads
from fuse.types import LabelSpace

# Name of each form, the ending of its one file (None: a folder), and whether it holds stuff.
FORMS: dict[str, tuple[str | None, bool]] = {
    "coco-instances": (".json", False),
    "label-png": (None, True),
    "coloured-png": (None, True),
    "yolo-seg": (None, False),
    "cvat": (".xml", True),
    "labelme": (None, True),
    "label-studio": (".json", True),
    "voc": (None, True),
    "cityscapes": (None, True),
}
SHAPES = ("auto", "masks", "polygons")
HAS_SHAPES = ("cvat", "labelme", "label-studio")


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
    form = _make_form(to, space, shapes, FORMS[to][1] if stuff is None else stuff, image_prefix)
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
        _write_aside(out, is_folder=FORMS[to][0] is None) as part,
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
    if shapes not in SHAPES or (shapes != "auto" and to not in HAS_SHAPES):
        raise ConfigError(
            f"shapes {shapes!r}: must be auto, masks or polygons, and only {', '.join(HAS_SHAPES)} "
            "have a choice"
        )
    ending = FORMS[to][0]
    if ending and out.suffix != ending:
        raise DataError(f"{out}: {to} is one file, whose name must end in {ending}")
    if os.path.lexists(out):
        raise DataError(f"{out} exists; give another name, or remove it")


def _make_form(to: str, space: LabelSpace, shapes: str, stuff: bool, prefix: str) -> Form:
    forms: dict[str, Callable[[], Form]] = {
        "coco-instances": lambda: CocoInstances(space, stuff),
        "label-png": lambda: LabelPng(space),
        "coloured-png": lambda: ColouredPng(space),
        "yolo-seg": lambda: YoloSeg(space, stuff),
        "cvat": lambda: Cvat(space, stuff, shapes == "polygons"),
        "labelme": lambda: Labelme(space, stuff, shapes != "masks"),
        "label-studio": lambda: LabelStudio(space, stuff, shapes == "polygons", prefix),
        "voc": lambda: Voc(space),
        "cityscapes": lambda: Cityscapes(space),
    }
    return forms[to]()


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
        DataError: a name leads out of the folder.
    """
    names = {i: dataset.image_name(i).replace("\\", "/") for i in dataset.annotations}
    for name in names.values():
        if fault := find_name_fault(name):
            raise DataError(f"{dataset.path}: image {name!r}: {fault}")
    pngs = png_names(list(names.values()))
    return {i: png.removesuffix(".png") for i, png in zip(names, pngs, strict=True)}


@contextmanager
def _write_aside(out: Path, *, is_folder: bool) -> Iterator[Path]:
    """Where to write what takes the place of a file or folder once it is whole."""
    if not is_folder:
        yield out  # the forms of one file write it aside themselves
        return
    part = out.with_name(f".{out.name}.{uuid.uuid4().hex}{PART_ENDING}")
    part.mkdir(parents=True)
    try:
        yield part
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
