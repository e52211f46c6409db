"""`fuse verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import EXIT_FAILED, print_figures, printable
from fuse.cli.progress import count_progress


@click.command(short_help="Compare the files of a run with its journal.")
@click.argument("run", type=options.EXISTING_FOLDER)
@click.option(
    "--redo",
    is_flag=True,
    help="Forget the images of damaged files; fuse run --resume does them again.",
)
@options.workers
@options.json_file
def verify(json_file: Path | None, *, redo: bool, **given: Any) -> None:
    """Compare the files of a run with the hashes in its journal; exit 1 where one differs.

    \b
    fuse verify out
    fuse verify out --redo && fuse run --resume out
    """
    from fuse import api

    with count_progress() as on_progress:
        found = api.verify(redo=redo, on_progress=on_progress, **given)

    def print_verification() -> None:
        for damage in found.damages:
            click.echo(printable(f"damaged: {damage.path} {damage.problem}"))
        click.echo(f"{found.files} files, {len(found.damages)} damaged")
        if redo and found.damages:
            click.echo(printable(f"forgotten; fuse run --resume {given['run']} does them again"))

    print_figures(found.to_json(), json_file, print_verification)
    if found.damages and not redo:
        sys.exit(EXIT_FAILED)
