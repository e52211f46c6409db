"""`fuse pairs`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fuse.cli.options import (
    gt_dir_option,
    json_option,
    out_file_option,
    truth_option,
    workers_option,
)
from fuse.cli.printing import print_figures

SHOWN = 20


@click.command(short_help="Count in ground truth which class lies on which.")
@truth_option
@gt_dir_option
@click.option(
    "--instances",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="COCO.json",
    help="COCO instances of the same images, whose outlines overlap.",
)
@out_file_option("FILE.csv", "The table, for fusion.pairs.")
@click.option("--label-space", metavar="SPACE", help="Count in its classes.  [default: the JSON's]")
@click.option(
    "--min-count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Leave out pairs that were seen less often.",
)
@workers_option
@json_option
def pairs(json_file: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Count in ground truth which class lies on which: the table of the rule pairs.

    \b
    fuse pairs --gt panoptic_train2017.json --instances instances_train2017.json -o pairs.csv
    fuse combine --predictions out -o out2 --rule pairs --set pairs=pairs.csv
    """
    from fuse import api
    from fuse.cli.progress import count_progress
    from fuse.cli.tables.layout import print_rows

    with count_progress() as on_progress:
        counts = api.pairs(**options, on_progress=on_progress)
    rows = [(c.above, c.below, f"{c.wins} of {c.wins + c.losses}") for c in counts[:SHOWN]]
    print_figures(
        {"pairs": [asdict(count) for count in counts]},
        json_file,
        lambda: print_rows(("above", "below", "overlaps"), rows),
    )
    click.echo(f"{len(counts)} pairs -> {options['out']}", err=json_file == Path("-"))
