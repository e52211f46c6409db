"""`fuse compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli.options import (
    gt_dir_option,
    json_option,
    seed_option,
    truth_option,
    workers_option,
)
from fuse.cli.printing import print_figures


@click.command(short_help="Hold runs against the first one: PQ with 95 % intervals.")
@click.argument(
    "runs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="RUN..."
)
@truth_option
@gt_dir_option
@click.option(
    "--intersect",
    is_flag=True,
    help="Where runs have different images or classes, go on with the common ones.",
)
@seed_option("Of the bootstrap.")
@workers_option
@json_option
def compare(json_file: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Hold runs, or COCO panoptic JSONs, against the first one: PQ with 95 % intervals.

    Of runs with --keep-predictions it also compares the mIoU and mask AP of their nets.

    \b
    fuse compare out out2 --gt gt.json
    """
    from fuse import api
    from fuse.cli.progress import count_progress
    from fuse.cli.tables.comparison import print_comparison

    with count_progress() as on_progress:
        comparison = api.compare(**options, on_progress=on_progress)
    print_figures(comparison.to_json(), json_file, lambda: print_comparison(comparison))
