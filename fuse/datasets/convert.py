"""Converting a dataset: all its images, streamed into one JSON and a folder of PNGs beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuse.datasets import ade20k, cityscapes, vistas, voc
from fuse.datasets.truth import DatasetTruth, TruthImage
from fuse.errors import ConfigError, DataError
from fuse.io.coco.panoptic import ImageRecord, annotation_to_json, write_panoptic_json
from fuse.io.files import StrPath, check_writable, to_path, write_pair_aside
from fuse.io.png import read_png_header, write_id_map
from fuse.threads import count_steps, map_threads

# What opens a dataset, and the split that papers report.
DATASETS: dict[str, tuple[Callable[[Path, str], DatasetTruth], str]] = {
    "cityscapes": (cityscapes.open_cityscapes, cityscapes.DEFAULT_SPLIT),
    "ade20k": (ade20k.open_ade20k, ade20k.DEFAULT_SPLIT),
    "vistas": (vistas.open_vistas, vistas.DEFAULT_SPLIT),
    "voc": (voc.open_voc, voc.DEFAULT_SPLIT),
}


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What was converted.

    Attributes:
        out: the JSON; the PNGs lie in the folder of its name without .json.
        images: how many it has.
        segments: of all images together.
    """

    out: Path
    images: int
    segments: int


def convert(
    dataset: str,
    folder: StrPath,
    out: StrPath,
    *,
    split: str | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ConvertResult:
    """Make COCO panoptic ground truth of a dataset in its own published folders.

    The JSON and its folder of PNGs appear when all images are done, or not at all. A few
    images are in memory at a time. The same input gives the same bytes.

    Args:
        dataset: a key of DATASETS.
        folder: where the dataset was unpacked.
        out: the JSON to write, ending in .json.
        split: the part of the dataset as its own folders call it; by default the one for
            validation.
        overwrite: replace the JSON and its folder where both exist; a folder with anything
            but PNGs in it is never replaced.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        ConfigError: there is no such dataset, or out does not end in .json.
        DataError: a file is missing or wrong, which the message names, or out exists.
    """
    if dataset not in DATASETS:
        raise ConfigError(f"no dataset {dataset!r}; known are {', '.join(DATASETS)}")
    folder, out = to_path(folder), to_path(out)
    _check_out(out, overwrite=overwrite)
    open_dataset, default_split = DATASETS[dataset]
    truth = open_dataset(folder, split or default_split)
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_pair_aside(out) as written:
        segments = _write(written, truth, workers, on_progress)
    return ConvertResult(out, len(truth.images), segments)


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
    if png_dir.exists() and not (out.exists() and _holds_only_pngs(png_dir)):
        raise DataError(
            f"{png_dir} exists, and the PNGs of {out.name} would go there; give another name"
        )


def _holds_only_pngs(folder: Path) -> bool:
    return folder.is_dir() and all(p.suffix == ".png" and p.is_file() for p in folder.iterdir())


def _write(
    path: Path,
    truth: DatasetTruth,
    workers: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> int:
    """Write the JSON and the folder of PNGs beside it; returns how many segments they have."""
    png_dir = path.with_suffix("")
    png_dir.mkdir()
    counts: list[int] = []

    def convert_image(image: TruthImage) -> dict[str, Any]:
        made = truth.load(image)
        write_id_map(png_dir / image.png_name, made.panoptic_map)
        counts.append(len(made.segments_info))
        return annotation_to_json(image.image_id, image.png_name, made.segments_info)

    step = count_steps(on_progress, len(truth.images))
    with map_threads(convert_image, truth.images, workers, on_result=step) as annotations:
        write_panoptic_json(path, map(_describe_image, truth.images), annotations, truth.space)
    return sum(counts)


def _describe_image(image: TruthImage) -> ImageRecord:
    header = read_png_header(image.label_files[0])
    return ImageRecord(image.image_id, image.file_name, *header.size)
