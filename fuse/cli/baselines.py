"""`fuse baselines`."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fuse.cli import options
from fuse.cli.printing import exit_where_failed, print_figures, printable
from fuse.cli.progress import image_progress, log_download, stop_flag

if TYPE_CHECKING:
    from fuse.runs.run import Progress


@click.command(short_help="Run pipelines and hold them against each other, in one go.")
@click.argument("images", nargs=-1)
@options.list_file
@options.null
@options.gt
@options.gt_dir
@click.option(
    "-p",
    "--pipeline",
    "pipelines",
    multiple=True,
    metavar="NAME|FILE",
    help="A preset that ships, or a TOML file; may be repeated.",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=options.EXISTING,
    metavar="RUN",
    help="A run made elsewhere, or a COCO panoptic JSON; may be repeated.",
)
@options.out_folder
@options.device
@click.option(
    "--profile/--no-profile",
    "measures",
    default=True,
    show_default=True,
    help="Also measure what the nets cost.",
)
@options.seed("Of the bootstrap.")
@options.workers
@options.allow_plugins
@options.weights_dir
@options.json_file
def baselines(json_file: Path | None, *, list_file: str | None, null: bool, **given: Any) -> None:
    """Run pipelines over images, and compare them with each other and with earlier runs.

    \b
    fuse baselines val2017/ --gt gt.json -p tiny -p tiny-fpn -p my/pair.toml -o out
    fuse baselines --gt gt.json --run out/runs/tiny --run theirs.json -o table

    The folder gets each run, a table as JSON, CSV, Markdown and LaTeX rows, and report.html with
    all of them. What fails is a line of the table, and the others go on; the same command goes on
    where it was cut off, and does nothing twice.
    """
    from fuse import api
    from fuse.cli.tables.baselines import print_baselines

    gc.enable()  # the nets of a pipeline go before those of the next come

    image_list = api.read_image_list(list_file, null=null) if list_file else None
    with stop_flag() as should_stop:
        result = api.baselines(
            **given,
            image_list=image_list,
            on_fetch=log_download(),
            open_progress=_open_progress,
            should_stop=should_stop,
        )
    print_figures(result.to_json(), json_file, lambda: print_baselines(result))
    failed = [(one.name, one.error) for one in result.baselines if one.error]
    if not result.comparison and not failed:
        failed = [("baselines", note) for note in result.notes]
    exit_where_failed(failed, len(result.comparison.runs) if result.comparison else 0)


@contextmanager
def _open_progress(stage: str) -> Iterator[Progress]:
    """Name a stage, and show how far it is."""
    click.echo(printable(stage), err=True)
    with image_progress() as on_progress:
        yield on_progress
