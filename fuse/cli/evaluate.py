"""`fuse evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import print_figures
from fuse.cli.progress import count_progress
from fuse.runs.first_use import compile_ahead


@click.command(short_help="Score predictions with PQ, SQ and RQ, and check the files.")
@options.gt
@options.path(
    "--pred",
    "PRED.json|RUN",
    "Predictions: a COCO panoptic JSON, or the output folder of a run.",
    required=True,
)
@options.gt_dir
@options.folder(
    "--pred-dir", None, "Folder of the predictions' PNGs.  [default: the JSON's path without .json]"
)
@click.option(
    "--official", is_flag=True, help="Do as COCO's scorer does where that differs from the rule."
)
@click.option("--strict", is_flag=True, help="Take every fault found in the files as an error.")
@options.written_file("--per-image", "FILE.csv", "Also write the counts of each image.")
@options.path(
    "--semantic",
    "FILE.json|PNG_DIR",
    "The semantic branch's predictions, in the categories of PRED, to add its mIoU.",
)
@options.file(
    "--instances",
    "FILE.json",
    "The instance branch's COCO results, in the categories of PRED, to add their mask AP.",
)
@options.measures
@options.seed("Of the bootstrap that gives --measure its intervals.")
@options.workers
@options.json_file
def evaluate(json_file: Path | None, per_image: Path | None, **given: Any) -> None:
    """Score predictions with PQ, SQ and RQ: all, things, stuff and each class.

    \b
    fuse evaluate --gt panoptic_val2017.json --pred out
    fuse evaluate --gt panoptic_val2017.json --pred out --measure boundary --measure size
    """
    compile_ahead(("match",))  # reading comes first, and is compiled here
    from fuse import api
    from fuse.cli.tables.evaluate import print_evaluation

    with count_progress() as on_progress:
        evaluation = api.evaluate(**given, on_progress=on_progress)
    if per_image:
        api.write_per_image_csv(per_image, evaluation)
    print_figures(evaluation.to_json(), json_file, lambda: print_evaluation(evaluation))
