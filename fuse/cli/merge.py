"""`fuse merge`."""

from __future__ import annotations

from pathlib import Path

import click

from fuse.cli import options
from fuse.cli.printing import counted, exit_where_failed, printable


@click.command(short_help="Join the shards of a run into one run.")
@click.argument("runs", nargs=-1, required=True, type=options.EXISTING)
@options.out_folder
def merge(runs: tuple[Path, ...], out: Path) -> None:
    """Join the shards of a run into one run.

    \b
    fuse run images/ -o part1 --shard 1/2
    fuse run images/ -o part2 --shard 2/2
    fuse merge part1 part2 -o out
    """
    from fuse import api

    joined = api.merge(runs, out)
    click.echo(f"{counted(joined.done, 'image')} -> {printable(str(out / 'panoptic.json'))}")
    exit_where_failed(joined.failed, joined.done, out)
