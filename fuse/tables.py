"""Figures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fuse.analysis.sweep import SweepResult
from fuse.metrics.pq import PQResult, PQScore
from fuse.printable import printable
from fuse.scoring import Evaluation


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
                *(str(getattr(s.fusion, key)) for key in result.keys),
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
        print("warning: chosen by the photos it is scored on; --holdout 0.5 keeps some apart")


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
