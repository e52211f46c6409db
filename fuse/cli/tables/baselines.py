"""The table of `fuse baselines`."""

from __future__ import annotations

from fuse.baselines.baselines import Baselines
from fuse.baselines.tables import LATEX_FILE, MARKDOWN_FILE, TITLES, list_rows
from fuse.cli.tables.compare import print_miou_classes
from fuse.cli.tables.layout import make_table, print_line, print_tables
from fuse.cli.tables.models import print_profile


def print_baselines(result: Baselines) -> None:
    """Baselines and published results, what the nets cost, what that is of, and where it lies."""
    table = make_table(TITLES[0], TITLES[1:])
    for row in list_rows(result.baselines, result.comparison):
        table.add_row(*row.cells(), style="dim" if row.is_published else None)
    print_tables(table)
    if rows := result.profile:
        print()
        print_profile(rows)
        print()
    comparison = result.comparison
    if comparison:
        print_line(
            f"over {len(comparison.images)} images and the {len(comparison.space.categories)} "
            f"classes of {comparison.space.name}; in brackets 95 % of {comparison.resamples} "
            "paired resamples of the images, * where they leave out 0"
        )
        for mapped in dict.fromkeys(run.mapped for run in comparison.runs if run.mapped):
            print_line(f"note: {mapped}")
        names = (one.name for one in result.baselines if one.error is None)
        print_miou_classes(zip(names, comparison.runs, strict=True))
    for note in result.notes:
        print_line(f"note: {note}")
    print_line(f"tables: {result.out / MARKDOWN_FILE} and {LATEX_FILE}, .csv, .json beside it")
    if result.report:
        print_line(f"report: {result.report}")
