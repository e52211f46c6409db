"""Figures as tables for a terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from math import isnan

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fuse.analysis.compare import Comparison, Difference, Interval
from fuse.analysis.diagnosis import BAND_TITLES, LINE_TITLES, Diagnosis, Entry
from fuse.analysis.disagreement import KINDS, Disagreement
from fuse.analysis.profile import ProfileRow
from fuse.analysis.sweep import SweepResult
from fuse.fetch import PipelineEntry
from fuse.metrics.pq import PQResult, PQScore
from fuse.printable import printable
from fuse.scoring import Evaluation

MOVED_CLASSES = 10  # shown of those that moved most
SHOWN = 10  # classes, photos and confusions that a diagnosis shows


def print_evaluation(evaluation: Evaluation) -> None:
    """PQ in percent of all, things and stuff, then of each class, then what to know of it."""
    console = Console()
    console.print(make_summary_table(evaluation.result))
    console.print(make_class_table(evaluation.result))
    if evaluation.semantic:
        console.print(f"mIoU of the semantic branch: {_as_percent(evaluation.semantic.miou)}")
    if evaluation.instances:
        ap, ap50 = evaluation.instances.ap, evaluation.instances.ap50
        console.print(f"mask AP of the instances: {_as_percent(ap)}, AP50 {_as_percent(ap50)}")
    if evaluation.mapped:
        console.print(_plain(f"note: {evaluation.mapped}"), soft_wrap=True)
    for finding in evaluation.findings:
        console.print(_plain(str(finding)), soft_wrap=True)


def print_sweep(result: SweepResult) -> None:
    """The ten best settings, then what the best one is worth."""
    ranked = sorted(result.settings, key=lambda s: -s.result.all.pq if s.result.all.n else 0)
    scores = [(s.result.all, s.result.things, s.result.stuff) for s in ranked[:10]]
    print_rows(
        (*result.keys, "PQ", "things", "stuff"),
        [
            (
                *(str(s.point.get(key, "")) for key in result.keys),
                *(_as_percent(p.pq) for p in pq),
            )
            for s, pq in zip(ranked, scores, strict=False)
        ],
    )
    low, high = (_as_percent(edge) for edge in result.interval)
    if result.held_out:
        held_out = _as_percent(result.held_out.all.pq)
        print(f"chosen by {result.photos} photos; on the others PQ {held_out} ({low} to {high})")
    else:
        best = _as_percent(result.best.result.all.pq)
        print(f"best PQ {best} ({low} to {high}) over {result.photos} photos")


def print_comparison(comparison: Comparison) -> None:
    """The runs, what was published, each difference to the first run, and what moved most."""
    console = Console()
    console.print(_make_runs_table(comparison))
    if any(run.seconds for run in comparison.runs):
        console.print()
        console.print(_make_stage_table(comparison))
    first = comparison.runs[0].name
    for run, difference in zip(comparison.runs[1:], comparison.differences, strict=True):
        console.print(f"\n{run.name} against {first}:", markup=False, soft_wrap=True)
        console.print(_make_difference_table(difference))
        console.print(_make_moved_table(difference))
    photos, classes = len(comparison.photos), len(comparison.space.categories)
    print(
        f"over {photos} photos and the {classes} classes of {comparison.space.name}; in brackets "
        f"95 % of {comparison.resamples} paired resamples of the photos, * where they leave out 0"
    )
    for mapped in dict.fromkeys(run.mapped for run in comparison.runs if run.mapped):
        console.print(f"note: {mapped}", markup=False, soft_wrap=True)
    for run in comparison.runs:
        if run.unknown:
            note = f"note: {run.name}: the ground truth lacks {run.unknown} photos, left out"
            console.print(note, markup=False, soft_wrap=True)


def _make_runs_table(comparison: Comparison) -> Table:
    """A row per run and per published result."""
    table = _make_table("run", ("PQ", "SQ", "RQ", "things", "stuff", "mIoU", "AP"))
    for run, miou in zip(comparison.runs, comparison.miou, strict=True):
        table.add_row(
            escape(run.name),
            *_percent(run.result.all),
            _as_percent(run.result.things.pq),
            _as_percent(run.result.stuff.pq),
            *("" if score is None else _as_percent(score) for score in (miou, run.ap)),
        )
    table.add_section()
    for anchor in comparison.anchors:
        parts = ("" if pq is None else _as_percent(pq) for pq in (anchor.things, anchor.stuff))
        name = f"published: {anchor.name}"
        table.add_row(name, _as_percent(anchor.pq), "", "", *parts, style="dim")
    return table


def _make_stage_table(comparison: Comparison) -> Table:
    """What each run took: milliseconds per photo and stage, and peak memory."""
    stages = list(dict.fromkeys(stage for run in comparison.runs for stage in run.seconds))
    table = _make_table("ms/photo", (*stages, "peak MiB"))
    for run in comparison.runs:
        per_photo = {key: 1000 * s / run.photos_run for key, s in run.seconds.items()}
        memory = run.peak_memory_mib.get("process")
        times = (f"{per_photo[stage]:.1f}" if stage in per_photo else "" for stage in stages)
        table.add_row(escape(run.name), *times, "" if memory is None else str(memory))
    return table


def _make_difference_table(difference: Difference) -> Table:
    """PQ, SQ, RQ and mIoU against the first run, with intervals."""
    table = _make_table("", ("PQ", "SQ", "RQ"))
    for group, scores in difference.scores.items():
        table.add_row(group, *map(_as_change, scores.values()))
    if difference.miou:
        table.add_row("mIoU", _as_change(difference.miou))
    if difference.ap is not None:
        table.add_row("mask AP", f"{100 * difference.ap:+.1f}")
    return table


def _make_moved_table(difference: Difference) -> Table:
    """The classes that moved most."""
    table = _make_table("class", ("before", "after", "PQ"))
    for c in difference.classes[:MOVED_CLASSES]:
        table.add_row(c.name, _as_percent(c.before), _as_percent(c.after), _as_change(c.pq))
    return table


def _as_change(interval: Interval | None) -> str:
    """``+1.2 (+0.3 to +2.0) *`` in percent."""
    if interval is None:
        return "n/a"
    edges = (interval.difference, interval.low, interval.high)
    middle, low, high = (f"{round(100 * edge, 1) + 0.0:+.1f}" for edge in edges)  # -0.0 is 0.0
    return f"{middle} ({low} to {high}) {'*' if interval.is_clear else ' '}"


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """The ledger, the classes and photos that lose most, and counts."""
    console = Console()
    pq = diagnosis.result.all.pq
    print(f"PQ is {_as_percent(pq)}. Where the missing {_as_percent(1 - pq)} went:")
    console.print(_make_ledger_table(diagnosis))
    console.print()
    console.print(_make_class_ledger(diagnosis))
    console.print()
    console.print(_make_photo_ledger(diagnosis))
    print("\nsegments without a match, by their best IoU with one of their class:")
    steps = [
        f"{step / 10:.1f} to {(step + 1) / 10:.1f}" for step in range(len(diagnosis.counts.missed))
    ]
    counts = (("missed", diagnosis.counts.missed), ("false", diagnosis.counts.false))
    print_rows(("", *steps), [(name, *map(str, numbers)) for name, numbers in counts])
    names = {category_id: c.name for category_id, c in diagnosis.space.by_id.items()}
    confusions = [
        f"{names[truth]} as {names[pred]} {count}"
        for truth, pred, count in diagnosis.counts.confusions[:SHOWN]
    ]
    found = "; ".join(confusions) or "none"
    console.print(f"found under another name: {found}", markup=False, soft_wrap=True)
    print(f"the two nets disagree on {_as_percent(diagnosis.disputed)} % of the pixels")
    if diagnosis.mapped:
        console.print(f"note: {diagnosis.mapped}", markup=False, soft_wrap=True)


def _make_ledger_table(diagnosis: Diagnosis) -> Table:
    """A row per line, the dearest first, with its parts below; then the sum and the borders."""
    table = _make_table("", ("share", "of things", "of stuff", "alone"))
    for line in sorted(diagnosis.lines, key=lambda line: -line.share):
        table.add_row(LINE_TITLES[line.key], *_ledger_row(line), style="bold")
        for part in line.parts:
            band = part.key.rpartition("/")[2]
            title = LINE_TITLES.get(part.key) or BAND_TITLES[band]
            table.add_row(f"  {title}", *_ledger_row(part))
    table.add_row("the rule itself, with all of this right", _as_percent(diagnosis.rest))
    result = diagnosis.result
    missing = (
        1 - score.pq if score.n else 0.0 for score in (result.all, result.things, result.stuff)
    )
    table.add_row("sum", *map(_as_percent, missing), style="bold")
    table.add_section()
    for border in diagnosis.borders:
        table.add_row(f"of all lines {LINE_TITLES[border.key]}", *_ledger_row(border))
    return table


def _ledger_row(entry: Entry) -> tuple[str, ...]:
    figures = (entry.share, entry.things, entry.stuff, entry.alone)
    return tuple(f"{round(100 * figure, 1) + 0.0:.1f}" for figure in figures)


def _make_class_ledger(diagnosis: Diagnosis) -> Table:
    """The classes that miss most PQ, and on which lines."""
    table = _make_table("class", ("PQ",))
    table.add_column("lost to")
    for c in sorted(diagnosis.classes, key=lambda c: c.pq)[:SHOWN]:
        table.add_row(c.name, _as_percent(c.pq), _name_shares(c.shares))
    return table


def _make_photo_ledger(diagnosis: Diagnosis) -> Table:
    """The photos of the lowest PQ, and on which lines they lose."""
    table = _make_table("photo", ("PQ",))
    table.add_column("lost to")
    for photo in sorted(diagnosis.photos, key=lambda photo: photo.pq)[:SHOWN]:
        table.add_row(escape(photo.file_name), _as_percent(photo.pq), _name_shares(photo.shares))
    return table


def _name_shares(shares: Mapping[str, float]) -> str:
    """The three largest shares of at least a point."""
    ranked = sorted(shares.items(), key=lambda share: -share[1])[:3]
    named = (f"{LINE_TITLES[key]} {_as_percent(s)}" for key, s in ranked if s >= 0.01)
    return ", ".join(named)


def print_disagreement(disagreement: Disagreement) -> None:
    """The photos on which the two nets disagree most."""
    print_rows(
        ("photo", "disagree on", *KINDS, "regions"),
        [
            (
                photo.file_name,
                f"{_as_percent(photo.share)} %",
                *(str(photo.pixels[kind]) for kind in KINDS),
                str(len(photo.regions)),
            )
            for photo in disagreement.photos[:SHOWN]
        ],
    )
    print(f"the first of {len(disagreement.photos)} photos; pixels of each kind")


def print_pipelines(pipelines: Iterable[PipelineEntry]) -> None:
    """Each pipeline with its weights: what they are, and where they come from."""
    console = Console()
    for pipeline in pipelines:
        console.print(f"{pipeline.name}: {pipeline.description}", markup=False, soft_wrap=True)
        for net in {net.source: net for net in pipeline.weights}.values():
            size = f"{'' if net.is_exact else 'about '}{net.size / 1e6:.0f} MB"
            here = "here" if net.is_present else f"absent, fuse fetch {pipeline.name}"
            lines = [f"    {net.source.rpartition('/')[2]}, {size}, {net.licence}: {here}"]
            if not net.is_shipped:
                at = f" at {net.revision}" if net.revision else ""
                lines.append(f"        {net.source}{at}, {_describe_hash(net.known_hash)}")
            for line in lines:
                console.print(line, markup=False, highlight=False, soft_wrap=True)


def _describe_hash(known_hash: str) -> str:
    """What is known of a hash ahead of the download, as words.

    >>> _describe_hash("md5:cafdb1"), _describe_hash("")
    ('md5 begins with cafdb1', 'no hash known ahead')
    """
    algorithm, _, digits = known_hash.partition(":")
    if not digits:
        return "no hash known ahead"
    is_whole = len(digits) == 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size
    return f"{algorithm} {'' if is_whole else 'begins with '}{digits}"


def print_profile(rows: Sequence[ProfileRow]) -> None:
    """A line per net and per part of a pipeline."""
    table = _make_table("pipeline", ())
    table.add_column("part")
    for title in ("M params", "GFLOP", "MiB", "ms", "to the first"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            escape(row.pipeline),
            row.part + ("*" if row.has_random_weights else ""),
            f"{row.parameters / 1e6:.2f}" if row.parameters is not None else "-",
            f"{row.flops / 1e9:.2f}" if row.flops else "-",
            f"{row.memory / 2**20:.0f}" if row.memory else "-",
            f"{row.seconds * 1e3:.1f}",
            f"{row.ratio:.2f}" if row.ratio is not None else "",
        )
        if row.part == "total":
            table.add_section()
    Console().print(table)
    if any(row.has_random_weights for row in rows):
        print("* with random weights")


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table of text."""
    table = Table(box=None, pad_edge=False)
    for title in header:
        table.add_column(escape(title), overflow="fold")
    for row in rows:
        table.add_row(*map(_plain, row))
    Console().print(table)


def make_summary_table(result: PQResult) -> Table:
    """PQ, SQ, RQ and the number of classes of all, things and stuff."""
    table = _make_table("", ("PQ", "SQ", "RQ", "classes"))
    rows = (("all", result.all), ("things", result.things), ("stuff", result.stuff))
    for name, score in rows:
        table.add_row(name, *_percent(score), str(score.n))
    return table


def make_class_table(result: PQResult) -> Table:
    """PQ, SQ, RQ and the counts of each class that occurs, things first."""
    table = _make_table("class", ("PQ", "SQ", "RQ", "TP", "FP", "FN"))
    scored = [c for c in result.per_category.values() if c.score.n]
    things = [c for c in scored if c.isthing]
    for group in (things, [c for c in scored if not c.isthing]):
        for c in group:
            table.add_row(_plain(c.name), *_percent(c.score), str(c.tp), str(c.fp), str(c.fn))
        table.add_section()
    return table


def _plain(text: str) -> str:
    """Text of strangers, in which nothing is a command to rich or to a terminal."""
    return escape(printable(text))


def _make_table(first: str, columns: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _percent(score: PQScore) -> tuple[str, str, str]:
    """PQ, SQ and RQ times 100."""
    return _as_percent(score.pq), _as_percent(score.sq), _as_percent(score.rq)


def _as_percent(fraction: float) -> str:
    """A fraction times 100, ``n/a`` for NaN, where nothing was scored."""
    return "n/a" if isnan(fraction) else f"{100 * fraction:.1f}"
