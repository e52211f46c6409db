"""Figures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from fuse.metrics.pq import PQResult, PQScore
from fuse.scoring import Evaluation


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """PQ in percent of all, things and stuff, then of each class, then what to know of it."""
    console.print(make_summary_table(evaluation.result))
    console.print(make_class_table(evaluation.result))
    if evaluation.mapped:
        console.print(f"note: {evaluation.mapped}", markup=False, soft_wrap=True)
    for finding in evaluation.findings:
        console.print(str(finding), markup=False, soft_wrap=True)


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
            table.add_row(c.name, *_percent(c.score), str(c.tp), str(c.fp), str(c.fn))
        table.add_section()
    return table


def _make_table(first: str, columns: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _percent(score: PQScore) -> tuple[str, str, str]:
    """PQ, SQ and RQ times 100, ``n/a`` where nothing was scored."""
    if not score.n:
        return ("n/a", "n/a", "n/a")
    return (f"{100 * score.pq:.1f}", f"{100 * score.sq:.1f}", f"{100 * score.rq:.1f}")
