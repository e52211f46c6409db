"""Building a report: figures first, then image after image streamed into the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuse.errors import DataError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.files import take_text
from fuse.metrics.pq import PQResult
from fuse.ops.memory import keep_freed_memory
from fuse.report.document import write_document
from fuse.report.extras import read_ledger, read_sweep
from fuse.report.layers import ShownImage, show_image
from fuse.report.runs import ShownRun, describe_run, find_images, name_apart, open_runs
from fuse.report.scores import RatedImage, choose_images, rate_images, summarize_run
from fuse.threads import map_threads
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


@take_text
def report(
    run: Path,
    second: Path | None = None,
    *,
    gt: Path | None = None,
    gt_dir: Path | None = None,
    images: Path | None = None,
    photos: int = IMAGES_SHOWN,
    sweep: Path | None = None,
    ledger: Path | None = None,
    out: Path | None = None,
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
    keep_freed_memory()
    extras = {
        "sweep": read_sweep(sweep) if sweep else None,
        "ledger": read_ledger(ledger) if ledger else None,
    }
    truth = read_panoptic_json(gt, gt_dir) if gt else None
    runs = open_runs([run, second] if second else [run], truth)
    count = len(runs[0].dataset.annotations)
    total, done = count + min(count, photos), 0

    def step() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, total)

    rated = rate_images(runs, workers=workers, on_image=step)
    common = [image for image in rated if all(image.image_id in one.own_ids for one in runs)]
    if not common:
        raise DataError(f"{runs[0].path} and {runs[-1].path} have no image in common")
    results = [summarize_run(place, common, one) for place, one in enumerate(runs)]
    shown = choose_images(rated, photos)
    paths = find_images(
        [image.file_name for image in shown], [one.run_file for one in runs], images
    )
    figures = {
        "fuse": __version__,
        "runs": [
            _describe(*described)
            for described in zip(runs, name_apart([r.path for r in runs]), results, strict=True)
        ],
        "truth": str(gt) if gt else None,
        "mapped": runs[0].scorer.mapped if runs[0].scorer else None,
        "compared": len(common),
        "all_pq": [list(image.pq) for image in rated],
        "photos": [image.to_json() | {"missing": image.file_name not in paths} for image in shown],
        **extras,
    }
    path = out or (run if run.is_dir() else run.parent) / REPORT_FILE
    size = write_document(path, figures, _stream(shown, runs, paths, workers, step))
    missing = sum(image.file_name not in paths for image in shown)
    return Report(path, len(rated), len(shown), missing, size)


def _stream(
    shown: Sequence[RatedImage],
    runs: Sequence[ShownRun],
    paths: Mapping[str, Path | str],
    workers: int | None,
    on_image: Callable[[], None],
) -> Iterator[ShownImage]:
    """The images to be shown, in order, a few in memory at a time."""
    second = runs[1] if len(runs) > 1 else None

    def show(image: RatedImage) -> ShownImage:
        return show_image(image.image_id, runs[0], second, paths.get(image.file_name))

    with map_threads(show, shown, workers, ahead=IMAGES_AHEAD) as images:
        for image in images:
            yield image
            on_image()


def _describe(run: ShownRun, name: str, result: PQResult | None) -> dict[str, Any]:
    """A run with its classes and, where there is ground truth, its scores."""
    return {
        "name": name,
        **describe_run(run),
        "scores": result.to_json() if result else None,
        "photos_here": len(run.own_ids),
        "lacking": len(run.scorer.truth.annotations) - len(run.own_ids) if run.scorer else 0,
        "classes": {
            str(c.category_id): {
                "name": c.name,
                "isthing": c.isthing,
                "color": "#{:02x}{:02x}{:02x}".format(*c.color),
            }
            for c in run.space.categories
        },
    }
