"""A report: figures first, then image after image streamed into the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuse.analysis.image_files import find_images, find_stale
from fuse.analysis.opened_run import OpenedRun, find_changed_images, read_image_sources
from fuse.errors import ConfigError, DataError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.coco.png_folder import find_panoptic_json
from fuse.io.files import StrPath, check_writable, is_run, to_path
from fuse.io.image_list import ImageList
from fuse.report.document import is_report, write_document
from fuse.report.extras import read_extras
from fuse.report.layers import ShownImage, show_image
from fuse.report.runs import describe_run, name_apart, open_runs
from fuse.report.scores import RatedImage, choose_images, rate_images, summarize_run
from fuse.threads import count_steps, map_threads
from fuse.types.short_repr import ShortRepr
from fuse.version import __version__

IMAGES_SHOWN = 50
IMAGES_AHEAD = 4  # per thread; each holds its image as a picture for the page
REPORT_FILE = "report.html"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Report(ShortRepr):
    """A report that was written.

    Attributes:
        path: the HTML file.
        images: how many images its figures are of.
        shown: how many of them it shows.
        missing: how many of these without their picture, as it is not found.
        changed: how many of these without it, as the file is no longer what the run read.
        differing: how many images changed between the runs.
        size: of the file, in bytes.
    """

    path: Path
    images: int
    shown: int
    missing: int
    changed: int
    differing: int
    size: int


def report(
    run: StrPath,
    *others: StrPath,
    gt: StrPath | None = None,
    gt_dir: StrPath | None = None,
    images: StrPath | None = None,
    image_list: ImageList | None = None,
    photos: int = IMAGES_SHOWN,
    sweep: StrPath | None = None,
    ledger: StrPath | None = None,
    unscored: str | None = None,
    out: StrPath | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write one HTML file that shows a run and opens from disk, without a network.

    Args:
        run: output folder of a run, or a COCO panoptic JSON.
        others: more of them, to be held against the first; PQ is of the images that all have.
        gt: COCO panoptic JSON; without it the report has no scores.
        gt_dir: its PNGs, where they are not in the folder of its name.
        images: folder of the images, where they are not where the run found them.
        image_list: images by name, where they are not where the run found them.
        photos: how many images to show at most: the worst, the best, the most changed.
        sweep: what `fuse sweep --json` wrote, to be drawn.
        ledger: what `fuse diagnose --json` wrote, to be drawn.
        unscored: without `gt`, why there are no scores, to be said on the page.
        out: the file; by default ``report.html`` in the folder of the run. For a JSON it must be
            given, as that may lie in a dataset.
        workers: threads, by default one per processor.
        on_progress: called with the steps done and the steps in all: one per image of the run
            and one per image shown.

    Raises:
        ConfigError: `out` is needed, or would be put in the place of what is no report.
        LabelSpaceError: the runs have different classes and are to be scored.
        FuseError: a file is missing or damaged, or images cannot be scored.
        OSError: the report cannot be written.
    """
    extras = read_extras(to_path(sweep), to_path(ledger))
    truth = read_panoptic_json(gt, gt_dir) if gt else None
    given = [to_path(path) for path in (run, *others)]
    path = _choose_path(given[0], to_path(out))
    runs = open_runs(given, truth)
    count = len(runs[0].own_ids)
    step = count_steps(on_progress, count + min(count, photos))
    rated = rate_images(runs, workers=workers, on_image=step)
    common = _choose_common(rated, runs)
    shown = choose_images(rated, photos)
    names = {image.image_id: image.file_name for image in shown}
    found = find_images(names.values(), runs, to_path(images), image_list)
    sources = [read_image_sources(one) for one in runs]
    changed = find_stale(names, found, sources[0])
    differing = len({i for other in sources[1:] for i in find_changed_images(sources[0], other)})
    figures = {
        "fuse": __version__,
        "runs": [
            describe_run(one, name, summarize_run(place, common, one))
            for place, (one, name) in enumerate(zip(runs, name_apart(given), strict=True))
        ],
        "truth": str(to_path(gt)) if gt else None,
        "unscored": unscored,
        "mapped": runs[0].scorer.mapped if runs[0].scorer else None,
        "compared": len(common),
        "all_pq": [list(image.pq) for image in rated],
        "images": [
            image.to_json() | {"missing": name not in found, "stale": name in changed}
            for image, name in zip(shown, names.values(), strict=True)
        ],
        "differing": differing,
        **extras,
    }

    def show(image: RatedImage) -> ShownImage:
        picture = None if image.file_name in changed else found.get(image.file_name)
        return show_image(image.image_id, runs, picture)

    with map_threads(show, shown, workers, ahead=IMAGES_AHEAD, on_result=step) as shown_images:
        size = write_document(path, figures, shown_images)
    counts = len(rated), len(shown), len(shown) - len(found), len(changed), differing
    return Report(path, *counts, size)


def _choose_common(rated: Sequence[RatedImage], runs: Sequence[OpenedRun]) -> list[RatedImage]:
    """The images that all runs have; DataError where there is none."""
    common = [image for image in rated if all(image.image_id in one.own_ids for one in runs)]
    if not common:
        named = " and ".join(str(run.path) for run in runs)
        raise DataError(f"{named} have no image in common")
    return common


def _choose_path(run: Path, out: Path | None) -> Path:
    """Where the report goes.

    Raises:
        ConfigError: nobody said where, and it might be a dataset's folder or another's file.
        DataError: nothing can be written there.
    """
    if out is None and not is_run(run):
        find_panoptic_json(run)  # which says so where there is none
        raise ConfigError(f"{run} is no folder of a run, so name the report with -o FILE.html")
    path = out or run / REPORT_FILE
    is_file = path.is_file() and not path.is_symlink()  # a link is replaced, not followed
    if is_file and path.stat().st_size and not is_report(path):
        raise ConfigError(f"{path} is no report of fuse; give another name with -o FILE.html")
    check_writable(path)
    return path
