"""`fuse convert`."""

from __future__ import annotations

from typing import Any

import click

from fuse.cli import options
from fuse.cli.printing import counted, print_findings
from fuse.cli.progress import count_progress

# The keys of DATASETS and TOOLS of fuse.datasets.convert, which imports more than --help may.
DATASETS = ("cityscapes", "ade20k", "vistas", "vistas-v2", "bdd100k", "voc")
TOOLS = (
    *("coco-instances", "semantic-png", "labelme", "cvat", "cvat-masks", "yolo-seg"),
    "label-studio",
)
VALUES = ("category-id", "class-index")


@click.command(short_help="Make COCO panoptic ground truth of a dataset, or of a tool's labels.")
@click.argument("dataset", type=click.Choice((*DATASETS, *TOOLS)), metavar="DATASET|TOOL")
@click.argument("folder", type=options.EXISTING, metavar="FOLDER|FILE")
@options.out_file("GT.json", "JSON to write; the PNGs go to the folder of that name without .json.")
@click.option(
    "--split",
    help="Part of a dataset, as its own folders call it.  "
    "[default: val of cityscapes, bdd100k and voc, validation of ade20k and vistas]",
)
@click.option(
    "--label-space",
    metavar="NAME|FILE.csv",
    help="Of a tool's labels: what they are called there, and which are things.",
)
@click.option(
    "--things", multiple=True, metavar="NAME", help="A class that is a thing; all others are stuff."
)
@click.option(
    "--stuff", multiple=True, metavar="NAME", help="A class that is stuff; all others are things."
)
@options.folder("--images", "DIR", "Images whose size the labels do not say (yolo-seg, labelme).")
@options.path(
    "--semantic",
    "FILE.json|PNG_DIR",
    "Semantic labels below coco-instances: a stuff JSON, or label PNGs.",
)
@click.option(
    "--values",
    type=click.Choice(VALUES),
    default="category-id",
    show_default=True,
    help="What the numbers of label PNGs are; 255 is void.",
)
@options.workers
@click.option("--overwrite", is_flag=True, help="Replace GT.json and its PNGs where they exist.")
def convert(**given: Any) -> None:
    """Make COCO panoptic ground truth of a dataset, or of what a labelling tool wrote.

    Datasets: FOLDER holds gtFine (cityscapes), annotations and annotations_instance (ade20k),
    training and validation (vistas, vistas-v2), labels/pan_seg (bdd100k) or SegmentationClass
    (voc).

    Tools: labelme's and yolo-seg's folders, CVAT's annotations.xml (cvat) or its "segmentation
    mask 1.1" (cvat-masks), label-studio's JSON, coco-instances alone or with --semantic, and label
    PNGs (semantic-png), in which each connected part of a thing is an object. What is assumed is
    said and counted; docs/own-labels.md has a page for each.

    \b
    fuse convert cityscapes cityscapes/ -o cityscapes_val.json
    fuse convert labelme labelled/ --stuff sky --stuff road -o gt.json
    fuse convert coco-instances instances.json --semantic stuff.json -o gt.json
    """
    from fuse import api

    with count_progress() as on_progress:
        result = api.convert(**given, on_progress=on_progress)
    print_findings(result.findings)
    click.echo(
        f"{counted(result.images, 'image')}, {counted(result.segments, 'segment')} -> {result.out}"
    )
