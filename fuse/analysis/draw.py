"""`fuse draw`: each image of a run at full size with its segments over it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuse.analysis.image_files import find_images, find_stale
from fuse.analysis.opened_run import OpenedRun, open_run, read_image_sources
from fuse.errors import DataError, ImageReadError
from fuse.findings import Fault, Finding, Note, sum_notes
from fuse.io.coco.panoptic import ImageId
from fuse.io.files import (
    StrPath,
    check_writable,
    find_name_fault,
    make_parent,
    to_path,
    write_folder_aside,
)
from fuse.io.image_list import ImageList
from fuse.io.images import read_image
from fuse.io.listing import png_names
from fuse.threads import count_steps, map_threads
from fuse.viz.render import render_panoptic, save_picture

FAULTS = {
    "image-missing": Fault("images that are not where the run found them", "not drawn; --images"),
    "image-changed": Fault("images that changed since the run", "not drawn"),
    "image-unreadable": Fault("images that cannot be read", "not drawn"),
    "image-other": Fault("images of another size than their map", "not drawn"),
}


@dataclass(frozen=True, slots=True)
class DrawResult:
    """What was drawn.

    Attributes:
        out: the folder.
        images: how many pictures it holds.
        findings: what was not drawn.
    """

    out: Path
    images: int
    findings: tuple[Finding, ...]


def draw(
    source: StrPath,
    out: StrPath,
    *,
    images: StrPath | None = None,
    image_list: ImageList | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> DrawResult:
    """Draw the segments of each image over it: a JPEG of the image's size.

    Args:
        source: output folder of a run, or a COCO panoptic JSON.
        out: folder to write, which must not exist or be empty.
        images: folder of the images, where they are not where the run found them.
        image_list: images by name, where they are not where the run found them.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        DataError: out holds something, or no image is found.
        CocoFormatError: a map is missing or damaged.
    """
    out, folder = to_path(out), to_path(images)
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out} exists; give another name, or remove it")
    check_writable(out)
    run = open_run(to_path(source))
    names = {i: run.dataset.image_name(i).replace("\\", "/") for i in run.dataset.annotations}
    for name in names.values():
        if fault := find_name_fault(name):
            raise DataError(f"{run.dataset.path}: image {name!r}: {fault}")
    paths = find_images(names.values(), [run], folder, image_list)
    if not paths:
        raise DataError(f"{source}: its images are not where it found them; give --images DIR")
    changed = find_stale(names, paths, read_image_sources(run))
    pictures = dict(zip(names, png_names(list(names.values())), strict=True))

    def draw_one(image_id: ImageId) -> Note | None:
        if names[image_id] in changed:
            return Note("image-changed", names[image_id])
        path = make_parent(part, pictures[image_id].removesuffix(".png") + ".jpg")
        return _draw_image(image_id, names[image_id], paths.get(names[image_id]), run, path)

    step = count_steps(on_progress, len(names))
    with (
        write_folder_aside(out) as part,
        map_threads(draw_one, list(names), workers, on_result=step) as drawn,
    ):
        notes = [note for note in drawn if note]
    return DrawResult(out, len(names) - len(notes), sum_notes(notes, FAULTS))


def _draw_image(
    image_id: ImageId, name: str, source: Path | str | None, run: OpenedRun, picture: Path
) -> Note | None:
    """Draw one image; a note where that cannot be."""
    if source is None:
        return Note("image-missing", name)
    try:
        image = read_image(source, as_stored=run.as_stored)
    except ImageReadError as err:
        return Note("image-unreadable", str(err))
    prediction = run.dataset.load(image_id)
    if prediction.size != image.shape[:2]:
        return Note("image-other", str(source))
    save_picture(picture, render_panoptic(image, prediction, run.space))
    return None
