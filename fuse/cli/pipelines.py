"""`fuse pipelines`."""

from __future__ import annotations

import click


@click.command()
def pipelines() -> None:
    """List the pipelines that ship.

    \b
    fuse pipelines
    """
    from fuse.config import list_pipelines, read_pipeline

    for name in list_pipelines():
        click.echo(f"{name:12} {read_pipeline(name).description}")
