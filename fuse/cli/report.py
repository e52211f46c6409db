"""`fuse report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli.options import OutFile, gt_dir_option, workers_option
from fuse.cli.printable import printable


@click.command(short_help="Write one HTML page that shows a run, images included.")
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.argument(
    "second", required=False, type=click.Path(exists=True, path_type=Path), metavar="[RUN2]"
)
@click.option(
    "--gt",
    type=click.Path(exists=True, path_type=Path),
    metavar="GT.json",
    help="COCO panoptic ground truth; without it the report has no scores.",
)
@gt_dir_option
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the images.  [default: where the run found them]",
)
@click.option(
    "--photos",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Show N at most: the worst, the best and the most changed.",
)
@click.option(
    "--sweep",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="SWEEP.json",
    help="What fuse sweep --json wrote, to be drawn.",
)
@click.option(
    "--ledger",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="LEDGER.json",
    help="What fuse diagnose --json wrote, to be drawn.",
)
@click.option(
    "-o",
    "--out",
    type=OutFile(),
    metavar="FILE.html",
    help="The report.  [default: report.html in RUN]",
)
@workers_option
def report(**options: Any) -> None:  # noqa: ANN401
    """Write one HTML file that shows a run: scores, classes, plots, images layer by layer.

    It opens from disk and needs no network. With RUN2 it shows what differs between the two.

    \b
    fuse run images/ -o out --gt gt.json --keep-predictions
    fuse report out --gt gt.json
    """
    from fuse import api
    from fuse.cli.progress import count_progress

    with count_progress() as on_progress:
        result = api.report(**options, on_progress=on_progress)
    if result.missing:
        where = f"in {options['images']}" if options["images"] else "where the run found them"
        note = f"warning: {result.missing} images are not {where} and are shown without a picture"
        click.echo(printable(f"{note}; name their folder with --images"), err=True)
    megabytes = f"{result.size / 1e6:.1f} MB"
    click.echo(f"{result.shown} of {result.images} images, {megabytes} -> {result.path}")
