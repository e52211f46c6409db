"""`fuse demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli.options import OutFolder, json_option, overwrite_option
from fuse.cli.printing import print_run


@click.command(short_help="Do the whole job on the images that ship, offline.")
@click.option(
    "-o",
    "--out",
    default="fuse-demo",
    show_default=True,
    type=OutFolder(),
    metavar="FOLDER",
    help="Output folder.",
)
@overwrite_option
@json_option
def demo(json_file: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Do the whole job on the images that ship, without a network.

    \b
    fuse demo
    """
    from fuse import api
    from fuse.cli.progress import image_progress

    with image_progress() as on_progress:
        result = api.demo(**options, on_progress=on_progress)
    print_run(result, json_file)
