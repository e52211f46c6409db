"""`fuse fetch`."""

from __future__ import annotations

from pathlib import Path

import click

from fuse.cli.options import json_option
from fuse.cli.printing import print_figures


@click.command()
@click.argument("pipelines", nargs=-1, required=True, metavar="PIPELINE...")
@click.option(
    "--to",
    "--weights-dir",
    "to",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for the weights.  [default: $FUSE_WEIGHTS, else TORCH_HOME and HF_HOME]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the preset, as for fuse run; may be repeated.",
)
@json_option
def fetch(
    pipelines: tuple[str, ...], to: Path | None, overrides: tuple[str, ...], json_file: Path | None
) -> None:
    """Get the weights of pipelines ahead of time, for machines without a network.

    \b
    fuse fetch coco --to weights
    fuse run photos/ -o out --pipeline coco --weights-dir weights

    What is there already is compared with its published hash and kept.
    """
    from fuse import api
    from fuse.progress import download_progress
    from fuse.tables import print_rows

    with download_progress() as on_progress:
        files = api.fetch(pipelines, to=to, overrides=overrides, on_progress=on_progress)
    print_figures(
        {"files": [file.to_json() for file in files]},
        json_file,
        lambda: print_rows(
            ("weights", "MB", "SHA-256", "checked by"),
            [
                (str(file.path), f"{file.size / 1e6:.1f}", file.sha256[:16], file.checked_by)
                for file in files
            ],
        ),
    )
