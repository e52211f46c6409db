"""The tables of `fuse compare`."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from fuse.analysis.compare import AP_RESAMPLES, Comparison, Difference
from fuse.analysis.compared_runs import ComparedRun
from fuse.analysis.interval import Interval, describe_points
from fuse.cli.tables.layout import SHOWN, as_percent, make_table, percents, print_line, print_tables
from fuse.metrics.measures import TITLES
from fuse.metrics.pq import GROUPS


def print_comparison(comparison: Comparison) -> None:
    """The runs, what was published, each difference to the first run, and what moved most."""
    print_tables(_make_runs_table(comparison))
    if any(run.seconds for run in comparison.runs):
        print()
        print_tables(_make_stage_table(comparison))
    if comparison.runs[0].measured:
        print()
        print_tables(_make_measures_table(comparison))
    first = comparison.runs[0].name
    for run, difference in zip(comparison.runs[1:], comparison.differences, strict=True):
        print()
        print_line(f"{run.name} against {first}:")
        print_tables(_make_difference_table(difference))
        print_tables(_make_moved_table(difference))
        if difference.measures:
            print()
            print_tables(_make_measure_differences(difference))
    images, classes = len(comparison.images), len(comparison.space.categories)
    named = "the one class" if classes == 1 else f"the {classes} classes"
    print(
        f"over {images} images and {named} of {comparison.space.name}; in brackets 95 % of "
        f"{comparison.resamples} paired resamples of the images (mask AP: of the first "
        f"{AP_RESAMPLES}), * where they leave out 0"
    )
    for mapped in dict.fromkeys(run.mapped for run in comparison.runs if run.mapped):
        print_line(f"note: {mapped}")
    print_miou_classes((run.name, run) for run in comparison.runs)
    for run in comparison.runs:
        if run.unknown:
            note = f"note: {run.name}: the ground truth lacks {run.unknown} images, left out"
            print_line(note)
        if run.changed:
            print_line(
                f"warning: {len(run.changed)} images changed between {first} and {run.name} (first "
                f"{run.changed[0]}); their differences are not of the nets and rules alone"
            )


def print_miou_classes(runs: Iterable[tuple[str, ComparedRun]]) -> None:
    """Over which classes the mIoU of each run is, by what to call it."""
    for name, run in runs:
        if run.miou is not None:
            print_line(f"note: {name}: mIoU {run.miou_classes}")


def _make_runs_table(comparison: Comparison) -> Table:
    """A row per run and per published result."""
    table = make_table("run", ("PQ", "SQ", "RQ", "things", "stuff", "mIoU", "AP"))
    for run in comparison.runs:
        table.add_row(
            run.name,
            *percents(run.result.all),
            as_percent(run.result.things.pq),
            as_percent(run.result.stuff.pq),
            *("" if score is None else as_percent(score) for score in (run.miou, run.ap)),
        )
    table.add_section()
    for result in comparison.published:
        parts = ("" if pq is None else as_percent(pq) for pq in (result.things, result.stuff))
        name = f"published: {result.name}"
        table.add_row(name, as_percent(result.pq), "", "", *parts, style="dim")
    return table


def _make_stage_table(comparison: Comparison) -> Table:
    """What each run took: milliseconds per image and stage, and peak memory."""
    stages = list(dict.fromkeys(stage for run in comparison.runs for stage in run.seconds))
    table = make_table("ms/image", (*stages, "peak MiB"))
    for run in comparison.runs:
        per_image = {key: 1000 * s / run.images_run for key, s in run.seconds.items()}
        memory = run.peak_memory_mib.get("process")
        times = (f"{per_image[stage]:.1f}" if stage in per_image else "" for stage in stages)
        table.add_row(run.name, *times, "" if memory is None else str(memory))
    return table


def _make_difference_table(difference: Difference) -> Table:
    """PQ, SQ, RQ, mIoU and mask AP against the first run, with intervals."""
    table = make_table("", ("PQ", "SQ", "RQ"))
    for group, scores in difference.pq.items():
        table.add_row(group, *map(_as_change, scores.values()))
    if difference.miou:
        table.add_row("mIoU", _as_change(difference.miou))
    if difference.ap:
        table.add_row("mask AP", _as_change(difference.ap))
    return table


def _make_measures_table(comparison: Comparison) -> Table:
    """A row per measure and run: all, things, stuff."""
    table = make_table("measure", ("run", *GROUPS))
    measured = [(run.name, run.measured) for run in comparison.runs if run.measured]
    for measure in measured[0][1].pq:
        for name, of_run in measured:
            scores = (getattr(of_run.pq[measure].result, group).pq for group in GROUPS)
            table.add_row(TITLES[measure], name, *map(as_percent, scores))
    for name, of_run in measured:
        if errors := of_run.calibration:
            parts = (as_percent(errors.things.ece), as_percent(errors.stuff.ece))
            table.add_row("calibration error", name, "", *parts)
    return table


def _make_measure_differences(difference: Difference) -> Table:
    """The further measures against the first run, with intervals."""
    table = make_table("measure", GROUPS)
    for measure, groups in difference.measures.items():
        cells = ("" if group not in groups else _as_change(groups[group]) for group in GROUPS)
        table.add_row(TITLES.get(measure, "calibration error (less is better)"), *cells)
    return table


def _make_moved_table(difference: Difference) -> Table:
    """The classes that moved most; an interval only where enough images have the class."""
    table = make_table("class", ("images", "before", "after", "PQ"))
    for c in difference.classes[:SHOWN]:
        change = (
            _as_change(c.pq)
            if c.is_sampled
            else f"{describe_points(c.pq.difference)} (few images)  "
        )
        table.add_row(c.name, str(c.images), as_percent(c.before), as_percent(c.after), change)
    return table


def _as_change(interval: Interval | None) -> str:
    """``+1.2 (+0.3 to +2.0) *`` in points, brackets below each other."""
    if interval is None:
        return "n/a"
    described = interval.describe()
    return described if described.endswith("*") else f"{described}  "
