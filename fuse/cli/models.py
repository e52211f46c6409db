"""`fuse models` and `fuse models profile`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import print_figures


@click.group(
    invoke_without_command=True,
    short_help="List the models a pipeline can name, or what nets cost.",
)
@click.pass_context
def models(context: click.Context) -> None:
    """List the models that a pipeline can name, plug-ins included, or say what nets cost.

    \b
    fuse models
    fuse models profile tiny coco:semantic
    """
    if context.invoked_subcommand is not None:
        return
    from fuse import api
    from fuse.cli.tables.layout import print_rows

    print_rows(
        ("branch", "model", "from", "problem"),
        [(m.kind, m.name, m.origin, m.problem or "") for m in api.list_models()],
    )


@models.command()
@click.argument("pipelines", nargs=-1, required=True, metavar="PIPELINE[:BRANCH]...")
@click.option(
    "--images", multiple=True, metavar="IMAGES", help="Images.  [default: those that ship]"
)
@options.list_file
@options.null
@options.set_values("Change the presets, as for fuse run; may be repeated.")
@options.as_stored
@options.device
@click.option(
    "--random-weights", is_flag=True, help="Make weights up where they are not on this machine."
)
@options.allow_plugins
@options.weights_dir
@options.json_file
def profile(json_file: Path | None, *, list_file: str | None, null: bool, **given: Any) -> None:
    """Measure parameters, operations, activations, memory and time per image of nets or pairs.

    \b
    fuse models profile tiny
    fuse models profile panoptic-fpn coco-stuffhead --random-weights --images val2017/
    fuse models profile coco:semantic ade20k:semantic --device cuda:0

    A whole pipeline also gets what fusing and files add, and how its time compares with that of
    the first. Operations, activations (the numbers that layers put out) and memory
    are those of the first image, times medians over up to eight.
    """
    from fuse import api
    from fuse.cli.tables.models import print_profile

    gc.enable()  # the nets of a pipeline go before those of the next come

    image_list = api.read_image_list(list_file, null=null) if list_file else None
    rows = api.profile(**given, image_list=image_list)
    print_figures({"rows": [row.to_json() for row in rows]}, json_file, lambda: print_profile(rows))
