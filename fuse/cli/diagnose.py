"""`fuse diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import print_figures
from fuse.cli.progress import count_progress


@click.command(short_help="Say where the missing PQ went, by type of error.")
@options.predictions
@options.gt
@options.gt_dir
@click.option(
    "--orders",
    default=8,
    show_default=True,
    type=click.IntRange(min=2),
    help="In how many orders errors are fixed; more split the loss more finely.",
)
@options.seed("Which orders.")
@options.workers
@options.json_file
def diagnose(json_file: Path | None, **given: Any) -> None:
    """Say where the missing PQ went: what each type of error costs, by class and image.

    \b
    fuse run images/ -o out --keep-predictions
    fuse diagnose --predictions out --gt gt.json
    """
    from fuse import api
    from fuse.cli.tables.diagnose import print_diagnosis

    with count_progress() as on_progress:
        diagnosis = api.diagnose(**given, on_progress=on_progress)
    print_figures(diagnosis.to_json(), json_file, lambda: print_diagnosis(diagnosis))
