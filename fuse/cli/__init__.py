"""The command line: parse, call the function of the same name in `fuse.api`, print, exit.

What a command prints is worded in its own file, its tables in ``tables/`` under its name, and an
error where it is raised.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but some images failed, 130 stopped.
An exception that is no `FuseError` is a bug: its traceback ends with a line that says so.
"""

from __future__ import annotations

import platform
import sys
import traceback
import warnings
from collections.abc import Callable
from errno import EDQUOT, ENOSPC
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from typing import Any

import click

from fuse.cli.baselines import baselines
from fuse.cli.combine import combine
from fuse.cli.compare import compare
from fuse.cli.convert import convert
from fuse.cli.demo import demo
from fuse.cli.diagnose import diagnose
from fuse.cli.disagree import disagree
from fuse.cli.draw import draw
from fuse.cli.evaluate import evaluate
from fuse.cli.export import export
from fuse.cli.fetch import fetch
from fuse.cli.labels import labels
from fuse.cli.merge import merge
from fuse.cli.models import models
from fuse.cli.pairs import pairs
from fuse.cli.pipelines import pipelines
from fuse.cli.printing import EXIT_FAILED, printable
from fuse.cli.report import report
from fuse.cli.run import run
from fuse.cli.sweep import sweep
from fuse.cli.verify import verify
from fuse.errors import FuseError, FuseWarning, RunStoppedError, is_memory_full, shorten
from fuse.version import __version__

LONGEST_ERROR = 2000  # characters; a file may give names of megabytes
EXIT_INTERRUPTED = 130  # the shells' own number for Ctrl-C

# What a report of a bug must name besides fuse itself: the packages that do the work.
REPORTED = ("torch", "torchvision", "numpy", "numba", "pillow", "msgspec")

COMMANDS = (
    *(demo, run, evaluate),
    *(combine, sweep, pairs),
    *(compare, baselines, diagnose, disagree, report),
    *(export, draw),
    *(verify, merge),
    *(convert, fetch, models, pipelines, labels),
)


class Group(click.Group):
    """Turns an error that the user can mend into one line, and any other into a report."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # no name of a category may end a command
                stream.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", FuseWarning)
                warnings.showwarning = partial(show_warning, set(), warnings.showwarning)
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click ends a command whose reader went away, as head does, without a word
        except RunStoppedError as err:
            exit_code, message = EXIT_INTERRUPTED, str(err)
        except KeyboardInterrupt:
            exit_code, message = EXIT_INTERRUPTED, "stopped"
        except FuseError as err:
            exit_code, message = EXIT_FAILED, f"Error: {shorten(str(err), LONGEST_ERROR)}"
        except Exception as err:  # noqa: BLE001 - of other packages, of the system, or a bug of ours
            exit_code, message = EXIT_FAILED, describe_failure(err)
        click.echo(printable(message, keep="\n"), err=True)
        return ctx.exit(exit_code)


def describe_failure(err: Exception) -> str:
    """What to say of an exception that is no `FuseError`."""
    if is_memory_full(err):
        return "Error: memory is full; use a machine with more, or smaller images"
    if isinstance(err, OSError) and err.strerror:  # a full disk, a folder that is gone
        what = f"{err.filename}: {err.strerror}" if err.filename else err.strerror
        advice = "make room, and give" if err.errno in (ENOSPC, EDQUOT) else "mend that, and give"
        return f"Error: {what}; {advice} the command again: a run goes on where it stopped"
    return describe_bug()


def show_warning(
    told: set[str],
    show_other: Callable[..., None],
    message: Warning | str,
    category: type[Warning],
    *where: Any,
    **how: Any,
) -> None:
    """A warning of ours as one line on stderr, each once; any other as Python does."""
    if not issubclass(category, FuseWarning):
        show_other(message, category, *where, **how)
    elif str(message) not in told:
        told.add(str(message))
        click.echo(printable(f"note: {message}"), err=True)


def describe_bug() -> str:
    """The traceback of the exception in hand, and what to do with it."""
    versions = [f"fuse {__version__}", f"Python {platform.python_version()}", platform.platform()]
    for package in REPORTED:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    return (
        f"{traceback.format_exc()}"
        "This is a bug in fuse. Please report it to the project's issue tracker (if it can do "
        "harm, as SECURITY.md says) with the lines above, the command and, if you can, the file "
        f"that it read: {', '.join(versions)}"
    )


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="fuse")
def main() -> None:
    """Panoptic segmentation by fusing two independent pretrained nets.

    \b
    fuse demo                          the whole job on the images that ship
    fuse run images/ -o out            panoptic maps of a folder
    fuse evaluate --gt gt.json --pred out
    """


for _command in COMMANDS:
    main.add_command(_command)
