"""The tables of `fuse pipelines` and `fuse models profile`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from fuse.analysis.profile import ProfileRow
from fuse.cli.tables.layout import make_table, open_console, print_line
from fuse.inference.fetch import PipelineEntry


def print_pipelines(pipelines: Iterable[PipelineEntry]) -> None:
    """Each pipeline with its weights: what they are, and where they come from."""
    console = open_console()
    for pipeline in pipelines:
        print_line(console, f"{pipeline.name}: {pipeline.description}")
        for net in {net.source: net for net in pipeline.weights}.values():
            size = f"{'' if net.is_exact else 'about '}{net.size / 1e6:.0f} MB"
            here = "here" if net.is_present else f"absent, fuse fetch {pipeline.name}"
            lines = [f"    {net.source.rpartition('/')[2]}, {size}, {net.licence}: {here}"]
            if not net.is_shipped:
                at = f" at {net.revision}" if net.revision else ""
                lines.append(f"        {net.source}{at}, {_describe_hash(net.known_hash)}")
            for line in lines:
                print_line(console, line)


def _describe_hash(known_hash: str) -> str:
    """What is known of a hash ahead of the download, as words.

    >>> _describe_hash("md5:cafdb1"), _describe_hash("")
    ('md5 begins with cafdb1', 'no hash known ahead')
    """
    algorithm, _, digits = known_hash.partition(":")
    if not digits:
        return "no hash known ahead"
    is_whole = len(digits) == 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size
    return f"{algorithm} {'' if is_whole else 'begins with '}{digits}"


def print_profile(rows: Sequence[ProfileRow]) -> None:
    """A line per net and per part of a pipeline."""
    table = make_table("pipeline", ())
    table.add_column("part")
    for title in ("M params", "GFLOP", "MiB", "ms", "to the first"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            row.pipeline,
            row.part + ("*" if row.has_random_weights else ""),
            f"{row.parameters / 1e6:.2f}" if row.parameters is not None else "-",
            f"{row.flops / 1e9:.2f}" if row.flops else "-",
            f"{row.memory / 2**20:.0f}" if row.memory else "-",
            f"{row.seconds * 1e3:.1f}",
            f"{row.ratio:.2f}" if row.ratio is not None else "",
        )
        if row.part == "total":
            table.add_section()
    open_console().print(table)
    if any(row.has_random_weights for row in rows):
        print("* with random weights")
