"""Trains the two nets of the `tiny` pipeline and writes the weights that ship.

Inputs: a data root with the folders `coco-panoptic`, `coco-instances-mini`,
`coco-single-person`, `coco-unlabelled` and `weights` (each describes itself in SOURCE.txt), and
first weights to start from (those in `fuse/weights`, or `--start FOLDER`).
Outputs, in the work folder: labels.json and semantic_teacher.npy (`labels`), instance.pt and
semantic.pt (checkpoints every five minutes; the same command goes on where it stopped), then
tiny_instance.safetensors and tiny_semantic.safetensors (`export`).

    python scripts/train_tiny.py labels    --data DATA --work WORK
    python scripts/train_tiny.py instance  --data DATA --work WORK --minutes 100
    python scripts/train_tiny.py semantic  --data DATA --work WORK --minutes 100
    python scripts/train_tiny.py export    --work WORK --to fuse/weights  (--mean-with FOLDER)
    python scripts/train_tiny.py calibrate --data DATA --work WORK   (of the weights in the package)

A step takes about 1.1 s of processor time (bfloat16) in the instance training and 1.4 s in the
semantic one, which draws its views on `--threads` as well. coco-panoptic's val2017 photos are never
read. Expected: after 9,000 steps each from weights at PQ 21.4 (16.7 things, 25.1 stuff), PQ 24.6
(20.5, 27.8) on those photos. See fuse/weights/MODEL_CARD.md.
"""

import json
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import load_file, save_file
from tiny_training.calibrate import print_calibration
from tiny_training.instance import train_instance
from tiny_training.photos import LABELS_FILE, load_photos
from tiny_training.semantic import train_semantic
from tiny_training.teachers import label_objects, label_stuff
from torch import nn

from fuse.models.weights import tiny

WEIGHTS = Path(__file__).resolve().parents[1] / "fuse/weights"
BUILDERS = {"instance": tiny.build_instance_net, "semantic": tiny.build_semantic_net}

data_option = click.option(
    "--data", type=click.Path(exists=True, path_type=Path), required=True, help="data root"
)
work_option = click.option(
    "--work", type=click.Path(file_okay=False, path_type=Path), required=True, help="work folder"
)
start_option = click.option(
    "--start",
    type=click.Path(exists=True, path_type=Path),
    default=WEIGHTS,
    help="folder of the weights to start from",
)
minutes_option = click.option("--minutes", default=100.0, show_default=True, help="time in all")


@click.group()
@click.option("--threads", default=1, show_default=True, help="CPU threads")
def main(threads: int) -> None:
    """Train the nets of the `tiny` pipeline."""
    torch.set_num_threads(threads)


@main.command()
@data_option
@work_option
@start_option
@click.option("--first-stuff-row", default=0, help="go on with an unfinished teacher's file")
def labels(data: Path, work: Path, start: Path, first_stuff_row: int) -> None:
    """Gather people's labels and let the teachers label the rest."""
    work.mkdir(parents=True, exist_ok=True)
    label_objects(data, work, load_net("instance", start))
    label_stuff(data, work, first_stuff_row)


@main.command()
@data_option
@work_option
@start_option
@minutes_option
def instance(data: Path, work: Path, start: Path, minutes: float) -> None:
    """Train the Mask R-CNN."""
    photos = load_photos(work / LABELS_FILE)
    train_instance(load_net("instance", start), photos, data, work, minutes)


@main.command()
@data_option
@work_option
@start_option
@minutes_option
def semantic(data: Path, work: Path, start: Path, minutes: float) -> None:
    """Train the Semantic FPN."""
    photos = load_photos(work / LABELS_FILE)
    train_semantic(load_net("semantic", start), photos, data, work, minutes)


@main.command()
@work_option
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True)
@click.option("--only", type=click.Choice(sorted(BUILDERS)), help="write one of the two")
@click.option(
    "--mean-with",
    "other",
    type=click.Path(exists=True, path_type=Path),
    help="folder of earlier weights; the mean is written",
)
@click.option("--share", default=0.5, show_default=True, help="of the checkpoint in that mean")
def export(work: Path, folder: Path, only: str | None, other: Path | None, share: float) -> None:
    """Write the averaged weights of the checkpoints as float16 files for the package."""
    for kind in [only] if only else sorted(BUILDERS):
        averaged = torch.load(work / f"{kind}.pt", weights_only=True)["averaged"]
        wanted = BUILDERS[kind]().state_dict()  # without what only the training has
        state = {name: averaged[name] for name in wanted}
        if other:
            state = mix_weights(state, load_net(kind, other).state_dict(), share)
        write_weights(folder / f"tiny_{kind}.safetensors", state, describe(kind))
        click.echo(f"{kind}: {folder / f'tiny_{kind}.safetensors'}")


@main.command()
@data_option
@work_option
@click.option("--set", "overrides", multiple=True, help="KEY=VALUE of the preset, as in fuse run")
def calibrate(data: Path, work: Path, overrides: tuple[str, ...]) -> None:
    """Print PQ on the held-out photos by threshold, with the weights of the package."""
    print_calibration(load_photos(work / LABELS_FILE), data, list(overrides))


def load_net(kind: str, folder: Path) -> Any:  # noqa: ANN401 - one of two classes
    """Build the net named `kind` and load its float16 weights as float32."""
    net: nn.Module = BUILDERS[kind]()
    weights = load_file(folder / f"tiny_{kind}.safetensors")
    net.load_state_dict({name: value.float() for name, value in weights.items()})
    return net


def mix_weights(
    new: dict[str, torch.Tensor], old: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Take the mean of two states of one net, `share` of it the new one.

    Weights that were trained on from others often do better averaged with them than alone
    (Wortsman et al., Model soups, 2022).
    """
    return {name: share * new[name] + (1 - share) * old[name] for name in new}


def describe(kind: str) -> dict[str, Any]:
    """Describe preprocessing and classes for the header of a weight file."""
    if kind == "instance":
        ids, min_size, max_size = tiny.THING_IDS, tiny.INSTANCE_MIN_SIZE, tiny.INSTANCE_MAX_SIZE
    else:
        ids, min_size, max_size = tiny.STUFF_IDS, tiny.SEMANTIC_MIN_SIZE, tiny.SEMANTIC_MAX_SIZE
    metadata: dict[str, Any] = {
        "architecture": f"tiny_{kind}",
        "label_space": tiny.LABEL_SPACE,
        "category_ids": [0, *ids],
        "color": "RGB",
        "value_range": [0, 1],
        "mean": list(tiny.IMAGE_MEAN),
        "std": list(tiny.IMAGE_STD),
        "min_size": min_size,
        "max_size": max_size,
        "size_divisible": 32,
        "interpolation": "bilinear",
    }
    if kind == "instance":
        metadata["mask_size"] = 28
    else:
        metadata |= {"stride": 4, "upsample": "bilinear, align_corners=False"}
    return metadata


def write_weights(path: Path, state: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Write a weight file, whole or not at all."""
    part = path.with_suffix(".part")
    weights = {name: value.contiguous().half() for name, value in state.items()}
    save_file(weights, part, metadata={"fuse": json.dumps(metadata)})
    part.replace(path)


if __name__ == "__main__":
    main()
