"""What commands print: figures as JSON or as tables, what became of a run, text of strangers."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fuse.errors import shorten
from fuse.io.files import RUN_FILE, write_whole

if TYPE_CHECKING:
    from fuse.api import RunResult
    from fuse.findings import Finding

FAILURES_NAMED = 10  # images, a line each
LONGEST_NAME = 200  # characters of an image's name there
EXIT_FAILED = 1
EXIT_SOME_FAILED = 3

# C0 and C1 controls, among them the escape that starts a terminal's commands; marks that turn
# the direction of writing; separators of lines; and halves of characters, which no encoding has.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with what a terminal would obey, or could not show, written as Python does.

    Args:
        text: any.
        keep: unsafe characters that are meant, as a line feed between lines of our own.

    >>> print(printable("a\x1b[31m\n\u202eb"))
    a\x1b[31m\n\u202eb
    """
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else repr(match[0])[1:-1], text)


def counted(count: int, word: str) -> str:
    """``1 image``, ``8 images``."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def print_run(result: RunResult, json_file: Path | None) -> None:
    """Print what a run did; exit with 3 where images failed."""
    print_figures(result.to_json(), json_file, lambda: _print_run(result))
    exit_where_failed(result.failed, result.done, result.out)


def exit_where_failed(
    failed: Iterable[tuple[str, str]], done: int, out: Path | None = None
) -> None:
    """Name (image, reason) of the first that failed on stderr, and exit if there is any."""
    failures = list(failed)
    for file_name, reason in failures[:FAILURES_NAMED]:
        told = shorten(reason.removeprefix(f"{file_name}: "))
        click.echo(printable(f"failed: {shorten(file_name, LONGEST_NAME)}: {told}"), err=True)
    if (more := len(failures) - FAILURES_NAMED) > 0:
        where = f"; all stand in {out / RUN_FILE} below 'failed'" if out else ""
        click.echo(printable(f"failed: {more:,} more{where}"), err=True)
    if failures:
        sys.exit(EXIT_SOME_FAILED if done else EXIT_FAILED)


def print_figures(
    figures: dict[str, Any] | list[Any], json_file: Path | None, print_table: Callable[[], None]
) -> None:
    """Figures as JSON where asked for, and as a table unless the JSON goes to stdout."""
    text = json.dumps(figures, indent=2, allow_nan=False)
    if json_file == Path("-"):
        click.echo(text)
        return
    if json_file:
        _write_text(json_file, text + "\n")
    print_table()


def print_findings(findings: Iterable[Finding]) -> None:
    """What a command assumed or could not keep, a line each on stderr."""
    for finding in findings:
        click.echo(printable(str(finding)), err=True)


def _write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all; or into a pipe, as shells have it for ``>(...)``."""
    if path.exists() and not path.is_file():
        path.write_bytes(text.encode())
    else:
        write_whole(path, text.encode())


def _print_run(result: RunResult) -> None:
    from fuse.cli.tables.evaluate import print_evaluation
    from fuse.runs.tasks import PICTURE_DIR

    if result.evaluation:
        print_evaluation(result.evaluation)
        if result.unknown:
            click.echo(
                f"not scored, as the ground truth lacks them: {counted(result.unknown, 'image')}"
            )
    where = printable(str(result.out / "panoptic.json"))
    earlier = f" ({result.earlier} of them earlier)" if result.earlier else ""
    seconds = result.seconds["total"]
    click.echo(f"{counted(result.done, 'image')}{earlier} in {seconds:.1f} s -> {where}")
    for note in result.describe_notes():
        click.echo(printable(f"note: {note}"), err=True)
    if result.pictures:
        click.echo(f"pictures: {printable(str(result.out / PICTURE_DIR))}")
