"""`fuse report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import printable
from fuse.cli.progress import count_progress


@click.command(short_help="Write one HTML page that shows a run, images included.")
@click.argument("run", type=options.EXISTING)
@click.argument("others", nargs=-1, type=options.EXISTING, metavar="[RUN2]...")
@options.path("--gt", "GT.json", "COCO panoptic ground truth; without it the report has no scores.")
@options.gt_dir
@options.folder("--images", "DIR", "Folder of the images.  [default: where the run found them]")
@options.list_file
@options.null
@click.option(
    "--photos",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Show N at most: the worst, the best and the most changed.",
)
@options.file("--sweep", "SWEEP.json", "What fuse sweep --json wrote, to be drawn.")
@options.file("--ledger", "LEDGER.json", "What fuse diagnose --json wrote, to be drawn.")
@click.option(
    "-o",
    "--out",
    type=options.OutFile(),
    metavar="FILE.html",
    help="The report.  [default: report.html in RUN; of a JSON it must be given]",
)
@options.workers
def report(
    run: Path, others: tuple[Path, ...], *, list_file: str | None, null: bool, **given: Any
) -> None:
    """Write one HTML file that shows a run: scores, classes, plots, images layer by layer.

    It opens from disk and needs no network. With more runs it shows what differs from RUN.

    \b
    fuse run images/ -o out --gt gt.json --keep-predictions
    fuse report out --gt gt.json
    """
    from fuse import api

    image_list = api.read_image_list(list_file, null=null) if list_file else None
    with count_progress() as on_progress:
        result = api.report(run, *others, **given, image_list=image_list, on_progress=on_progress)
    if result.changed:
        note = f"warning: {result.changed} images changed since the run and are shown without a"
        click.echo(f"{note} picture", err=True)
    if result.differing:
        note = f"warning: {result.differing} images changed between the runs"
        click.echo(f"{note}; there not only their nets and rules differ", err=True)
    if result.missing:
        given_where = image_list or given["images"]
        where = f"in {given_where}" if given_where else "where the run found them"
        note = f"warning: {result.missing} images are not {where} and are shown without a picture"
        click.echo(printable(f"{note}; name their folder with --images"), err=True)
    megabytes = f"{result.size / 1e6:.1f} MB"
    click.echo(f"{result.shown} of {result.images} images, {megabytes} -> {result.path}")
