"""The table of `fuse models profile`."""

from __future__ import annotations

from collections.abc import Sequence

from fuse.analysis.profile import ProfileRow
from fuse.cli.tables.layout import make_table, print_tables


def print_profile(rows: Sequence[ProfileRow]) -> None:
    """A line per net and per part of a pipeline."""
    table = make_table("pipeline", ())
    table.add_column("part")
    for title in ("M params", "GFLOP", "M activations", "MiB", "ms", "to the first"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            row.pipeline,
            row.part + ("*" if row.has_random_weights else ""),
            f"{row.parameters / 1e6:.2f}" if row.parameters is not None else "-",
            f"{row.flops / 1e9:.2f}" if row.flops else "-",
            f"{row.activations / 1e6:.2f}" if row.activations else "-",
            f"{row.memory / 2**20:.0f}" if row.memory else "-",
            f"{row.seconds * 1e3:.1f}",
            f"{row.ratio:.2f}" if row.ratio is not None else "",
        )
        if row.part == "total":
            table.add_section()
    print_tables(table)
    if any(row.has_random_weights for row in rows):
        print("* with random weights")
