"""`fuse labels` with its commands `show`, `audit` and `draft`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import print_figures
from fuse.cli.progress import count_progress


@click.group(invoke_without_command=True, short_help="Label spaces and the maps between them.")
@click.pass_context
def labels(context: click.Context) -> None:
    """List the label spaces and maps that ship.

    \b
    fuse labels
    fuse labels show coco_super
    fuse labels audit ade20k_150 coco_panoptic
    fuse labels draft ade20k_150 mine.csv -o map.csv
    """
    from fuse import api
    from fuse.cli.tables.layout import print_rows

    if context.invoked_subcommand is None:
        print_rows(("label space", "things", "stuff", "rows of a net"), api.list_space_rows())
        print_rows(("map from", "to"), api.list_maps())


@labels.command()
@click.argument("space")
@options.json_file
def show(space: str, json_file: Path | None) -> None:
    """List the categories of a label space, by its name or the path of its CSV.

    The JSON is a list of COCO categories with colours, as COCO's own scripts and trainers read it.

    \b
    fuse labels show coco_super
    fuse labels show coco_super --json categories.json
    """
    from fuse import api
    from fuse.cli.tables.layout import print_rows

    header = ("category_id", "name", "kind", "supercategory", "row of a net")
    rows = api.list_category_rows(space)
    categories = api.list_coco_categories(space)
    print_figures(categories, json_file, lambda: print_rows(header, rows))


@labels.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@options.out_file("MAP.csv", "The map, for label_map in a preset; a file that is there stays.")
def draft(source: str, target: str, out: Path) -> None:
    """Write a label map to start your own from.

    That is the one that ships; where none does, classes of one name are joined and the others
    go to void.

    \b
    fuse labels draft ade20k_150 mine.csv -o map.csv
    fuse labels audit ade20k_150 mine.csv --map map.csv
    """
    from fuse import api

    label_map = api.draft(source, target, out)
    void = sum(not target_id for target_id in label_map.target_ids.values())
    click.echo(f"{len(label_map.target_ids)} lines, {void} of them to void -> {out}")


@labels.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@options.path(
    "--gt", "GT.json", "Also say which PQ the map leaves within reach on this ground truth."
)
@options.gt_dir
@options.file(
    "--map", "FILE.csv", "A map of your own with the columns source,target.", name="map_file"
)
@options.json_file
def audit(json_file: Path | None, **given: Any) -> None:
    """Say what the map from one label space to another covers.

    \b
    fuse labels audit ade20k_150 coco_panoptic --gt panoptic_val2017.json
    """
    from fuse import api
    from fuse.cli.tables.evaluate import print_evaluation
    from fuse.cli.tables.layout import print_rows

    with count_progress() as on_progress:
        found = api.audit(**given, on_progress=on_progress)

    def print_audit() -> None:
        print_rows(("", "categories", ""), found.rows())
        if found.ceiling:
            click.echo("PQ within reach:")
            print_evaluation(found.ceiling)

    print_figures(found.to_json(), json_file, print_audit)
