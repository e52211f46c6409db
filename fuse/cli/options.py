"""Options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click import Context, Parameter

Command = TypeVar("Command", bound=Callable[..., Any])


class OutFile(click.Path):
    """A file to be written, into a folder that is there: hours of work may lie before it.

    Args:
        allow_dash: whether ``-`` stands for stdout.
    """

    def __init__(self, *, allow_dash: bool = False) -> None:
        super().__init__(dir_okay=False, allow_dash=allow_dash, path_type=Path)

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Path:  # noqa: ANN401 - click's
        """The path; click.BadParameter where its folder is missing."""
        if "://" in str(value):
            self.fail(f"{value} is a URL; only images are read from URLs", param, ctx)
        path = Path(str(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"there is no folder {path.parent}; make it first", param, ctx)
        return path


class OutFolder(click.Path):
    """A folder to be written; an empty name, as of an unset shell variable, is none."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Path:  # noqa: ANN401 - click's
        """The path; click.BadParameter where the name is empty."""
        if not str(value):
            self.fail("the name is empty", param, ctx)
        if "://" in str(value):
            self.fail(f"{value} is a URL; the output is a folder, copy it there", param, ctx)
        return Path(str(super().convert(value, param, ctx)))


json_option = click.option(
    "--json",
    "json_file",
    type=OutFile(allow_dash=True),
    metavar="FILE|-",
    help="Also write the figures as JSON; - prints them instead of the table.",
)
out_option = click.option(
    "-o", "--out", required=True, type=OutFolder(), metavar="FOLDER", help="Output folder."
)


def out_file_option(metavar: str, help_text: str) -> Callable[[Command], Command]:
    """``-o``, the one file that a command writes."""
    return click.option(
        "-o",
        "--out",
        required=True,
        type=OutFile(),
        metavar=metavar,
        help=help_text,
    )


truth_option = click.option(
    "--gt",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="GT.json",
    help="COCO panoptic ground truth.",
)
gt_dir_option = click.option(
    "--gt-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the ground truth's PNGs.  [default: the JSON's path without .json]",
)
weights_dir_option = click.option(
    "--weights-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where published weights lie, and are put; fuse fetch --to DIR fills it.  "
    "[default: $FUSE_WEIGHTS, else TORCH_HOME and HF_HOME]",
)
allow_plugins_option = click.option(
    "--allow-plugins",
    is_flag=True,
    help="Let the preset run code that it names: file.py:Class, package.module:Class, or a net "
    "saved as a program.",
)
workers_option = click.option(
    "--workers", type=click.IntRange(min=1), help="Threads.  [default: all cores]"
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Start anew where the folder holds a run."
)
predictions_option = click.option(
    "--predictions",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="RUN",
    help="A run with --keep-predictions.",
)


def seed_option(what: str) -> Callable[[Command], Command]:
    """``--seed`` of something random.

    Args:
        what: it decides, for ``--help``.
    """
    return click.option(
        "--seed", default=0, show_default=True, type=click.IntRange(min=0), help=what
    )
