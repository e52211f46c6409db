"""`fuse combine`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import counted, printable
from fuse.cli.progress import count_progress


@click.command(short_help="Fuse again: kept predictions, or other tools' result files.")
@options.out_folder
@options.folder("--predictions", "RUN", "A run with --keep-predictions; instead of the next four.")
@options.file("--instances", "COCO.json", "COCO results with masks as RLE or polygons, and scores.")
@options.path(
    "--semantic",
    "COCO.json|PNG_DIR",
    "COCO results of stuff masks, or a folder of PNGs with a category id per pixel.",
)
@options.file("--images", "IMAGES.json", "COCO JSON that lists the images.")
@click.option(
    "--categories",
    metavar="FILE|SPACE",
    help="Categories: a label space, or a JSON or CSV file.  [default: those of IMAGES.json]",
)
@click.option("--rule", help="Fusion rule, see docs/rules.md.  [default: overlap, or that of RUN]")
@click.option(
    "--score-threshold", type=click.FloatRange(0, 1), help="[default: 0.5, or that of RUN]"
)
@click.option(
    "--overlap-threshold", type=click.FloatRange(0, 1), help="[default: 0.5, or that of RUN]"
)
@click.option(
    "--stuff-area",
    type=click.FloatRange(min=0),
    help="Smallest stuff segment in pixels; below 1 a share of the image.  "
    "[default: 4096, or that of RUN]",
)
@options.set_values("A parameter of the rule, as temperature=2; may be repeated.")
@options.workers
@click.option(
    "--overwrite", is_flag=True, help="Replace panoptic.json and its PNGs where they exist."
)
def combine(predictions: Path | None, **given: Any) -> None:
    """Fuse again what nets have said: a run's kept predictions, or other tools' result files.

    \b
    fuse combine --predictions out -o out2 --score-threshold 0.3
    fuse combine --instances inst.json --semantic stuff.json --images val2017.json -o out
    """
    from fuse import api

    given = {key: value for key, value in given.items() if value is not None}
    sources = {"instances", "semantic", "images"}
    if predictions and given.keys() & {*sources, "categories"}:
        raise click.UsageError("give --predictions, or --instances, --semantic and --images")
    if not predictions and not sources <= given.keys():
        raise click.UsageError("give --predictions RUN, or --instances, --semantic and --images")
    with count_progress() as on_progress:
        result = api.combine(predictions=predictions, on_progress=on_progress, **given)
    if result.unlisted:
        first = printable(repr(result.unlisted[0]))
        note = f"{len(result.unlisted)} images of the predictions are not in the list of images"
        click.echo(f"warning: {note}, first image_id {first}: left out", err=True)
    where = printable(str(result.out))
    click.echo(
        f"{counted(result.images, 'image')}, {counted(result.segments, 'segment')} -> {where}"
    )
