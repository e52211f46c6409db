"""A report: figures first, then image after image streamed into the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuse.errors import DataError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.files import StrPath, check_writable, to_path
from fuse.report.document import write_document
from fuse.report.extras import read_error_types, read_sweep
from fuse.report.layers import ShownImage, show_image
from fuse.report.runs import describe_run, find_images, name_apart, open_runs
from fuse.report.scores import RatedImage, choose_images, rate_images, summarize_run
from fuse.threads import count_steps, map_threads
from fuse.version import __version__

IMAGES_SHOWN = 50
IMAGES_AHEAD = 4  # per thread; each holds its image as a picture for the page
REPORT_FILE = "report.html"


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A report that was written.

    Attributes:
        path: the HTML file.
        images: how many images its figures are of.
        shown: how many of them it shows.
        missing: how many of these without their picture.
        size: of the file, in bytes.
    """

    path: Path
    images: int
    shown: int
    missing: int
    size: int


def report(
    run: StrPath,
    second: StrPath | None = None,
    *,
    gt: StrPath | None = None,
    gt_dir: StrPath | None = None,
    images: StrPath | None = None,
    photos: int = IMAGES_SHOWN,
    sweep: StrPath | None = None,
    ledger: StrPath | None = None,
    out: StrPath | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write one HTML file that shows a run and opens from disk, without a network.

    Args:
        run: output folder of a run, or a COCO panoptic JSON.
        second: another one, to be held against the first; PQ is of the images that both have.
        gt: COCO panoptic JSON; without it the report has no scores.
        gt_dir: its PNGs, where they are not in the folder of its name.
        images: folder of the images, where they are not where the run found them.
        photos: how many images to show at most: the worst, the best, the most changed.
        sweep: what `fuse sweep --json` wrote, to be drawn.
        ledger: what `fuse diagnose --json` wrote, to be drawn.
        out: the file; by default ``report.html`` in the folder of the run.
        workers: threads, by default one per processor.
        on_progress: called with the steps done and the steps in all: one per image of the run
            and one per image shown.

    Raises:
        LabelSpaceError: the two runs have different classes and are to be scored.
        FuseError: a file is missing or damaged, or images cannot be scored.
        OSError: the report cannot be written.
    """
    drawn_sweep = read_sweep(to_path(sweep)) if sweep else None
    error_types = read_error_types(to_path(ledger)) if ledger else None
    truth = read_panoptic_json(gt, gt_dir) if gt else None
    given = [to_path(path) for path in (run, second) if path]
    path = to_path(out) or (given[0] if given[0].is_dir() else given[0].parent) / REPORT_FILE
    check_writable(path)
    runs = open_runs(given, truth)
    count = len(runs[0].dataset.annotations)
    step = count_steps(on_progress, count + min(count, photos))
    rated = rate_images(runs, workers=workers, on_image=step)
    common = [image for image in rated if all(image.image_id in one.own_ids for one in runs)]
    if not common:
        raise DataError(f"{given[0]} and {given[-1]} have no image in common")
    shown = choose_images(rated, photos)
    paths = find_images(
        [image.file_name for image in shown], [one.run_file for one in runs], to_path(images)
    )
    names = name_apart(given)
    figures = {
        "fuse": __version__,
        "runs": [
            describe_run(one, names[place], summarize_run(place, common, one))
            for place, one in enumerate(runs)
        ],
        "truth": str(to_path(gt)) if gt else None,
        "mapped": runs[0].scorer.mapped if runs[0].scorer else None,
        "compared": len(common),
        "all_pq": [list(image.pq) for image in rated],
        "images": [image.to_json() | {"missing": image.file_name not in paths} for image in shown],
        "sweep": drawn_sweep,
        "error_types": error_types,
    }

    def show(image: RatedImage) -> ShownImage:
        return show_image(image.image_id, runs, paths.get(image.file_name))

    with map_threads(show, shown, workers, ahead=IMAGES_AHEAD, on_result=step) as shown_images:
        size = write_document(path, figures, shown_images)
    missing = sum(image.file_name not in paths for image in shown)
    return Report(path, len(rated), len(shown), missing, size)
