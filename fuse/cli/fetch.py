"""`fuse fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fuse.cli import options
from fuse.cli.printing import print_figures
from fuse.cli.progress import download_progress

if TYPE_CHECKING:
    from fuse.models.weights.fetching import FetchedFile


@click.command(short_help="Get the weights of pipelines ahead of time.")
@click.argument("pipelines", nargs=-1, required=True, metavar="PIPELINE...")
@click.option(
    "--to",
    "--weights-dir",
    "to",
    type=options.FOLDER,
    metavar="DIR",
    help="Folder for the weights.  [default: $FUSE_WEIGHTS, else TORCH_HOME and HF_HOME]",
)
@options.set_values("Change the preset, as for fuse run; may be repeated.")
@options.json_file
def fetch(
    pipelines: tuple[str, ...], to: Path | None, overrides: tuple[str, ...], json_file: Path | None
) -> None:
    """Get the weights of pipelines ahead of time, for machines without a network.

    \b
    fuse fetch coco-eomt --to weights
    fuse run images/ -o out --pipeline coco-eomt --weights-dir weights

    What is there already is compared with its published hash and kept.
    """
    from fuse import api

    with download_progress() as on_progress:
        files = api.fetch(pipelines, to=to, overrides=overrides, on_progress=on_progress)
    figures = {"files": [file.to_json() for file in files]}
    print_figures(figures, json_file, lambda: _print(files))


def _print(files: list[FetchedFile]) -> None:
    from fuse.models.weights.sources import read_catalog

    licences = {row.source: row.licence for row in read_catalog()}
    for file in files:
        checked = f", checked by {file.checked_by}" if file.checked_by else ""
        click.echo(f"{file.path}: {file.size / 1e6:.1f} MB, SHA-256 {file.sha256}{checked}")
    for source in dict.fromkeys(file.source for file in files):
        if source in licences:
            click.echo(f"{source}: licence {licences[source]}")
