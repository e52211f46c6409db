"""`fuse draw`."""

from __future__ import annotations

from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import counted, print_findings
from fuse.cli.progress import count_progress


@click.command(short_help="Draw the segments of each image over it, at full size.")
@click.argument("source", type=options.EXISTING, metavar="RUN|PANOPTIC.json")
@options.out_folder
@options.folder("--images", "DIR", "Folder of the images.  [default: where the run found them]")
@options.list_file
@options.null
@options.workers
def draw(*, list_file: str | None, null: bool, **given: Any) -> None:
    """Draw the segments of each image over it, with their names: a JPEG of the image's size.

    \b
    fuse draw out -o pictures
    fuse draw panoptic_val2017.json --images val2017/ -o pictures
    """
    from fuse import api

    image_list = api.read_image_list(list_file, null=null) if list_file else None
    with count_progress() as on_progress:
        result = api.draw(**given, image_list=image_list, on_progress=on_progress)
    print_findings(result.findings)
    click.echo(f"{counted(result.images, 'image')} -> {result.out}")
