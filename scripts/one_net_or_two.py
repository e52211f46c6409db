"""Prints the tables of docs/one-net-or-two.md.

`pairs` reads what two commands wrote: a folder of `fuse baselines` (a pair of nets first, then one
net for both, named by their presets) and the JSONs of `fuse diagnose` for both. `heads` counts what
the nets of Panoptic FPN's figure 5 cost as they can be built here, without computing anything.

    fuse baselines IMAGES --gt GT.json -p tiny -p tiny-fpn -o OUT
    fuse diagnose --predictions OUT/runs/tiny --gt GT.json --json tiny.json
    fuse diagnose --predictions OUT/runs/tiny-fpn --gt GT.json --json tiny-fpn.json
    python scripts/one_net_or_two.py pairs OUT tiny.json tiny-fpn.json
    python scripts/one_net_or_two.py heads
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torchvision.models import segmentation

from fuse.analysis.diagnose.diagnosis import find_title
from fuse.models.cost import count_activations, count_flops

Figures = dict[str, Any]

SIDES = (1024, 2048)  # of an image of Cityscapes
CLASSES = 19
# Name, builder, and (mIoU, 10^12 multiply-additions, 10^9 activations) as published for the method
# with its own details: Kirillov et al., Panoptic FPN, CVPR 2019, figure 5.
HEADS: tuple[tuple[str, Callable[[], nn.Module], tuple[float, float, float] | None], ...] = (
    (
        "DeepLabv3 R101-D8, torchvision",
        lambda: segmentation.deeplabv3_resnet101(
            weights=None, weights_backbone=None, num_classes=CLASSES
        ),
        (77.8, 1.9, 1.9),
    ),
    ("DeepLabv3 R101-D8, smp", lambda: build(smp.DeepLabV3, encoder_output_stride=8), None),
    ("DeepLabv3+ R101-D16, smp", lambda: build(smp.DeepLabV3Plus), None),
    ("PSPNet R101, smp", lambda: build(smp.PSPNet), None),
    ("UPerNet R101, smp", lambda: build(smp.UPerNet), None),
    ("Semantic FPN R101, smp", lambda: build(smp.FPN), (77.7, 0.5, 0.8)),
    (
        "Semantic FPN ResNeXt-101 32x8d, smp",
        lambda: build(smp.FPN, encoder="resnext101_32x8d"),
        (79.1, 0.8, 1.4),
    ),
)


def build(design: type[nn.Module], encoder: str = "resnet101", **options: object) -> nn.Module:
    """Build a net of segmentation-models-pytorch with random weights."""
    return design(encoder, encoder_weights=None, classes=CLASSES, **options)


@click.group()
def main() -> None:
    """Print the tables of docs/one-net-or-two.md."""


@main.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.argument("ledgers", nargs=2, type=click.Path(exists=True, path_type=Path))
def pairs(folder: Path, ledgers: tuple[Path, Path]) -> None:
    """Print scores, differences, costs and the ledger of a pair and of one net."""
    figures = json.loads((folder / "baselines.json").read_text())
    if figures["comparison"] is None or len(figures["comparison"]["runs"]) < 2:
        raise click.ClickException(f"{folder}: two baselines are not compared there")
    click.echo("\n\n".join([tabulate_scores(figures), tabulate_differences(figures)]))
    click.echo("\n" + tabulate_ledgers([json.loads(path.read_text()) for path in ledgers]))


def tabulate_scores(figures: Figures) -> str:
    """Tabulate each net alone, the pair and the one net: scores and costs."""
    rows = []
    runs = figures["comparison"]["runs"]
    for place, (made, run) in enumerate(zip(figures["baselines"], runs, strict=False)):
        parts = {row["part"]: row for row in made["profile"]}
        if not place:
            net = show_costs(parts["instance"])
            rows.append(["Mask R-CNN alone", percent(run["ap"]), "", "", "", "", *net, ""])
            net = show_costs(parts["semantic"])
            rows.append(["Semantic FPN alone", "", percent(run["miou"]), "", "", "", *net, ""])
        scores = [run["ap"], run["miou"], *(run["pq"][g]["pq"] for g in ("all", "things", "stuff"))]
        speed = made["images_run"] / made["seconds"] if made["seconds"] else None
        rows.append(
            [
                f"`{made['name']}`, {'the pair' if not place else 'one net'}",
                *map(percent, scores),
                *show_costs(parts["total"]),
                "" if speed is None else f"{speed:.1f}",
            ]
        )
    titles = ["", "AP", "mIoU", "PQ", "things", "stuff", "M params", "GFLOP", "M activations"]
    return tabulate([*titles, "MiB", "ms", "images/s"], rows)


def show_costs(row: Figures) -> list[str]:
    """Show parameters, operations, activations, memory and milliseconds."""
    counts = (("parameters", 1e6, 2), ("flops", 1e9, 1), ("activations", 1e6, 1))
    memory_and_time = (("memory", 2**20, 0), ("seconds", 1e-3, 0))
    return [f"{row[key] / unit:.{places}f}" for key, unit, places in (*counts, *memory_and_time)]


def tabulate_differences(figures: Figures) -> str:
    """Tabulate what the others have more than the pair, with 95 % intervals."""
    first, *others = figures["baselines"]
    rows = []
    for made, moved in zip(others, figures["comparison"]["differences"], strict=False):
        pq = [moved["pq"][group]["pq"] for group in ("all", "things", "stuff")]
        cells = [show_interval(interval) for interval in (moved["ap"], moved["miou"], *pq)]
        rows.append([f"`{made['name']}` less `{first['name']}`", *cells])
    return tabulate(["", "AP", "mIoU", "PQ", "things", "stuff"], rows)


def tabulate_ledgers(ledgers: Sequence[Figures]) -> str:
    """Tabulate what each type of error costs in PQ, those that differ most first."""
    shares = [{cost["key"]: cost["share"] for cost in ledger["ledger"]} for ledger in ledgers]
    keys = sorted(shares[0], key=lambda key: -abs(shares[1][key] - shares[0][key]))
    rows = [
        [
            find_title(key),
            *(percent(one[key]) for one in shares),
            points(shares[1][key], shares[0][key]),
        ]
        for key in keys
    ]
    rest = [ledger["rest"] for ledger in ledgers]
    rows.append(["the rule itself", *map(percent, rest), points(rest[1], rest[0])])
    missing = [1 - ledger["pq"]["all"]["pq"] for ledger in ledgers]
    rows.append(["sum: the missing PQ", *map(percent, missing), points(missing[1], missing[0])])
    return tabulate(["", "pair", "one net", "difference"], rows)


@main.command()
def heads() -> None:
    """Count what nets of the size of Panoptic FPN's figure 5 cost on one image of Cityscapes."""
    rows = []
    for name, make, published in HEADS:
        with torch.device("meta"):
            net, image = make().eval(), torch.empty(1, 3, *SIDES)
        with torch.no_grad():
            flops = count_flops(lambda net=net, image=image: net(image))
            activations = count_activations(lambda net=net, image=image: net(image))
        parameters = sum(parameter.numel() for parameter in net.parameters())
        counts = [f"{flops / 2e12:.2f}", f"{activations / 1e9:.2f}"]
        told = [f"{value:g}" for value in published or ()] or [""] * 3
        rows.append([name, f"{parameters / 1e6:.1f}", *counts, told[1], told[2], told[0]])
    columns = ["M params", "10^12 multiply-additions", "10^9 activations"]
    click.echo(
        tabulate(["net", *columns, *(f"published {c}" for c in (*columns[1:], "mIoU"))], rows)
    )


def tabulate(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table, numbers to the right."""
    rule = ["---", *["---:"] * (len(titles) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (titles, rule, *rows))


def percent(fraction: float | None) -> str:
    """Write a fraction times 100."""
    return "" if fraction is None else f"{100 * fraction:.1f}"


def points(after: float, before: float) -> str:
    """Write a difference of fractions in points, with its sign."""
    return f"{round(100 * (after - before), 1) + 0.0:+.1f}"


def show_interval(interval: Figures | None) -> str:
    """Write a difference with its interval, bold where it leaves out 0."""
    if interval is None:
        return ""
    middle, low, high = (points(interval[key], 0) for key in ("difference", "low", "high"))
    text = f"{middle} ({low} to {high})"
    return f"**{text}**" if interval["low"] > 0 or interval["high"] < 0 else text


if __name__ == "__main__":
    main()
