"""What commands print: figures as JSON or as tables, and what became of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fuse.printable import printable

# fuse.api imports torch and numba, which takes seconds: each command imports it when it runs.
if TYPE_CHECKING:
    from fuse.api import RunResult

EXIT_FAILED = 1
EXIT_SOME_FAILED = 3


def print_run(result: RunResult, json_file: Path | None) -> None:
    """Print what a run did; exit with 3 where photos failed."""
    print_figures(result.to_json(), json_file, lambda: _print_run(result))
    for file_name, reason in result.failed:
        click.echo(printable(f"failed: {file_name}: {reason}"), err=True)
    if result.failed:
        sys.exit(EXIT_SOME_FAILED if result.done else EXIT_FAILED)


def print_figures(
    figures: dict[str, Any], json_file: Path | None, print_table: Callable[[], None]
) -> None:
    """Figures as JSON where asked for, and as a table unless the JSON goes to stdout."""
    text = json.dumps(figures, indent=2, allow_nan=False)
    if json_file == Path("-"):
        click.echo(text)
        return
    if json_file:
        json_file.write_text(text + "\n", encoding="utf-8")
    print_table()


def _print_run(result: RunResult) -> None:
    from fuse.tables.evaluation import print_evaluation

    if result.evaluation:
        print_evaluation(result.evaluation)
        if result.unknown:
            click.echo(f"not scored, as the ground truth lacks them: {result.unknown} photos")
    seconds = result.seconds["total"]
    where = printable(str(result.out / "panoptic.json"))
    click.echo(f"{result.done} photos in {seconds:.1f} s -> {where}")
