"""`fuse models`."""

from __future__ import annotations

import click


@click.command()
def models() -> None:
    """List the models that a pipeline can name, plug-ins included.

    \b
    fuse models
    """
    from fuse import api
    from fuse.tables import print_rows

    print_rows(
        ("branch", "model", "from", "problem"),
        [(m.kind, m.name, m.origin, m.problem or "") for m in api.list_models()],
    )
