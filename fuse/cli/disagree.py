"""`fuse disagree`."""

from __future__ import annotations

from pathlib import Path

import click

from fuse.cli import options
from fuse.cli.printing import print_figures
from fuse.cli.progress import count_progress


@click.command(short_help="Rank images by how much the two nets disagree.")
@options.predictions
@options.written_file("--csv", "FILE.csv", "Also write a row per image.", name="csv_file")
@options.written_file(
    "--coco",
    "FILE.json",
    "Also write the regions as COCO annotations, to be labelled.",
    name="coco_file",
)
@options.workers
@options.json_file
def disagree(
    predictions: Path,
    csv_file: Path | None,
    coco_file: Path | None,
    workers: int | None,
    json_file: Path | None,
) -> None:
    """Rank images by how much the two nets disagree, for labelling; needs no ground truth.

    \b
    fuse run images/ -o out --keep-predictions
    fuse disagree --predictions out --coco disputed.json
    """
    from fuse import api
    from fuse.cli.tables.disagree import print_disagreement

    with count_progress() as on_progress:
        result = api.disagree(predictions, workers=workers, on_progress=on_progress)
    if csv_file:
        result.write_csv(csv_file)
    if coco_file:
        result.write_coco(coco_file)
    print_figures(result.to_json(), json_file, lambda: print_disagreement(result))
