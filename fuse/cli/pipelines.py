"""`fuse pipelines`."""

from __future__ import annotations

from pathlib import Path

import click

from fuse.cli import options
from fuse.cli.printing import print_figures


@click.command(short_help="List the pipelines that ship, and their weights.")
@options.weights_dir
@options.json_file
def pipelines(weights_dir: Path | None, json_file: Path | None) -> None:
    """List the pipelines that ship, with their weights and whether these are on this machine.

    \b
    fuse pipelines
    """
    from fuse import api
    from fuse.cli.tables.pipelines import print_pipelines

    found = api.describe_pipelines(weights_dir)
    print_figures(
        {"pipelines": [pipeline.to_json() for pipeline in found]},
        json_file,
        lambda: print_pipelines(found),
    )
