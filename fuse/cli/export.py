"""`fuse export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import counted, print_findings
from fuse.cli.progress import count_progress

# The keys of FORMS and SHAPES of fuse.exports.export, which imports more than --help may.
FORMS = (
    *("coco-instances", "label-png", "coloured-png", "yolo-seg", "cvat", "labelme"),
    *("label-studio", "voc", "cityscapes"),
)
SHAPES = ("auto", "masks", "polygons")


@click.command(short_help="Write the maps of a run in the form of another tool.")
@click.argument("source", type=options.EXISTING, metavar="RUN|PANOPTIC.json")
@click.option("--to", required=True, type=click.Choice(FORMS), help="The form.")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="What to write: .json for coco-instances and label-studio, .xml for cvat, else a folder.",
)
@options.folder("--png-dir", None, "Folder of the PNGs.  [default: the JSON's path without .json]")
@click.option(
    "--shapes",
    type=click.Choice(SHAPES),
    default="auto",
    show_default=True,
    help="Of cvat, labelme and label-studio: masks are exact, polygons can be edited; auto is "
    "polygons for labelme, else masks.",
)
@click.option(
    "--stuff/--no-stuff",
    default=None,
    help="Export stuff too, or not.  [default: not for coco-instances and yolo-seg]",
)
@click.option(
    "--image-prefix",
    default="",
    metavar="TEXT",
    help="In front of image names in label-studio's tasks, as /data/local-files/?d=.",
)
@options.workers
def export(**given: Any) -> None:
    """Write the maps of a run, or of any panoptic JSON, in the form of another tool.

    The PNGs of a run hold segment ids and look black; coloured-png has the colours of the
    classes, and fuse draw shows the segments over the images.

    \b
    fuse export out --to coloured-png -o colours
    fuse export out --to cvat -o annotations.xml
    fuse export out --to yolo-seg -o dataset
    """
    from fuse import api

    with count_progress() as on_progress:
        result = api.export(**given, on_progress=on_progress)
    print_findings(result.findings)
    click.echo(
        f"{counted(result.images, 'image')}, {counted(result.segments, 'segment')} -> {result.out}"
    )
