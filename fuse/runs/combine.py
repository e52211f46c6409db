"""Fusing again: the kept predictions of a run, or COCO result files of other tools."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuse.errors import ConfigError, DataError, FuseWarning
from fuse.fusion import (
    METHODS,
    THRESHOLDS,
    FusionConfig,
    change_fusion,
    find_pairs,
    fuse_by_overlap,
    fuse_image,
    fuse_stuff_masks,
)
from fuse.inference.presets import parse_fusion_overrides
from fuse.io.coco.categories import read_categories
from fuse.io.coco.image_list import read_image_list
from fuse.io.coco.image_names import ImageNames, place_inside
from fuse.io.coco.panoptic import ImageId, ImageRecord, annotation_to_json, write_panoptic_json
from fuse.io.coco.results import LabelFolder, ResultsFile, open_semantic, read_results
from fuse.io.files import (
    PANOPTIC_FILE,
    RUN_FILE,
    StrPath,
    check_links,
    check_writable,
    make_parent,
    mend_pair,
    to_path,
    write_pair_aside,
)
from fuse.io.listing import png_names
from fuse.io.png import write_id_map
from fuse.labels import load_space
from fuse.runs.saved_predictions import open_saved_predictions
from fuse.threads import count_steps, map_threads
from fuse.types import LabelSpace, PanopticPrediction
from fuse.types.short_repr import ShortRepr

DEFAULT_SPACE = "coco_panoptic"  # where neither the caller nor the image list has categories


@dataclass(frozen=True, slots=True, repr=False)
class CombineResult(ShortRepr):
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
class _Source:
    """What is to be fused.

    Attributes:
        images: each with the name of its map.
        space: the label space.
        fuse: makes the map of an image.
        unlisted: see `CombineResult`.
    """

    images: Sequence[tuple[ImageRecord, str]]
    space: LabelSpace
    fuse: Callable[[ImageRecord], PanopticPrediction]
    unlisted: tuple[ImageId, ...] = ()


def combine(
    out: StrPath,
    *,
    predictions: StrPath | None = None,
    instances: StrPath | None = None,
    semantic: StrPath | None = None,
    images: StrPath | None = None,
    categories: StrPath | None = None,
    rule: str | None = None,
    score_threshold: float | None = None,
    overlap_threshold: float | None = None,
    stuff_area: float | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> CombineResult:
    """Fuse again what nets have predicted; no net runs.

    Of a run's kept predictions, by its own rule and thresholds, the files are those of the run.
    Of other tools' results the segments are those of COCO's combine script, pixel for pixel; their
    ids count up from 1 in paint order, and segments without pixels are left out. A few images are
    in memory at a time.

    Args:
        out: folder for panoptic.json and panoptic/*.png; new, empty, or see overwrite.
        predictions: output folder of a run with kept predictions; instead of the next four.
        instances: COCO result JSON, masks as RLE or polygons, with scores.
        semantic: COCO result JSON of stuff masks, or a folder of label PNGs (category ids as
            grey values or palette indices, 0 = void). Entries and pixels of things are
            left out.
        images: COCO JSON with ``images``; images without predictions get an empty map.
        categories: name of a label space, CSV or JSON file; by default the image list's,
            else COCO panoptic.
        rule: a key of `fuse.fusion.METHODS`; by default the run's, else ``overlap``.
        score_threshold: instances that score less are dropped, not below what the run kept. By
            default the run's, or that of a rule given here, and so are the next two.
        overlap_threshold: instances with more than this share of their pixels taken are skipped.
        stuff_area: stuff segments with fewer pixels are dropped; below 1: a share of the image.
        overrides: ``key=value`` each, for the rule's parameters.
        overwrite: replace panoptic.json and panoptic/ where they exist.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        ConfigError: the rule or a threshold is wrong, or it is not said what to fuse.
        CocoFormatError: a file is missing or wrong; the message names the entry and the field.
        DataError: the run kept no predictions, the folder is not empty, or none of a file's
            images is in the list.
        LabelSpaceError: there are no such categories.
    """
    out = to_path(out)
    check_writable(out)
    given = {
        "rule": rule,
        "score_threshold": score_threshold,
        "overlap_threshold": overlap_threshold,
        "stuff_area": stuff_area,
    }
    changes = {k: v for k, v in given.items() if v is not None} | parse_fusion_overrides(overrides)
    if predictions and not (instances or semantic or images or categories):
        source = _open_run(predictions, changes)
    elif instances and semantic and images and not predictions:
        source = _open_results(instances, semantic, images, categories, changes)
    else:
        raise ConfigError("give predictions, or instances, semantic and images")
    segments = _write(out, source, overwrite=overwrite, workers=workers, on_progress=on_progress)
    return CombineResult(out, len(source.images), segments, source.unlisted)


def _open_run(predictions: StrPath, changes: Mapping[str, Any]) -> _Source:
    """The kept predictions of a run, by its rule with changes."""
    run = open_saved_predictions(predictions)
    fusion = run.change_rule(changes)
    annotations = run.dataset.annotations
    images = [(image, annotations[i].file_name) for i, image in run.dataset.images.items()]
    return _Source(
        images, run.space, lambda image: next(run.fuse_by_rules(image.image_id, [fusion]))
    )


def _open_results(
    instances: StrPath,
    semantic: StrPath,
    images: StrPath,
    categories: StrPath | None,
    changes: Mapping[str, Any],
) -> _Source:
    """Result files of other tools, by the default rule with changes."""
    fusion = change_fusion(FusionConfig(), changes)
    if fusion.stuff_score > 0:
        raise ConfigError("stuff_score needs logits, which kept predictions have, not result files")
    listed, listed_space = read_image_list(to_path(images))
    if categories:
        space = read_categories(str(categories))
    else:
        space = listed_space or load_space(DEFAULT_SPACE)
    names_listed = ImageNames((i, image.file_name) for i, image in listed.items())
    instance_file = read_results(to_path(instances), space, names_listed.find)
    semantic_file = open_semantic(to_path(semantic), space, names_listed.find)
    unlisted = _find_unlisted((instance_file, semantic_file), listed.keys(), images)
    _tell_missing(semantic_file, listed.keys())
    inside = _place_inside(listed, images)
    if isinstance(semantic_file, LabelFolder):
        semantic_file.refuse_shared(inside.values())
    find_pairs(fusion, space)
    if isinstance(semantic_file, ResultsFile) and METHODS[fusion.rule].fuse != fuse_by_overlap:
        raise ConfigError(
            f"rule {fusion.rule!r} needs a folder of label PNGs; {semantic} is a file"
        )

    def fuse_results(image: ImageRecord) -> PanopticPrediction:
        size = (image.height or 0, image.width or 0)  # the image list has checked both
        found = instance_file.load_instances(
            image.image_id, size, score_threshold=fusion.score_threshold
        )
        if isinstance(semantic_file, ResultsFile):
            stuff_ids, stuff_masks = semantic_file.load_masks(image.image_id, size, isthing=False)
            thresholds = {key: getattr(fusion, key) for key in THRESHOLDS}
            return fuse_stuff_masks(stuff_ids, stuff_masks, found, **thresholds)
        labels = semantic_file.load_semantic(image.image_id, inside[image.image_id], size)
        return fuse_image(labels, found, space, fusion, {})

    names = png_names(list(inside.values()))
    return _Source(list(zip(listed.values(), names, strict=True)), space, fuse_results, unlisted)


def _place_inside(listed: Mapping[ImageId, ImageRecord], image_list: StrPath) -> dict[ImageId, str]:
    """Names of images as paths in one folder, by which their maps are called.

    Raises:
        DataError: two images would have the same one.
    """
    given = [image.file_name for image in listed.values()]
    names = place_inside(given)
    if names != given:
        first = next(pair for pair in zip(given, names, strict=True) if pair[0] != pair[1])
        warnings.warn(
            FuseWarning(
                f"{image_list}: names of images are URLs or lead out of a folder; they count from "
                f"the folder that holds all, first {first[0]!r} as {first[1]!r}"
            ),
            stacklevel=4,
        )
    if len(set(names)) < len(names):
        (name, _), *_ = Counter(names).most_common(1)
        raise DataError(f"{image_list}: several images are called {name!r}; give each its name")
    return dict(zip(listed, names, strict=True))


def _find_unlisted(
    files: Iterable[ResultsFile | LabelFolder], listed: Set[ImageId], image_list: StrPath
) -> tuple[ImageId, ...]:
    """Image ids that the predictions speak of and the image list lacks.

    Raises:
        DataError: it lacks all of a file.
    """
    unlisted: set[ImageId] = set()
    for file in files:
        if isinstance(file, ResultsFile) and file.entries:
            extra = file.entries.keys() - listed
            if len(extra) == len(file.entries):
                raise DataError(
                    f"{file.path}: none of its images (image_id {next(iter(file.entries))!r}, ...) "
                    f"is in {image_list} (image_id {next(iter(listed), None)!r}, ...)"
                )
            unlisted |= extra
    return tuple(sorted(unlisted, key=str))


def _tell_missing(semantic_file: ResultsFile | LabelFolder, listed: Set[ImageId]) -> None:
    """Tell in a `FuseWarning` how many images a result file has no stuff of."""
    if isinstance(semantic_file, LabelFolder):  # reading one that is missing is an error
        return
    missing = [image_id for image_id in listed if image_id not in semantic_file.entries]
    if missing:
        warnings.warn(
            FuseWarning(
                f"{semantic_file.path}: {len(missing)} of {len(listed)} images have no entry, "
                f"first image_id {missing[0]!r}; they get no stuff"
            ),
            stacklevel=4,
        )


def _write(
    out: Path,
    source: _Source,
    *,
    overwrite: bool,
    workers: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> int:
    """Fuse the images, write panoptic.json and its PNGs; returns how many segments they have."""
    _check_folder(out, overwrite=overwrite)
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    segments = 0

    def write_map(image: ImageRecord, name: str, png_dir: Path) -> dict[str, Any]:
        fused = source.fuse(image)
        write_id_map(make_parent(png_dir, name), fused.panoptic_map)
        return annotation_to_json(image.image_id, name, fused.segments_info)

    def count(annotations: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        nonlocal segments
        for annotation in annotations:
            segments += len(annotation["segments_info"])
            yield annotation

    try:
        with write_pair_aside(out / PANOPTIC_FILE) as written:
            png_dir = written.with_suffix("")
            png_dir.mkdir()
            with map_threads(
                lambda image: write_map(*image, png_dir),
                source.images,
                workers,
                on_result=count_steps(on_progress, len(source.images)),
            ) as annotations:
                images = (image for image, _ in source.images)
                write_panoptic_json(written, images, count(annotations), source.space)
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
    check_links(out, out / PANOPTIC_FILE, (out / PANOPTIC_FILE).with_suffix(""))
    mend_pair(out / PANOPTIC_FILE)
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise DataError(f"{out} is not empty; give a new folder, or --overwrite")
