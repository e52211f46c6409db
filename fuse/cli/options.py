"""Options that commands share, and what an option that names a path takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
from click import Context, Parameter

from fuse.io.files import JOURNAL_FILE, PANOPTIC_FILE, RUN_FILE, check_writable, is_run

RUN_FILES = (RUN_FILE, JOURNAL_FILE, PANOPTIC_FILE)
Command = TypeVar("Command", bound=Callable[..., Any])


class InPath(click.Path):
    """A file or folder that is there, and that no option of the command writes.

    Args:
        file_okay: whether it may be a file.
        dir_okay: whether it may be a folder.
    """

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(exists=True, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Path:
        """The path; click.BadParameter where it is not there, or is written to."""
        path = Path(str(super().convert(value, param, ctx)))
        _keep_apart(path, param, ctx, is_written=False)
        return path


def _keep_apart(
    path: Path, param: Parameter | None, ctx: Context | None, *, is_written: bool
) -> None:
    """click.BadParameter where a command would write over a file that it reads, or a run's own."""
    if ctx is None or not path.is_file():
        return
    seen = ctx.meta.setdefault(__name__, {})
    if seen.setdefault(path.resolve(), is_written) != is_written:
        raise click.BadParameter(f"{path} is both read and written here", ctx, param)
    if is_written and path.name in RUN_FILES and is_run(path.parent):
        raise click.BadParameter(f"{path} belongs to a run; give another name", ctx, param)


class OutFile(click.Path):
    """A file to be written, into a folder that is there: hours of work may lie before it.

    Args:
        allow_dash: whether ``-`` stands for stdout.
    """

    def __init__(self, *, allow_dash: bool = False) -> None:
        super().__init__(dir_okay=False, allow_dash=allow_dash, path_type=Path)

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Path:
        """The path; click.BadParameter where its folder is missing."""
        if "://" in str(value):
            self.fail(f"{value} is a URL; only images are read from URLs", param, ctx)
        path = Path(str(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"there is no folder {path.parent}; make it first", param, ctx)
        # Stdout, or a pipe as shells have it for >(...), is written as it is.
        if str(path) != "-" and (path.is_file() or not path.exists()):
            check_writable(path)
            _keep_apart(path, param, ctx, is_written=True)
        return path


class OutFolder(click.Path):
    """A folder to be written; an empty name, as of an unset shell variable, is none."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Path:
        """The path; click.BadParameter where the name is empty."""
        if not str(value):
            self.fail("the name is empty", param, ctx)
        if "://" in str(value):
            self.fail(f"{value} is a URL; the output is a folder, copy it there", param, ctx)
        path = Path(str(super().convert(value, param, ctx)))
        if path.is_symlink() and not path.exists():
            self.fail(f"{path} is a link to nothing; remove it, or make {path.readlink()}")
        check_writable(path)
        return path


EXISTING = InPath()
EXISTING_FILE = InPath(dir_okay=False)
EXISTING_FOLDER = InPath(file_okay=False)
FOLDER = click.Path(file_okay=False, path_type=Path)


def path(
    flag: str,
    metavar: str | None,
    text: str,
    *,
    name: str | None = None,
    required: bool = False,
    kind: click.Path = EXISTING,
) -> Callable[[Command], Command]:
    """An option that names a file or folder that is there, or what else the kind says.

    Args:
        flag: as ``--images``.
        metavar: what stands for the path in ``--help``.
        text: what ``--help`` says.
        name: the argument's, where it is not that of the flag.
        required: whether it must be given.
        kind: what the path must be.
    """
    names = (flag, name) if name else (flag,)
    return click.option(*names, type=kind, metavar=metavar, help=text, required=required)


file = partial(path, kind=EXISTING_FILE)
folder = partial(path, kind=EXISTING_FOLDER)
written_file = partial(path, kind=OutFile())


def set_values(text: str) -> Callable[[Command], Command]:
    """``--set``, changes to presets or rules."""
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=text)


def seed(text: str) -> Callable[[Command], Command]:
    """``--seed`` of something random."""
    return click.option(
        "--seed", default=0, show_default=True, type=click.IntRange(min=0), help=text
    )


def out_file(metavar: str, text: str) -> Callable[[Command], Command]:
    """``-o``, the one file that a command writes."""
    return click.option("-o", "--out", required=True, type=OutFile(), metavar=metavar, help=text)


out_folder = click.option(
    "-o", "--out", required=True, type=OutFolder(), metavar="FOLDER", help="Output folder."
)
json_file = path(
    "--json",
    "FILE|-",
    "Also write the figures as JSON; - prints them instead of the table.",
    name="json_file",
    kind=OutFile(allow_dash=True),
)
list_file = click.option(
    "--list",
    "list_file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE|-",
    help="Names of images, one a line: from a file, to which they are relative, or from stdin.",
)
null = click.option(
    "-0", "--null", is_flag=True, help="Names in the list end with NUL, as find -print0 has it."
)
as_stored = click.option(
    "--as-stored", is_flag=True, help="Do not turn images upright by their EXIF orientation."
)
gt = path("--gt", "GT.json", "COCO panoptic ground truth.", required=True)
gt_dir = folder(
    "--gt-dir", None, "Folder of the ground truth's PNGs.  [default: the JSON's path without .json]"
)
predictions = folder("--predictions", "RUN", "A run with --keep-predictions.", required=True)
# `CHOICES` of fuse.metrics.measures, which imports more than --help may.
MEASURES = ("boundary", "dagger", "size", "thresholds", "calibration", "all")
measures = click.option(
    "--measure",
    "measures",
    multiple=True,
    type=click.Choice(MEASURES),
    help="Also report Boundary PQ, PQ-dagger, PQ by size of segments, PQ over IoU thresholds or "
    "the calibration of scores, with 95 % intervals; may be repeated (docs/measures.md).",
)
weights_dir = path(
    "--weights-dir",
    "DIR",
    "Where published weights lie, and are put; fuse fetch --to DIR fills it.  "
    "[default: $FUSE_WEIGHTS, else TORCH_HOME and HF_HOME]",
    kind=FOLDER,
)
allow_plugins = click.option(
    "--allow-plugins",
    is_flag=True,
    help="Let the preset run code that it names: file.py:Class, package.module:Class, or a net "
    "saved as a program.",
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda:0, ...")
workers = click.option(
    "--workers", type=click.IntRange(min=1), help="Threads.  [default: all cores]"
)
overwrite = click.option(
    "--overwrite", is_flag=True, help="Start anew where the folder holds a run."
)
