"""`fuse convert`."""

from __future__ import annotations

from typing import Any

import click

from fuse.cli import options
from fuse.cli.progress import count_progress

# The keys of fuse.datasets.convert.DATASETS, which imports more than --help may.
DATASETS = ("cityscapes", "ade20k", "vistas", "voc")


@click.command(short_help="Make COCO panoptic ground truth of a dataset.")
@click.argument("dataset", type=click.Choice(DATASETS))
@click.argument("folder", type=options.EXISTING_FOLDER)
@options.out_file("GT.json", "JSON to write; the PNGs go to the folder of that name without .json.")
@click.option(
    "--split",
    help="Part of the dataset, as its own folders call it.  "
    "[default: val of cityscapes and voc, validation of ade20k and vistas]",
)
@options.workers
@click.option("--overwrite", is_flag=True, help="Replace GT.json and its PNGs where they exist.")
def convert(**given: Any) -> None:
    """Make COCO panoptic ground truth of a dataset, from the folders it is published in.

    FOLDER holds gtFine (cityscapes), annotations and annotations_instance (ade20k),
    training and validation (vistas, v1.2), or SegmentationClass (voc).

    \b
    fuse convert cityscapes cityscapes/ -o cityscapes_val.json
    fuse convert ade20k ADEChallengeData2016/ -o ade20k_val.json
    fuse convert voc VOCdevkit/VOC2012 --split trainval -o voc_trainval.json
    """
    from fuse import api

    with count_progress() as on_progress:
        result = api.convert(**given, on_progress=on_progress)
    click.echo(f"{result.images} images, {result.segments} segments -> {result.out}")
