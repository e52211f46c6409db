"""`fuse evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli.options import OutFile, gt_dir_option, json_option, truth_option, workers_option
from fuse.cli.printing import print_figures


@click.command(short_help="Score predictions with PQ, SQ and RQ, and check the files.")
@truth_option
@click.option(
    "--pred",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PRED.json|RUN",
    help="Predictions: a COCO panoptic JSON, or the output folder of a run.",
)
@gt_dir_option
@click.option(
    "--pred-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the predictions' PNGs.  [default: the JSON's path without .json]",
)
@click.option(
    "--official", is_flag=True, help="Do as COCO's scorer does where that differs from the rule."
)
@click.option("--strict", is_flag=True, help="Take every fault found in the files as an error.")
@click.option(
    "--per-image",
    type=OutFile(),
    metavar="FILE.csv",
    help="Also write the counts of each image.",
)
@click.option(
    "--semantic",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE.json|PNG_DIR",
    help="The semantic branch's predictions, in the categories of PRED, to add its mIoU.",
)
@click.option(
    "--instances",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="The instance branch's COCO results, in the categories of PRED, to add their mask AP.",
)
@workers_option
@json_option
def evaluate(json_file: Path | None, per_image: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Score predictions with PQ, SQ and RQ: all, things, stuff and each class.

    \b
    fuse evaluate --gt panoptic_val2017.json --pred out
    """
    from fuse import api
    from fuse.cli.progress import count_progress
    from fuse.cli.tables.evaluation import print_evaluation

    with count_progress() as on_progress:
        evaluation = api.evaluate(**options, on_progress=on_progress)
    if per_image:
        api.write_per_image_csv(per_image, evaluation)
    print_figures(evaluation.to_json(), json_file, lambda: print_evaluation(evaluation))
