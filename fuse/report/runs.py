"""The runs that a report shows, opened and held against the ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any

from fuse.analysis.opened_run import OpenedRun, class_names, describe_difference, open_run
from fuse.errors import DataError, LabelSpaceError
from fuse.evaluation.evaluate import Evaluation
from fuse.evaluation.measured import Measured
from fuse.io.coco.panoptic import ImageId, PanopticDataset
from fuse.io.image_list import ImageList
from fuse.io.image_source import ImageSource
from fuse.io.listing import list_images
from fuse.io.remote import is_url
from fuse.metrics.measures import TITLES, expand_measures
from fuse.metrics.pq import GROUPS, none_if_nan
from fuse.runs.call import read_recorded_list


def open_runs(paths: Sequence[Path], truth: PanopticDataset | None) -> list[OpenedRun]:
    """Open runs; with ground truth only the images that it knows are kept.

    Args:
        paths: output folders of runs, or COCO panoptic JSONs.
        truth: the ground truth, if there is one; without it the other runs go by the image ids
            of the first.

    Raises:
        FuseError: see `open_run`.
        LabelSpaceError: runs that are scored have different categories.
    """
    if truth:
        measures = expand_measures(["all"])
        runs = [open_run(path, truth=truth, measures=measures) for path in paths]
        _check_classes(runs)
        return runs
    first = open_run(paths[0])
    return [first, *(open_run(path, known=first.dataset) for path in paths[1:])]


def _check_classes(runs: Sequence[OpenedRun]) -> None:
    """Raise LabelSpaceError where PQ of the runs would be over different classes."""
    first, *others = [(f"{run.path} ({run.space.name})", class_names(run.space)) for run in runs]
    for run, other in zip(runs[1:], others, strict=True):
        if lacks := describe_difference(first, other):
            raise LabelSpaceError(
                f"{runs[0].path} and {run.path} have different classes: {lacks}; "
                "leave out --gt, or fuse compare --intersect scores what they share"
            )


def find_images(
    names: Iterable[str],
    runs: Iterable[OpenedRun],
    images: Path | None,
    image_list: ImageList | None = None,
) -> dict[str, Path | str]:
    """Where the images of a run lie, URLs as text; those that are not found have no entry.

    Args:
        names: relative names of the images.
        runs: whose run.json says what their inputs were, URLs and lists among them; the first that
            knows an image counts.
        images: a folder to look in instead. There an image may also lie by its bare name.
        image_list: images to take instead, also by their bare names.

    Raises:
        DataError: there is no image at all in `images`, or in the list.
    """
    wanted = list(names)
    if images or image_list:
        return _find_below([str(images)] if images else [], image_list, wanted)
    found: dict[str, Path | str] = {}
    for run in runs:
        settings = run.run_file.get("settings", {})
        inputs = settings.get("inputs", ())
        present = [
            given for given in inputs if is_url(given) or has_magic(given) or Path(given).exists()
        ]
        with suppress(DataError):  # moved away since: the report says so of each image
            listed = read_recorded_list(settings, run.path)
            images_here = list_images(present, listed=listed).images
            found = {p.relative_name: p.path for p in images_here if _exists(p.path)} | found
    return {name: found[name] for name in wanted if name in found}


def find_stale(
    names: Mapping[ImageId, str],
    found: Mapping[str, Path | str],
    sources: Mapping[ImageId, ImageSource],
) -> set[str]:
    """The images, by name, whose files are no longer what the run read."""
    return {
        name
        for image_id, name in names.items()
        if name in found and image_id in sources and not sources[image_id].is_unchanged(found[name])
    }


def _exists(path: Path | str) -> bool:
    """Whether a file is there; of a URL nobody asks."""
    return isinstance(path, str) or path.exists()


def _find_below(
    inputs: Sequence[str], image_list: ImageList | None, names: Iterable[str]
) -> dict[str, Path | str]:
    """Images by their relative name, or by a bare name that is there once."""
    listed = list_images(inputs, listed=image_list).images
    by_path = {image.relative_name: image.path for image in listed}
    bare = [PurePosixPath(image.relative_name).name for image in listed]
    uses = Counter(bare)
    by_name = {
        name: image.path for name, image in zip(bare, listed, strict=True) if uses[name] == 1
    }
    found = {name: by_path.get(name, by_name.get(PurePosixPath(name).name)) for name in names}
    return {name: path for name, path in found.items() if path}


def describe_run(run: OpenedRun, name: str, scored: Evaluation | None) -> dict[str, Any]:
    """What the page says of a run, in plain values: of run.json, its scores and its classes."""
    settings = run.run_file.get("settings", {})
    keys = ("seconds", "peak_memory_mib", "device", "processor", "python", "packages")
    return {
        "name": name,
        "path": str(run.path),
        "pipeline": settings.get("pipeline"),
        "weights": settings.get("weights", {}),
        "label_space": run.space.name,
        "unknown": run.unknown,
        **{key: run.run_file[key] for key in keys if key in run.run_file},
        "images": run.run_file.get("photos"),
        "scores": scored.result.to_json() if scored else None,
        "measures": list_measures(scored.measured) if scored and scored.measured else [],
        "calibration": list_calibration(scored),
        "images_here": len(run.own_ids),
        "lacking": len(run.scorer.truth.annotations) - len(run.own_ids) if run.scorer else 0,
        "classes": {
            str(c.file_id): {"name": c.name, "isthing": c.isthing, "color": hex_color(c.color)}
            for c in run.space.categories
        },
    }


def list_measures(measured: Measured) -> list[dict[str, Any]]:
    """Title, PQ and interval by group of each measure, in plain values."""
    return [
        {
            "title": TITLES[name],
            "pq": {group: none_if_nan(getattr(one.result, group).pq) for group in GROUPS},
            "interval": {group: one.intervals[group]["pq"] for group in GROUPS},
        }
        for name, one in measured.pq.items()
    ]


def list_calibration(scored: Evaluation | None) -> dict[str, Any] | None:
    """Calibration of things and stuff in plain values; None where no segment has a score."""
    calibration = scored.measured.calibration if scored and scored.measured else None
    if calibration is None:
        return None
    groups = {"things": calibration.things, "stuff": calibration.stuff}
    found = {name: group.to_json() for name, group in groups.items() if group.counts.any()}
    return found or None


def hex_color(color: Iterable[int]) -> str:
    """``#rrggbb``.

    >>> hex_color((255, 0, 16))
    '#ff0010'
    """
    return "#" + "".join(f"{channel:02x}" for channel in color)


def name_apart(paths: Sequence[Path]) -> list[str]:
    """What to call runs: their last folders, or their whole paths where these are the same.

    >>> name_apart([Path("out/a"), Path("out/b")]), name_apart([Path("a/out"), Path("b/out")])
    (['a', 'b'], ['a/out', 'b/out'])
    """
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
