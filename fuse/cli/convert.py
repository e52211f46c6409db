"""`fuse convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fuse.cli.options import out_file_option, workers_option

# The keys of fuse.datasets.convert.DATASETS, which imports more than --help may.
DATASETS = ("cityscapes", "ade20k", "vistas", "voc")


@click.command(short_help="Make COCO panoptic ground truth of a dataset.")
@click.argument("dataset", type=click.Choice(DATASETS))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@out_file_option("GT.json", "JSON to write; the PNGs go to the folder of that name without .json.")
@click.option(
    "--split",
    help="Part of the dataset, as its own folders call it.  "
    "[default: val of cityscapes and voc, validation of ade20k and vistas]",
)
@workers_option
@click.option("--overwrite", is_flag=True, help="Replace GT.json and its PNGs where they exist.")
def convert(**options: Any) -> None:  # noqa: ANN401
    """Make COCO panoptic ground truth of a dataset, from the folders it is published in.

    FOLDER holds gtFine (cityscapes), annotations and annotations_instance (ade20k),
    training and validation (vistas, v1.2), or SegmentationClass (voc).

    \b
    fuse convert cityscapes cityscapes/ -o cityscapes_val.json
    fuse convert ade20k ADEChallengeData2016/ -o ade20k_val.json
    fuse convert voc VOCdevkit/VOC2012 --split trainval -o voc_trainval.json
    """
    from fuse import api
    from fuse.cli.progress import count_progress

    with count_progress() as on_progress:
        result = api.convert(**options, on_progress=on_progress)
    click.echo(f"{result.images} images, {result.segments} segments -> {result.out}")
