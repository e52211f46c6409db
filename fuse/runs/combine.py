"""Fusing what other tools predicted: COCO result files in, COCO panoptic out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuse.errors import ConfigError, DataError
from fuse.fusion import METHODS, fuse_by_overlap, fuse_stuff_masks
from fuse.inference.prediction import find_pairs, fuse_image
from fuse.inference.presets import THRESHOLDS, FusionConfig, change_fusion, parse_fusion_overrides
from fuse.io.coco.image_list import read_categories, read_image_list
from fuse.io.coco.panoptic import ImageId, ImageRecord, annotation_to_json, write_panoptic_json
from fuse.io.coco.results import LabelFolder, ResultsFile, open_semantic, read_results
from fuse.io.files import take_text, write_pair_aside
from fuse.io.images import png_names
from fuse.io.names import check_links, make_parent
from fuse.io.png import write_id_map
from fuse.io.run_files import PANOPTIC_FILE, RUN_FILE
from fuse.labels import load_space
from fuse.runs.saved_predictions import open_saved_predictions
from fuse.threads import map_threads
from fuse.types import LabelSpace, PanopticPrediction

DEFAULT_SPACE = "coco_panoptic"  # where neither the caller nor the image list has categories
Fuse = Callable[[ImageRecord], PanopticPrediction]


@dataclass(frozen=True, slots=True)
class CombineResult:
    """What was combined.

    Attributes:
        out: folder of panoptic.json and its PNGs.
        images: how many have a map.
        segments: in all maps together.
        unlisted: image ids in the predictions that the image list lacks; left out.
    """

    out: Path
    images: int
    segments: int
    unlisted: tuple[ImageId, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """Two predictions of the same images, and the rule that fuses them."""

    instances: ResultsFile
    semantic: ResultsFile | LabelFolder
    space: LabelSpace
    fusion: FusionConfig

    def fuse(self, image: ImageRecord) -> PanopticPrediction:
        """Fuse one image.

        Raises:
            CocoFormatError: an entry of the image or its label PNG is wrong.
        """
        size = (image.height or 0, image.width or 0)  # the image list has checked both
        instances = self.instances.load_instances(
            image.image_id, size, score_threshold=self.fusion.score_threshold
        )
        if isinstance(self.semantic, ResultsFile):
            stuff_ids, stuff_masks = self.semantic.load_masks(image.image_id, size, isthing=False)
            thresholds = {key: getattr(self.fusion, key) for key in THRESHOLDS}
            return fuse_stuff_masks(stuff_ids, stuff_masks, instances, **thresholds)
        semantic = self.semantic.load_semantic(image.image_id, image.file_name, size)
        return fuse_image(semantic, instances, self.space, self.fusion, {})


@take_text
def combine(
    out: Path,
    *,
    instances: Path,
    semantic: Path,
    images: Path,
    categories: str | None = None,
    rule: str | None = None,
    score_threshold: float | None = None,
    overlap_threshold: float | None = None,
    stuff_area: float | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> CombineResult:
    """Fuse instances and stuff of other tools, as COCO's combine script does.

    The segments are that script's, pixel for pixel; their ids count up from 1 in paint order,
    and segments without pixels are left out. A few images are in memory at a time.

    Args:
        out: folder for panoptic.json and panoptic/*.png; new, empty, or see overwrite.
        instances: COCO result JSON, masks as RLE or polygons, with scores.
        semantic: COCO result JSON of stuff masks, or a folder of label PNGs (category ids as
            grey values or palette indices, 0 = void). Entries and pixels of things are
            left out.
        images: COCO JSON with ``images``; images without predictions get an empty map.
        categories: name of a label space, CSV or JSON file; by default the image list's,
            else COCO panoptic.
        rule: a key of `fuse.fusion.METHODS`, by default ``overlap``.
        score_threshold: see `FusionConfig`, and so the next two; None takes the rule's own.
        overlap_threshold: see there.
        stuff_area: see there.
        overrides: ``key=value`` each, for the rule's parameters.
        overwrite: replace panoptic.json and panoptic/ where they exist.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        ConfigError: the rule or a threshold is wrong.
        CocoFormatError: a file is wrong; the message names the entry and the field.
        DataError: the folder is not empty, or none of a file's images is in the list.
        LabelSpaceError: there are no such categories.
    """
    given = _collect_changes(rule, score_threshold, overlap_threshold, stuff_area, overrides)
    fusion = change_fusion(FusionConfig(), given)
    if fusion.stuff_score > 0:
        raise ConfigError("stuff_score needs logits, which kept predictions have, not result files")
    listed, listed_space = read_image_list(images)
    space = read_categories(categories) if categories else listed_space or load_space(DEFAULT_SPACE)
    inputs = _Inputs(read_results(instances, space), open_semantic(semantic, space), space, fusion)
    unlisted = _find_unlisted(inputs, listed.keys(), images)
    find_pairs(fusion, space)
    if isinstance(inputs.semantic, ResultsFile) and METHODS[fusion.rule].fuse != fuse_by_overlap:
        raise ConfigError(f"rule {rule!r} needs a folder of label PNGs; {semantic} is a file")
    names = png_names([image.file_name for image in listed.values()])
    tasks = list(zip(listed.values(), names, strict=True))
    segments = _combine_images(
        out,
        tasks,
        inputs.fuse,
        space,
        overwrite=overwrite,
        workers=workers,
        on_progress=on_progress,
    )
    return CombineResult(out, len(listed), segments, unlisted)


@take_text
def combine_saved(
    out: Path,
    *,
    predictions: Path,
    rule: str | None = None,
    score_threshold: float | None = None,
    overlap_threshold: float | None = None,
    stuff_area: float | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> CombineResult:
    """Fuse the kept predictions of a run again; no net runs.

    With the run's own rule and thresholds, the default, the files are those of the run.

    Args:
        out: folder for panoptic.json and panoptic/*.png; new, empty, or see overwrite.
        predictions: output folder of a run with kept predictions.
        rule: a key of `fuse.fusion.METHODS`; None takes the run's, and so below.
        score_threshold: see `FusionConfig`; not below what was kept (0.05).
        overlap_threshold: see there.
        stuff_area: see there.
        overrides: ``key=value`` each, for the rule's parameters.
        overwrite: replace panoptic.json and panoptic/ where they exist.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        ConfigError: the rule or a threshold is wrong.
        CocoFormatError: a kept prediction is missing or damaged.
        DataError: the run kept none, or the folder is not empty.
    """
    run = open_saved_predictions(predictions)
    given = _collect_changes(rule, score_threshold, overlap_threshold, stuff_area, overrides)
    fusion = run.change_rule(given)
    annotations = run.dataset.annotations
    tasks = [(image, annotations[i].file_name) for i, image in run.dataset.images.items()]
    segments = _combine_images(
        out,
        tasks,
        lambda listed: next(run.fuse(listed.image_id, [fusion])),
        run.space,
        overwrite=overwrite,
        workers=workers,
        on_progress=on_progress,
    )
    return CombineResult(out, len(tasks), segments, ())


def _collect_changes(
    rule: str | None,
    score_threshold: float | None,
    overlap_threshold: float | None,
    stuff_area: float | None,
    overrides: Sequence[str],
) -> dict[str, Any]:
    """What was given, for `change_fusion`."""
    given = {
        "rule": rule,
        "score_threshold": score_threshold,
        "overlap_threshold": overlap_threshold,
        "stuff_area": stuff_area,
    }
    return {k: v for k, v in given.items() if v is not None} | parse_fusion_overrides(overrides)


def _combine_images(
    out: Path,
    tasks: list[tuple[ImageRecord, str]],
    fuse: Fuse,
    space: LabelSpace,
    *,
    overwrite: bool,
    workers: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> int:
    """Fuse images and write panoptic.json and its PNGs; returns how many segments they have."""
    _check_folder(out, overwrite=overwrite)
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    segments = 0

    def count(annotations: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        nonlocal segments
        for done, annotation in enumerate(annotations, start=1):
            segments += len(annotation["segments_info"])
            if on_progress:
                on_progress(done, len(tasks))
            yield annotation

    def write_map(task: tuple[ImageRecord, str], png_dir: Path) -> dict[str, Any]:
        image, name = task
        fused = fuse(image)
        write_id_map(make_parent(png_dir, name), fused.panoptic_map)
        return annotation_to_json(image.image_id, name, fused.segments_info)

    try:
        with write_pair_aside(out / PANOPTIC_FILE) as written:
            png_dir = written.with_suffix("")
            png_dir.mkdir()
            with map_threads(lambda task: write_map(task, png_dir), tasks, workers) as annotations:
                images = [image for image, _ in tasks]
                write_panoptic_json(written, images, count(annotations), space)
    except BaseException:
        if is_new:
            out.rmdir()
        raise
    return segments


def _check_folder(out: Path, *, overwrite: bool) -> None:
    """Raise DataError unless the folder is new or empty, or may be written into."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give a folder for the output")
    if (out / RUN_FILE).exists():
        raise DataError(f"{out} holds a run, whose files belong together; give another folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise DataError(f"{out} is not empty; give a new folder, or --overwrite")
    check_links(out, out / PANOPTIC_FILE, (out / PANOPTIC_FILE).with_suffix(""))


def _find_unlisted(inputs: _Inputs, listed: Set[ImageId], image_list: Path) -> tuple[ImageId, ...]:
    """Image ids that the predictions speak of and the image list lacks.

    Raises:
        DataError: it lacks all of a file.
    """
    unlisted: set[ImageId] = set()
    for file in (inputs.instances, inputs.semantic):
        if isinstance(file, ResultsFile) and file.entries:
            extra = file.entries.keys() - listed
            if len(extra) == len(file.entries):
                raise DataError(
                    f"{file.path}: none of its images (image_id {next(iter(file.entries))!r}, ...) "
                    f"is in {image_list} (image_id {next(iter(listed), None)!r}, ...)"
                )
            unlisted |= extra
    return tuple(sorted(unlisted, key=str))
