"""`fuse compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import print_figures
from fuse.cli.progress import count_progress


@click.command(short_help="Hold runs against the first one: PQ with 95 % intervals.")
@click.argument("runs", nargs=-1, required=True, type=options.EXISTING, metavar="RUN...")
@options.gt
@options.gt_dir
@click.option(
    "--intersect",
    is_flag=True,
    help="Where runs have different images or classes, go on with the common ones.",
)
@options.measures
@options.seed("Of the bootstrap.")
@options.workers
@options.json_file
def compare(json_file: Path | None, **given: Any) -> None:
    """Hold runs, or COCO panoptic JSONs, against the first one: PQ with 95 % intervals.

    Of runs with --keep-predictions it also compares the mIoU and mask AP of their nets.

    \b
    fuse compare out out2 --gt gt.json
    """
    from fuse import api
    from fuse.cli.tables.compare import print_comparison

    with count_progress() as on_progress:
        comparison = api.compare(**given, on_progress=on_progress)
    print_figures(comparison.to_json(), json_file, lambda: print_comparison(comparison))
