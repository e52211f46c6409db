"""The command line: parse, call the function of the same name in `fuse.api`, print, exit.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but some photos failed, 130 stopped.
"""

from __future__ import annotations

from typing import Any

import click

from fuse import __version__
from fuse.cli.combine import combine
from fuse.cli.compare import compare
from fuse.cli.demo import demo
from fuse.cli.diagnose import diagnose
from fuse.cli.disagree import disagree
from fuse.cli.evaluate import evaluate
from fuse.cli.labels import labels
from fuse.cli.merge import merge
from fuse.cli.models import models
from fuse.cli.pipelines import pipelines
from fuse.cli.printing import EXIT_FAILED
from fuse.cli.report import report
from fuse.cli.run import run
from fuse.cli.sweep import sweep
from fuse.cli.verify import verify
from fuse.errors import FuseError, RunStoppedError

EXIT_INTERRUPTED = 130  # the shells' own number for Ctrl-C

COMMANDS = (
    run,
    combine,
    evaluate,
    compare,
    sweep,
    diagnose,
    disagree,
    report,
    merge,
    verify,
    demo,
    models,
    pipelines,
    labels,
)


class Group(click.Group):
    """Turns an error that the user can mend into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RunStoppedError as err:
            exit_code, message = EXIT_INTERRUPTED, str(err)
        except FuseError as err:
            exit_code, message = EXIT_FAILED, f"Error: {err}"
        except OSError as err:  # a full disk, a folder that may not be written to
            message = f"Error: {err}; what is done stays done, so try again"
            exit_code = EXIT_FAILED
        click.echo(message, err=True)
        return ctx.exit(exit_code)


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="fuse")
def main() -> None:
    """Panoptic segmentation by fusing two independent pretrained nets.

    \b
    fuse demo                          the whole job on the photos that ship
    fuse run photos/ -o out            panoptic maps of a folder
    fuse evaluate --gt gt.json --pred out
    """


for _command in COMMANDS:
    main.add_command(_command)
