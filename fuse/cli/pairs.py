"""`fuse pairs`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import print_figures
from fuse.cli.progress import count_progress

SHOWN = 20


@click.command(short_help="Count in ground truth which class lies on which.")
@options.gt
@options.gt_dir
@options.file(
    "--instances",
    "COCO.json",
    "COCO instances of the same images, whose outlines overlap.",
    required=True,
)
@options.out_file("FILE.csv", "The table, for fusion.pairs.")
@click.option("--label-space", metavar="SPACE", help="Count in its classes.  [default: the JSON's]")
@click.option(
    "--min-count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Leave out pairs that were seen less often.",
)
@options.workers
@options.json_file
def pairs(json_file: Path | None, **given: Any) -> None:
    """Count in ground truth which class lies on which: the table of the rule pairs.

    \b
    fuse pairs --gt panoptic_train2017.json --instances instances_train2017.json -o pairs.csv
    fuse combine --predictions out -o out2 --rule pairs --set pairs=pairs.csv
    """
    from fuse import api
    from fuse.cli.tables.layout import print_rows

    with count_progress() as on_progress:
        counts = api.pairs(**given, on_progress=on_progress)
    rows = [(c.above, c.below, f"{c.wins} of {c.wins + c.losses}") for c in counts[:SHOWN]]
    print_figures(
        {"pairs": [asdict(count) for count in counts]},
        json_file,
        lambda: print_rows(("above", "below", "overlaps"), rows),
    )
    click.echo(f"{len(counts)} pairs -> {given['out']}", err=json_file == Path("-"))
