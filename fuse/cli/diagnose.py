"""`fuse diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli.options import (
    gt_dir_option,
    json_option,
    predictions_option,
    seed_option,
    truth_option,
    workers_option,
)
from fuse.cli.printing import print_figures


@click.command(short_help="Say where the missing PQ went, by kind of mistake.")
@predictions_option
@truth_option
@gt_dir_option
@click.option(
    "--orders",
    default=8,
    show_default=True,
    type=click.IntRange(min=2),
    help="In how many orders mistakes are made right; more split the loss more finely.",
)
@seed_option("Which orders.")
@workers_option
@json_option
def diagnose(json_file: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Say where the missing PQ went: what each kind of mistake costs, by class and image.

    \b
    fuse run images/ -o out --keep-predictions
    fuse diagnose --predictions out --gt gt.json
    """
    from fuse import api
    from fuse.cli.progress import count_progress
    from fuse.cli.tables.diagnosis import print_diagnosis

    with count_progress() as on_progress:
        diagnosis = api.diagnose(**options, on_progress=on_progress)
    print_figures(diagnosis.to_json(), json_file, lambda: print_diagnosis(diagnosis))
