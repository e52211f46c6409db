"""`fuse sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import print_figures
from fuse.cli.progress import count_progress

# The keys of PQ_MEASURES in fuse.metrics.measures, which imports more than --help may.
OBJECTIVES = ("pq", "boundary", "dagger", "small", "medium", "large", "thresholds")


@click.command(short_help="Try many rules and thresholds on kept predictions.")
@options.predictions
@options.gt
@options.gt_dir
@click.option(
    "--grid",
    required=True,
    multiple=True,
    metavar="KEY=LO:HI:STEP|A,B",
    help="What to vary: rule, score_threshold, overlap_threshold, stuff_area, stuff_score, "
    "a rule's parameters; may be repeated.",
)
@click.option(
    "--objective",
    default="pq",
    show_default=True,
    type=click.Choice(OBJECTIVES),
    help="The measure to choose by (docs/measures.md).",
)
@click.option(
    "--holdout",
    default=0.0,
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="Share of the images to report on and not choose by, as 0.5.",
)
@options.seed("Of the split and the bootstrap.")
@options.written_file("--csv", "FILE.csv", "Also write a row per setting.", name="csv_file")
@options.written_file(
    "--plot", "FILE.png|svg|pdf", "Also draw PQ over each axis, a line per rule.", name="plot_file"
)
@options.workers
@options.json_file
def sweep(
    json_file: Path | None,
    csv_file: Path | None,
    plot_file: Path | None,
    **given: Any,
) -> None:
    """Try many rules and thresholds on kept predictions; no net runs.

    \b
    fuse run images/ -o out --keep-predictions
    fuse sweep --predictions out --gt gt.json --grid score_threshold=0.3:0.7:0.05
    fuse sweep --predictions out --gt gt.json --grid rule=overlap,area-first --plot pq.svg
    """
    from fuse import api
    from fuse.cli.tables.sweep import print_sweep

    if plot_file:
        api.check_plot_path(plot_file)
    with count_progress() as on_progress:
        result = api.sweep(**given, on_progress=on_progress)
    if csv_file:
        result.write_csv(csv_file)
    if plot_file:
        api.plot_sweep(result, plot_file)
    if result.held_out is None:
        click.echo("warning: chosen by the images it is scored on; see --holdout", err=True)
    print_figures(result.to_json(), json_file, lambda: print_sweep(result))
