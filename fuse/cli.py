"""The command line: parse, call the function of the same name in `fuse.api`, print, exit.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but some photos failed, 130 stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fuse import __version__
from fuse.errors import FuseError, RunStoppedError

# fuse.api imports torch and numba, which takes seconds: each command imports it when it runs.
if TYPE_CHECKING:
    from fuse.api import Evaluation, RunResult

EXIT_FAILED = 1
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130  # the shells' own number for Ctrl-C


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


json_option = click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE|-",
    help="Also write the figures as JSON; - prints them instead of the table.",
)
out_option = click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Output folder."
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
workers_option = click.option(
    "--workers", type=click.IntRange(min=1), help="Threads.  [default: all cores]"
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Start anew where the folder holds a run."
)


@main.command()
@click.argument("images", nargs=-1, required=True)
@out_option
@click.option(
    "--pipeline",
    default="tiny",
    show_default=True,
    metavar="NAME|FILE",
    help="A preset that ships, or a TOML file.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the preset, as fusion.score_threshold=0.3; may be repeated.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda:0, ...")
@click.option(
    "--gt",
    type=click.Path(exists=True, path_type=Path),
    metavar="GT.json",
    help="Score against this COCO panoptic ground truth.",
)
@gt_dir_option
@click.option("--pictures", is_flag=True, help="Also draw each photo with all that was seen in it.")
@click.option(
    "--keep-predictions",
    is_flag=True,
    help="Also keep what the nets said, to try other rules and thresholds without them.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Photos per call of the nets.  [default: 1 on a CPU, 8 on a GPU]",
)
@click.option(
    "--shard",
    default="1/1",
    callback=lambda _context, _option, text: _parse_shard(text),
    metavar="I/N",
    help="Do the I-th of N parts, as in a job array; fuse merge joins them.",
)
@click.option(
    "--allow-plugins",
    is_flag=True,
    help="Let the preset load code that is not installed, as file.py:Class.",
)
@overwrite_option
@json_option
def run(json_file: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Make panoptic maps of photos: folders, files and globs.

    \b
    fuse run photos/ -o out
    fuse run 'trip/*.jpg' -o out --set fusion.score_threshold=0.3 --pictures
    fuse run val2017/ -o out --gt panoptic_val2017.json

    A run that was cut off goes on where it stopped when called again.
    """
    from fuse import api
    from fuse.progress import photo_progress, stop_flag

    with photo_progress() as on_progress, stop_flag() as should_stop:
        result = api.run(**options, on_progress=on_progress, should_stop=should_stop)
    _report_run(result, json_file)


@main.command()
@click.option(
    "-o",
    "--out",
    default="fuse-demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Output folder.",
)
@overwrite_option
@json_option
def demo(json_file: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Do the whole job on the photos that ship, without a network.

    \b
    fuse demo
    """
    from fuse import api
    from fuse.progress import photo_progress

    with photo_progress() as on_progress:
        result = api.demo(**options, on_progress=on_progress)
    _report_run(result, json_file)
    if json_file != Path("-"):
        click.echo(f"pictures: {result.out / 'pictures'}")


@main.command()
@truth_option
@click.option(
    "--pred",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PRED.json|RUN",
    help="Predictions: a COCO panoptic JSON, or the output folder of a run.",
)
@gt_dir_option
@click.option(
    "--pred-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the predictions' PNGs.  [default: the JSON's path without .json]",
)
@click.option(
    "--official", is_flag=True, help="Do as COCO's scorer does where that differs from the rule."
)
@click.option("--strict", is_flag=True, help="Take every fault found in the files as an error.")
@click.option(
    "--per-image",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Also write the counts of each photo.",
)
@click.option(
    "--semantic",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE.json|PNG_DIR",
    help="The semantic branch's predictions, to add its mIoU.",
)
@click.option(
    "--instances",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="The instance branch's COCO results, to add their mask AP.",
)
@workers_option
@json_option
def evaluate(json_file: Path | None, per_image: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Score predictions with PQ, SQ and RQ: all, things, stuff and each class.

    \b
    fuse evaluate --gt panoptic_val2017.json --pred out
    """
    from fuse import api
    from fuse.progress import photo_progress

    with photo_progress() as on_progress:
        evaluation = api.evaluate(**options, on_progress=lambda done, total: on_progress(total, 0))
    if per_image:
        api.write_per_image_csv(per_image, evaluation)
    _report(evaluation.to_json(), json_file, lambda: _print_evaluation(evaluation))


@main.command()
@out_option
@click.option(
    "--predictions",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="RUN",
    help="A run with --keep-predictions; instead of the next four.",
)
@click.option(
    "--instances",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="COCO.json",
    help="COCO results with masks as RLE or polygons, and scores.",
)
@click.option(
    "--semantic",
    type=click.Path(exists=True, path_type=Path),
    metavar="COCO.json|PNG_DIR",
    help="COCO results of stuff masks, or a folder of PNGs with a category id per pixel.",
)
@click.option(
    "--images",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="IMAGES.json",
    help="COCO JSON that lists the photos.",
)
@click.option(
    "--categories",
    metavar="FILE|SPACE",
    help="Categories: a label space, or a JSON or CSV file.  [default: those of IMAGES.json]",
)
@click.option("--rule", help="Fusion rule.  [default: overlap, or that of RUN]")
@click.option(
    "--score-threshold", type=click.FloatRange(0, 1), help="[default: 0.5, or that of RUN]"
)
@click.option(
    "--overlap-threshold", type=click.FloatRange(0, 1), help="[default: 0.5, or that of RUN]"
)
@click.option(
    "--stuff-area",
    type=click.FloatRange(min=0),
    help="Smallest stuff segment in pixels; below 1 a share of the photo.  "
    "[default: 4096, or that of RUN]",
)
@workers_option
@overwrite_option
def combine(predictions: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Fuse again what nets have said: a run's kept predictions, or other tools' result files.

    \b
    fuse combine --predictions out -o out2 --score-threshold 0.3
    fuse combine --instances inst.json --semantic stuff.json --images val2017.json -o out
    """
    from fuse import api
    from fuse.progress import photo_progress

    given = {key: value for key, value in options.items() if value is not None}
    sources = {"instances", "semantic", "images"}
    if predictions and given.keys() & {*sources, "categories"}:
        raise click.UsageError("give --predictions, or --instances, --semantic and --images")
    if not predictions and not sources <= given.keys():
        raise click.UsageError("give --predictions RUN, or --instances, --semantic and --images")
    with photo_progress() as on_progress:
        given["on_progress"] = lambda done, total: on_progress(total, 0)
        if predictions:
            result = api.combine_kept(predictions=predictions, **given)
        else:
            result = api.combine(**given)
    if result.unlisted:
        click.echo(f"{len(result.unlisted)} photos of the predictions are not listed", err=True)
    click.echo(f"{result.photos} photos, {result.segments} segments -> {result.out}")


@main.command()
@click.option(
    "--predictions",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="RUN",
    help="A run with --keep-predictions.",
)
@truth_option
@gt_dir_option
@click.option(
    "--grid",
    required=True,
    multiple=True,
    metavar="KEY=LO:HI:STEP|A,B",
    help="What to vary: score_threshold, overlap_threshold, stuff_area, rule; may be repeated.",
)
@click.option(
    "--holdout",
    default=0.0,
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="Share of the photos to report on and not choose by, as 0.5.",
)
@click.option("--seed", default=0, show_default=True, help="Of the split and the bootstrap.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Also write a row per setting.",
)
@workers_option
@json_option
def sweep(json_file: Path | None, csv_file: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Try many rules and thresholds on kept predictions; no net runs.

    \b
    fuse run photos/ -o out --keep-predictions
    fuse sweep --predictions out --gt gt.json --grid score_threshold=0.3:0.7:0.05
    """
    from fuse import api
    from fuse.progress import photo_progress
    from fuse.tables import print_sweep

    with photo_progress() as on_progress:
        result = api.sweep(**options, on_progress=lambda done, total: on_progress(total, 0))
    if csv_file:
        result.write_csv(csv_file)
    _report(result.to_json(), json_file, lambda: print_sweep(result))


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@out_option
def merge(runs: tuple[Path, ...], out: Path) -> None:
    """Join the shards of a run into one run.

    \b
    fuse run photos/ -o part1 --shard 1/2
    fuse run photos/ -o part2 --shard 2/2
    fuse merge part1 part2 -o out
    """
    from fuse import api

    click.echo(f"{api.merge(runs, out)} photos -> {out / 'panoptic.json'}")


@main.group(invoke_without_command=True)
@click.pass_context
def labels(context: click.Context) -> None:
    """List the label spaces that ship, or say what a label map covers.

    \b
    fuse labels
    fuse labels audit ade20k_150 coco_panoptic
    """
    from fuse import api
    from fuse.tables import print_rows

    if context.invoked_subcommand is None:
        print_rows(("label space", "things", "stuff", "rows of a net"), api.list_space_rows())
        print_rows(("map from", "to"), api.list_maps())


@labels.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "--gt",
    type=click.Path(exists=True, path_type=Path),
    metavar="GT.json",
    help="Also say which PQ the map leaves within reach on this ground truth.",
)
@gt_dir_option
@click.option(
    "--map",
    "map_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="A map of your own with the columns source,target.",
)
@json_option
def audit(json_file: Path | None, **options: Any) -> None:  # noqa: ANN401
    """Say what the map from one label space to another covers.

    \b
    fuse labels audit ade20k_150 coco_panoptic --gt panoptic_val2017.json
    """
    from fuse import api
    from fuse.progress import photo_progress
    from fuse.tables import print_rows

    with photo_progress() as on_progress:
        found = api.audit(**options, on_progress=lambda done, total: on_progress(total, 0))

    def print_audit() -> None:
        print_rows(("", "categories", ""), found.rows())
        if found.ceiling:
            click.echo("PQ within reach:")
            _print_evaluation(found.ceiling)

    _report(found.to_json(), json_file, print_audit)


@main.command()
def models() -> None:
    """List the models that a pipeline can name, plug-ins included.

    \b
    fuse models
    """
    from fuse import api
    from fuse.tables import print_rows

    print_rows(
        ("branch", "model", "from", "problem"),
        [(m.kind, m.name, m.origin, m.problem or "") for m in api.list_models()],
    )


@main.command()
def pipelines() -> None:
    """List the pipelines that ship.

    \b
    fuse pipelines
    """
    from fuse.config import list_pipelines, read_pipeline

    for name in list_pipelines():
        click.echo(f"{name:12} {read_pipeline(name).description}")


def _parse_shard(text: str) -> tuple[int, int]:
    """(i, n) of ``i/n``."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise click.BadParameter(f"{text!r} is not I/N with 1 <= I <= N, as 2/8")
    return int(part), int(parts)


def _report_run(result: RunResult, json_file: Path | None) -> None:
    """Print what a run did; exit with 3 where photos failed."""
    _report(result.to_json(), json_file, lambda: _print_run(result))
    for file_name, reason in result.failed:
        click.echo(f"failed: {file_name}: {reason}", err=True)
    if result.failed:
        sys.exit(EXIT_SOME_FAILED if result.done else EXIT_FAILED)


def _report(
    figures: dict[str, Any], json_file: Path | None, print_table: Callable[[], None]
) -> None:
    """Figures as JSON where asked for, and as a table unless the JSON goes to stdout."""
    text = json.dumps(figures, indent=2, allow_nan=False)
    if json_file == Path("-"):
        click.echo(text)
        return
    if json_file:
        json_file.write_text(text + "\n", encoding="utf-8")
    print_table()


def _print_run(result: RunResult) -> None:
    if result.evaluation:
        _print_evaluation(result.evaluation)
        if result.unknown:
            click.echo(f"not scored, as the ground truth lacks them: {result.unknown} photos")
    seconds = result.seconds["total"]
    click.echo(f"{result.done} photos in {seconds:.1f} s -> {result.out / 'panoptic.json'}")


def _print_evaluation(evaluation: Evaluation) -> None:
    from fuse.tables import print_evaluation

    print_evaluation(evaluation)


if __name__ == "__main__":
    main()
