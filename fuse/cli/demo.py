"""`fuse demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import print_run
from fuse.cli.progress import image_progress


@click.command(short_help="Do the whole job on the images that ship, offline.")
@click.option(
    "-o",
    "--out",
    default="fuse-demo",
    show_default=True,
    type=options.OutFolder(),
    metavar="FOLDER",
    help="Output folder.",
)
@options.overwrite
@options.json_file
def demo(json_file: Path | None, **given: Any) -> None:
    """Do the whole job on the images that ship, without a network.

    \b
    fuse demo
    """
    from fuse import api

    with image_progress() as on_progress:
        result = api.demo(**given, on_progress=on_progress)
    print_run(result, json_file)
