"""What the tables of all commands share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from math import isnan

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.style import StyleType
from rich.table import Table

from fuse.cli.printing import printable
from fuse.metrics.pq import PQScore

PIPED_WIDTH = 200  # characters of a line in a file or a pipe
SHOWN = 10  # rows of a table that shows the worst or the best of many


def open_console() -> Console:
    """Standard output; where it is no terminal, names are not broken to fit one."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


class PlainTable(Table):
    """A table without lines that shows its cells as they are, whoever wrote them."""

    def __init__(self) -> None:
        super().__init__(box=None, pad_edge=False)

    def add_row(
        self,
        *cells: RenderableType | None,
        style: StyleType | None = None,
        end_section: bool = False,
    ) -> None:
        """Add a row of text."""
        shown = (plain(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*shown, style=style, end_section=end_section)


def print_line(text: str) -> None:
    """A line of text, not broken to fit the console."""
    open_console().print(plain(text), highlight=False, soft_wrap=True)


def print_tables(*tables: Table) -> None:
    """Tables with an empty line between each two."""
    for place, table in enumerate(tables):
        if place:
            print()
        open_console().print(table)


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of text."""
    table = PlainTable()
    for title in header:
        table.add_column(plain(title), overflow="fold")
    for row in rows:
        table.add_row(*row)
    print_tables(table)


def make_table(first: str, columns: Iterable[str]) -> PlainTable:
    """A table whose first column is text and the others numbers."""
    table = PlainTable()
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def plain(text: str) -> str:
    """Text of strangers, in which nothing is a command to rich or to a terminal."""
    return escape(printable(text))


def percents(score: PQScore) -> tuple[str, str, str]:
    """PQ, SQ and RQ times 100."""
    return as_percent(score.pq), as_percent(score.sq), as_percent(score.rq)


def as_percent(fraction: float) -> str:
    """A fraction times 100, ``n/a`` for NaN, where nothing was scored."""
    return "n/a" if isnan(fraction) else f"{100 * fraction:.1f}"
