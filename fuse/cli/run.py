"""`fuse run`."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from fuse.cli import options
from fuse.cli.printing import print_run, printable
from fuse.cli.progress import image_progress, log_download, stop_flag


@click.command(short_help="Make panoptic maps of images.")
@click.argument("images", nargs=-1)
@options.list_file
@options.null
@click.option("-o", "--out", type=options.OutFolder(), metavar="FOLDER", help="Output folder.")
@click.option(
    "--resume",
    type=options.EXISTING_FOLDER,
    metavar="FOLDER",
    help="Go on with the run in that folder as it was called; instead of IMAGES and -o.",
)
@click.option(
    "-p",
    "--pipeline",
    default="tiny",
    show_default=True,
    metavar="NAME|FILE",
    help="A preset that ships, or a TOML file.",
)
@options.set_values("Change the preset, as fusion.score_threshold=0.3; may be repeated.")
@options.as_stored
@options.device
@options.path("--gt", "GT.json", "Score against this COCO panoptic ground truth.")
@options.gt_dir
@click.option("--pictures", is_flag=True, help="Also draw each image with all that was seen in it.")
@click.option(
    "--keep-predictions",
    is_flag=True,
    help="Also keep what the nets said, to try other rules and thresholds without them.",
)
@click.option(
    "--batch-size",
    default="auto",
    show_default=True,
    callback=lambda _context, _option, text: _parse_batch_size(text),
    metavar="N|auto",
    help="Images per call of the nets; auto takes one on a CPU and as many as fit on a GPU.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds after which an image that is still being read has failed.",
)
@click.option(
    "--retry-failed", is_flag=True, help="Try images again that failed in an earlier run."
)
@click.option(
    "--check-images",
    is_flag=True,
    help="Tell changed images by their content, not by size and time of their files.",
)
@click.option(
    "--strict-images",
    is_flag=True,
    help="Let damaged images fail that can be read in part; else they are named in a note.",
)
@click.option(
    "--shard",
    default="1/1",
    callback=lambda _context, _option, text: _parse_shard(text),
    metavar="I/N",
    help="Do the I-th of N parts, as in a job array; fuse merge joins them.",
)
@options.allow_plugins
@options.weights_dir
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="This machine's cores, or workers of Ray Data, which is an extra: pip install "
    "'panoptic-fuse[ray]'.",
)
@click.option(
    "--ray-address",
    metavar="ADDR",
    help="A Ray cluster; all its machines must share images and output.  "
    "[default: one is started on this machine]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes of the ray engine.  [default: one per core, or share of a GPU]",
)
@click.option(
    "--gpus-per-worker",
    type=click.FloatRange(min=0, max=1),
    default=0,
    show_default=True,
    metavar="X",
    help="With the ray engine; 1 uses all GPUs of a machine, a worker each.",
)
@options.overwrite
@options.json_file
def run(json_file: Path | None, **given: Any) -> None:
    """Make panoptic maps of images: folders, files and globs, also as s3://bucket/images.

    \b
    fuse run images/ -o out
    fuse run 'trip/*.jpg' -o out --set fusion.score_threshold=0.3 --pictures
    fuse run val2017/ -o out --gt panoptic_val2017.json
    fuse run images/ -o out --engine ray --workers 4
    find . -name '*.jpg' -print0 | fuse run --list - -0 -o out
    fuse run --resume out --pictures

    A run that was cut off goes on where it stopped when called again, or with --resume. So are
    pictures and predictions made that were not asked for before.
    """
    from fuse import api

    names = {name for name in given if _is_given(name)}
    folder, source, null = given.pop("resume"), given.pop("list_file"), given.pop("null")
    if not folder and not (given["out"] and (given["images"] or source)):
        raise click.UsageError("give IMAGES or --list FILE, and -o FOLDER; or --resume FOLDER")
    with image_progress() as on_progress, stop_flag() as should_stop:
        watched: dict[str, Any] = {
            "on_fetch": log_download(),
            "on_progress": on_progress,
            "should_stop": should_stop,
        }
        if folder:
            changes = {name: given[name] for name in _check_changes(names)}
            result = api.resume(folder, on_start=_print_call, **changes, **watched)
        else:
            image_list = api.read_image_list(source, null=null) if source else None
            result = api.run(**given, image_list=image_list, **watched)
    print_run(result, json_file)


def _is_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def _check_changes(names: Set[str]) -> list[str]:
    """The options that were given beside ``--resume``; click.UsageError where one may not be."""
    from fuse.runs.resume import CHANGEABLE

    changes = sorted(names - {"resume"})
    for name in changes:
        if name not in CHANGEABLE:
            what = {"images": "IMAGES", "list_file": "--list"}.get(name, f"--{name}")
            raise click.UsageError(f"--resume goes on as the run was called; leave out {what}")
    return changes


def _print_call(arguments: Mapping[str, Any]) -> None:
    """Show what a run that goes on will do, before anything is done."""
    pipeline, listed = arguments["pipeline"], arguments["image_list"]
    lines = {"images": ", ".join([*arguments["images"], *([str(listed)] if listed else [])])}
    for branch in ("semantic", "instance"):
        model = getattr(pipeline, branch)
        values = ", ".join(f"{key} {value}" for key, value in model.options.items())
        lines[branch] = f"{model.model} ({values})" if values else model.model
    rule = pipeline.fusion.to_json()
    lines["fusion"] = ", ".join(f"{key} {value}" for key, value in rule.items())
    hidden = {"images", "image_list", "out", "pipeline", "on_fetch", "on_progress", "should_stop"}
    asked = {key: value for key, value in arguments.items() if key not in hidden}
    asked["shard"] = "{}/{}".format(*asked["shard"])
    lines["options"] = ", ".join(
        key if value is True else f"{key} {value}"
        for key, value in asked.items()
        if value is not None and value is not False
    )
    click.echo(printable(f"going on in {arguments['out']}, pipeline {pipeline.name}"), err=True)
    for what, text in lines.items():
        click.echo(printable(f"  {what}: {text}"), err=True)


def _parse_batch_size(text: str) -> int | None:
    """The number, None for ``auto``."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is neither auto nor a number from 1 on")
    return int(text)


def _parse_shard(text: str) -> tuple[int, int]:
    """(i, n) of ``i/n``."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise click.BadParameter(f"{text!r} is not I/N with 1 <= I <= N, as 2/8")
    return int(part), int(parts)
