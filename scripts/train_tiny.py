"""Trains the nets of `tiny` and `tiny-fpn` and writes the weights that ship.

Inputs: a data root with the folders that tiny_training/listing.py reads and `weights` (each
describes itself in SOURCE.txt), and first weights to start from (those in `fuse/weights`, or
`--start FOLDER`). Images of the choosing set (docs/choosing60.txt, docs/choosing-instances.txt)
are scored, never trained on, and coco-panoptic's val2017 images never read.
Outputs, in the work folder: labels.json and semantic_teacher.npy (`labels`); soft_labels.npy
(`soften`), from which `semantic` and `panoptic` then learn in place of the teacher; a checkpoint
per net, every five minutes (the same command goes on where it stopped) with its curve as JSON
lines; then the weight files (`export`).

    python scripts/train_tiny.py labels    --data DATA --work WORK
    python scripts/train_tiny.py semantic  --data DATA --work WORK --minutes 55
    python scripts/train_tiny.py soften    --data DATA --work WORK --nets FOLDER --nets FOLDER
    python scripts/train_tiny.py instance  --data DATA --work WORK --minutes 55
    python scripts/train_tiny.py panoptic  --data DATA --work WORK --minutes 110
    python scripts/train_tiny.py panoptic  --data DATA --work WORK --minutes 110 --large \
        --encoder efficientnet-lite2-9656183e.pth
    python scripts/train_tiny.py export    --work WORK --to FOLDER  (--only KIND --mean-with FOLDER)
    python scripts/train_tiny.py calibrate --data DATA --work WORK   (of the weights in the package)
    python scripts/train_tiny.py pack      --data DATA --work WORK --to FOLDER

`--device cuda` trains on a GPU; `pack` writes a data root and work folder of at most 38 MiB for
one. See fuse/weights/MODEL_CARD.md.
"""

from pathlib import Path

import click
import torch
from tiny_training.calibrate import measure_pq, print_calibration
from tiny_training.instance import train_instance
from tiny_training.packing import pack_data
from tiny_training.panoptic import train_panoptic
from tiny_training.photos import LABELS_FILE, load_photos
from tiny_training.semantic import train_semantic
from tiny_training.shipping import (
    BUILDERS,
    WEIGHTS,
    load_net,
    mix_weights,
    start_panoptic_net,
    write_weights,
)
from tiny_training.soft_labels import write_soft_labels
from tiny_training.teachers import label_objects, label_stuff

from fuse.models.panoptic_fpn.net import PanopticFpnNet

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
device_option = click.option("--device", default="cpu", show_default=True, help="or cuda")


@click.group()
@click.option("--threads", default=1, show_default=True, help="CPU threads")
def main(threads: int) -> None:
    """Train the nets of `tiny` and `tiny-fpn`."""
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
@click.option(
    "--nets",
    "folders",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="folder of a Semantic FPN's weights; may be repeated",
)
def soften(data: Path, work: Path, folders: tuple[Path, ...]) -> None:
    """Blend the stuff teacher's answers with those of nets into soft labels."""
    nets = [load_net("semantic", folder) for folder in folders]
    write_soft_labels(nets, load_photos(work / LABELS_FILE), data, work)


@main.command()
@data_option
@work_option
@start_option
@minutes_option
@device_option
def instance(data: Path, work: Path, start: Path, minutes: float, device: str) -> None:
    """Train the Mask R-CNN."""
    photos = load_photos(work / LABELS_FILE)
    train_instance(load_net("instance", start).to(device), photos, data, work, minutes)


@main.command()
@data_option
@work_option
@start_option
@minutes_option
@device_option
def semantic(data: Path, work: Path, start: Path, minutes: float, device: str) -> None:
    """Train the Semantic FPN."""
    photos = load_photos(work / LABELS_FILE)
    train_semantic(load_net("semantic", start).to(device), photos, data, work, minutes)


@main.command()
@data_option
@work_option
@start_option
@minutes_option
@device_option
@click.option("--large", is_flag=True, help="EfficientNet-Lite2 in place of Lite0")
@click.option(
    "--encoder",
    type=click.Path(exists=True, path_type=Path),
    help="ImageNet weights of the encoder; else the Mask R-CNN's are taken",
)
@click.option("--instance-weight", default=1.0, show_default=True, help="lambda_i")
@click.option("--semantic-weight", default=0.5, show_default=True, help="lambda_s")
def panoptic(
    data: Path,
    work: Path,
    start: Path,
    minutes: float,
    device: str,
    large: bool,
    encoder: Path | None,
    instance_weight: float,
    semantic_weight: float,
) -> None:
    """Train the Panoptic FPN, one net for both."""
    kind = "panoptic_large" if large else "panoptic"
    photos = load_photos(work / LABELS_FILE)
    chosen = [photo for photo in photos if photo.held_out and photo.panoptic]

    def evaluate(net: PanopticFpnNet) -> dict[str, float]:
        path = work / f"tiny_{kind}.now.safetensors"
        state = net.state_dict()
        write_weights(path, {name: state[name] for name in BUILDERS[kind]().state_dict()}, kind)
        sections = [("model", "panoptic-fpn"), ("weights", str(path))]
        overrides = [f"{s}.{k}={v}" for s in ("semantic", "instance") for k, v in sections]
        return measure_pq(chosen, data, overrides)

    net = start_panoptic_net(kind, start, encoder).to(device)
    weights = (instance_weight, semantic_weight)
    train_panoptic(net, photos, data, work, minutes, weights, kind, evaluate)


@main.command()
@work_option
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True)
@click.option("--only", type=click.Choice(sorted(BUILDERS)), help="write one of them")
@click.option(
    "--mean-with",
    "other",
    type=click.Path(exists=True, path_type=Path),
    help="folder of earlier weights; the mean is written",
)
@click.option("--share", default=0.5, show_default=True, help="of the checkpoint in that mean")
def export(work: Path, folder: Path, only: str | None, other: Path | None, share: float) -> None:
    """Write the averaged weights of the checkpoints as float16 files for the package."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in [only] if only else sorted(BUILDERS):
        if not (work / f"{kind}.pt").exists() and not only:
            continue
        checkpoint = torch.load(work / f"{kind}.pt", map_location="cpu", weights_only=True)
        averaged = checkpoint["averaged"]
        wanted = BUILDERS[kind]().state_dict()  # without what only the training has
        state = {name: averaged[name] for name in wanted}
        if other:
            state = mix_weights(state, load_net(kind, other).state_dict(), share)
        path = folder / f"tiny_{kind}.safetensors"
        write_weights(path, state, kind)
        click.echo(f"{kind}: {path}")


@main.command()
@data_option
@work_option
@click.option("--set", "overrides", multiple=True, help="KEY=VALUE of the preset, as in fuse run")
def calibrate(data: Path, work: Path, overrides: tuple[str, ...]) -> None:
    """Print PQ on the choosing set by threshold, with the weights of the package."""
    print_calibration(load_photos(work / LABELS_FILE), data, list(overrides))


@main.command()
@data_option
@work_option
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True)
@click.option("--mebibytes", default=38.0, show_default=True, help="most that it may take")
def pack(data: Path, work: Path, folder: Path, mebibytes: float) -> None:
    """Write what training reads into one small folder, for another machine."""
    pack_data(load_photos(work / LABELS_FILE), data, work, folder, mebibytes)


if __name__ == "__main__":
    main()
