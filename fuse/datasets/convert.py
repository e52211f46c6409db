"""Converting a dataset: all its images, streamed into one JSON and a folder of PNGs beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from fuse.datasets import ade20k, bdd100k, cityscapes, vistas, voc
from fuse.datasets.tools.classes import LabelOptions
from fuse.datasets.tools.coco_instances import open_coco_instances
from fuse.datasets.tools.color_masks import open_color_masks
from fuse.datasets.tools.cvat import open_cvat
from fuse.datasets.tools.label_studio import open_label_studio
from fuse.datasets.tools.labelme import open_labelme
from fuse.datasets.tools.semantic_png import open_semantic_png
from fuse.datasets.tools.shapes import (
    FAULTS,
    ToolImage,
    ToolLabels,
    paint_shapes,
    refuse_nothing,
)
from fuse.datasets.tools.yolo_seg import open_yolo_seg
from fuse.datasets.truth import DatasetTruth, NotedTruth, TruthImage
from fuse.errors import ConfigError, DataError, FuseError
from fuse.findings import Finding, Note, sum_notes
from fuse.io.coco.image_names import place_inside
from fuse.io.coco.panoptic import (
    ImageId,
    ImageRecord,
    annotation_to_json,
    read_panoptic_json,
    write_panoptic_json,
)
from fuse.io.files import (
    StrPath,
    check_writable,
    find_name_fault,
    make_parent,
    mend_pair,
    to_path,
    write_pair_aside,
)
from fuse.io.listing import png_names
from fuse.io.png import read_png_header, write_id_map
from fuse.threads import count_steps, map_threads

# What opens a dataset, and the split that papers report.
DATASETS: dict[str, tuple[Callable[[Path, str], DatasetTruth], str]] = {
    "cityscapes": (cityscapes.open_cityscapes, cityscapes.DEFAULT_SPLIT),
    "ade20k": (ade20k.open_ade20k, ade20k.DEFAULT_SPLIT),
    "vistas": (vistas.open_vistas, vistas.DEFAULT_SPLIT),
    "vistas-v2": (vistas.open_vistas_v2, vistas.DEFAULT_SPLIT),
    "bdd100k": (bdd100k.open_bdd100k, bdd100k.DEFAULT_SPLIT),
    "voc": (voc.open_voc, voc.DEFAULT_SPLIT),
}


# What reads the labels of a tool.
TOOLS: dict[str, Callable[[Path, LabelOptions], ToolLabels]] = {
    "coco-instances": open_coco_instances,
    "semantic-png": open_semantic_png,
    "labelme": open_labelme,
    "cvat": open_cvat,
    "cvat-masks": open_color_masks,
    "yolo-seg": open_yolo_seg,
    "label-studio": open_label_studio,
}


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What was converted.

    Attributes:
        out: the JSON; the PNGs lie in the folder of its name without .json.
        images: how many it has.
        segments: of all images together.
        findings: what was assumed, cut or left out.
    """

    out: Path
    images: int
    segments: int
    findings: tuple[Finding, ...] = ()


def convert(
    dataset: str,
    folder: StrPath,
    out: StrPath,
    *,
    split: str | None = None,
    label_space: str | None = None,
    things: Sequence[str] = (),
    stuff: Sequence[str] = (),
    images: StrPath | None = None,
    semantic: StrPath | None = None,
    values: str = "category-id",
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ConvertResult:
    """Make COCO panoptic ground truth of a dataset, or of what a labelling tool wrote.

    The JSON and its folder of PNGs appear when all images are done, or not at all. A few
    images are in memory at a time. The same input gives the same bytes.

    Args:
        dataset: a key of DATASETS or TOOLS.
        folder: where the dataset was unpacked; the file or folder that the tool wrote.
        out: the JSON to write, ending in .json.
        split: the part of the dataset as its own folders call it; by default the one for
            validation.
        label_space: of a tool's labels, name or CSV; they are looked up in it by name. The
            others are of tools too, see `LabelOptions`.
        things: classes that are things; all others are stuff.
        stuff: classes that are stuff; all others are things.
        images: folder of the images, where the tool does not say how large they are.
        semantic: semantic labels below COCO instances.
        values: what the numbers of label PNGs are, ``category-id`` or ``class-index``.
        overwrite: replace the JSON and its folder where both exist; a folder with anything
            but PNGs in it is never replaced.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        ConfigError: there is no such dataset or tool, an option is not of it, or out does not end
            in .json.
        LabelSpaceError: a label is not in the label space.
        DataError: a file is missing or wrong, which the message names, out exists, or no label of
            a tool has a mask.
    """
    if dataset not in DATASETS and dataset not in TOOLS:
        known = ", ".join((*DATASETS, *TOOLS))
        raise ConfigError(f"no dataset or tool {dataset!r}; known are {known}")
    folder, out = to_path(folder), to_path(out)
    mend_pair(out)
    _check_out(out, overwrite=overwrite)
    options = LabelOptions(
        label_space, tuple(things), tuple(stuff), to_path(images), to_path(semantic), values
    )
    _check_options(dataset, split, options)
    if dataset in TOOLS:
        truth = _open_tool(dataset, folder, options)
    else:
        open_dataset, default_split = DATASETS[dataset]
        truth = open_dataset(folder, split or default_split)
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_pair_aside(out) as written:
        segments, notes = _write(written, truth, workers, on_progress)
        if dataset in TOOLS and not segments:
            refuse_nothing(folder, notes)
    return ConvertResult(out, len(truth.images), segments, sum_notes(notes, FAULTS))


def _check_options(dataset: str, split: str | None, options: LabelOptions) -> None:
    """Raise ConfigError for an option that the dataset or tool has no use for."""
    given = {
        "--split": split,
        "--label-space": options.label_space,
        "--things": options.things,
        "--stuff": options.stuff,
        "--images": options.images,
        "--semantic": options.semantic,
        "--values": options.values != LabelOptions().values,
    }
    allowed = {"--label-space", "--things", "--stuff"} if dataset in TOOLS else {"--split"}
    allowed |= {
        "coco-instances": {"--semantic", "--values"},
        "semantic-png": {"--values"},
        "yolo-seg": {"--images"},
        "labelme": {"--images"},
    }.get(dataset, set())
    foreign = next((name for name, value in given.items() if value and name not in allowed), None)
    if foreign:
        raise ConfigError(f"{dataset} has no {foreign}; it has {', '.join(sorted(allowed))}")


def _open_tool(tool: str, path: Path, options: LabelOptions) -> DatasetTruth:
    """The labels of a tool as a dataset.

    Raises:
        DataError: two entries are of one image, or its name cannot be that of a map.
    """
    labels = TOOLS[tool](path, options)
    ordered = _tell_apart(sorted(labels.images, key=lambda image: image.file_name), path)
    placed = place_inside([image.file_name.replace("\\", "/") for image in ordered])
    for name in placed:
        if fault := find_name_fault(name):
            raise DataError(f"{path}: image {name!r}: {fault}")
    by_png = dict(zip(png_names(placed), ordered, strict=True))
    images = tuple(
        TruthImage(image.image_id, image.file_name, name, size=image.size)
        for name, image in by_png.items()
    )

    def load(image: TruthImage) -> NotedTruth:
        return paint_shapes(by_png[image.png_name], labels.space)

    return DatasetTruth(labels.space, images, load, labels.notes)


def _tell_apart(images: Sequence[ToolImage], path: Path) -> list[ToolImage]:
    """The images, each with an image_id of its own: ``a.jpg`` and ``a.png`` keep their endings.

    Raises:
        DataError: two entries are of one image, by its name or its image_id.
    """
    ids = Counter(image.image_id for image in images)
    apart = [
        replace(image, image_id=image.file_name)
        if ids[image.image_id] > 1
        and image.image_id == PurePosixPath(image.file_name).with_suffix("").as_posix()
        else image
        for image in images
    ]
    for key in ("file_name", "image_id"):
        owners: dict[ImageId, ToolImage] = {}
        for image in apart:
            other = owners.setdefault(getattr(image, key), image)
            if other is not image:
                both = [f"{one.image_id!r} ({one.file_name})" for one in (other, image)]
                raise DataError(
                    f"{path}: two entries are of one image: {' and '.join(both)}; remove one, or "
                    "rename the image"
                )
    return apart


def _check_out(out: Path, *, overwrite: bool) -> None:
    """Raise unless the JSON and its folder are new, or may be replaced and are such a pair.

    A dataset's own folder may well have the name that the JSON has without its ending.
    """
    if out.suffix != ".json":
        raise ConfigError(f"{out}: the output must end in .json; its PNGs go to a folder beside it")
    check_writable(out)
    png_dir = out.with_suffix("")
    if out.exists() and not overwrite:
        raise DataError(f"{out} exists; give another name, or --overwrite")
    if png_dir.exists() and not (out.exists() and _holds_only_maps(png_dir, out)):
        raise DataError(
            f"{png_dir} exists, and the PNGs of {out.name} would go there; give another name"
        )


def _holds_only_maps(folder: Path, path: Path) -> bool:
    """Whether a folder has nothing but PNGs, those below it named by the JSON."""
    if not folder.is_dir():
        return False
    below = [file for file in folder.rglob("*") if not file.is_dir() or file.is_symlink()]
    if any(file.suffix != ".png" or not file.is_file() for file in below):
        return False
    nested = {file.relative_to(folder).as_posix() for file in below if file.parent != folder}
    if not nested:
        return True
    try:
        annotations = read_panoptic_json(path).annotations.values()
    except FuseError:  # no JSON of ours, so the folder is not either
        return False
    return nested <= {annotation.file_name for annotation in annotations}


def _write(
    path: Path,
    truth: DatasetTruth,
    workers: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[int, list[Note]]:
    """Write the JSON and the PNGs beside it; returns how many segments they have, and notes."""
    png_dir = path.with_suffix("")
    png_dir.mkdir()
    segments = 0
    notes = list(truth.notes)

    def convert_image(image: TruthImage) -> tuple[dict[str, Any], tuple[Note, ...]]:
        made = truth.load(image)
        noted = made if isinstance(made, NotedTruth) else NotedTruth(made)
        write_id_map(make_parent(png_dir, image.png_name), noted.truth.panoptic_map)
        found = noted.truth.segments_info
        return annotation_to_json(image.image_id, image.png_name, found), noted.notes

    step = count_steps(on_progress, len(truth.images))
    with map_threads(convert_image, truth.images, workers, on_result=step) as converted:

        def list_annotations() -> Iterator[dict[str, Any]]:
            nonlocal segments
            for annotation, more in converted:
                segments += len(annotation["segments_info"])
                notes.extend(more)
                yield annotation

        images = map(_describe_image, truth.images)
        write_panoptic_json(path, images, list_annotations(), truth.space)
    return segments, notes


def _describe_image(image: TruthImage) -> ImageRecord:
    size = image.size or read_png_header(image.label_files[0]).size
    return ImageRecord(image.image_id, image.file_name, *size)
