"""The tables of `fuse evaluate`, and of runs that are scored."""

from __future__ import annotations

from rich.table import Table

from fuse.cli.tables.layout import as_percent, make_table, open_console, percents, print_line
from fuse.cli.tables.measures import print_measures
from fuse.evaluation.evaluate import Evaluation
from fuse.metrics.pq import PQResult


def print_evaluation(evaluation: Evaluation) -> None:
    """PQ in percent of all, things and stuff, then of each class, then what to know of it."""
    console = open_console()
    console.print(make_summary_table(evaluation.result))
    console.print(make_class_table(evaluation.result))
    if evaluation.measured:
        print_measures(evaluation.measured)
    if evaluation.semantic:
        classes = evaluation.semantic.describe_classes(evaluation.semantic_ids)
        miou = as_percent(evaluation.semantic.miou)
        console.print(f"mIoU of the semantic branch: {miou} {classes}")
    if evaluation.instances:
        ap, ap50 = evaluation.instances.ap, evaluation.instances.ap50
        console.print(f"mask AP of the instances: {as_percent(ap)}, AP50 {as_percent(ap50)}")
    if evaluation.mapped:
        print_line(f"note: {evaluation.mapped}")
    for finding in evaluation.findings:
        print_line(str(finding))


def make_summary_table(result: PQResult) -> Table:
    """PQ, SQ, RQ and the number of classes of all, things and stuff."""
    table = make_table("", ("PQ", "SQ", "RQ", "classes"))
    rows = (("all", result.all), ("things", result.things), ("stuff", result.stuff))
    for name, score in rows:
        table.add_row(name, *percents(score), str(score.n))
    return table


def make_class_table(result: PQResult) -> Table:
    """PQ, SQ, RQ and the counts of each class that occurs, things first."""
    table = make_table("class", ("PQ", "SQ", "RQ", "TP", "FP", "FN"))
    scored = [c for c in result.per_category.values() if c.score.n]
    things = [c for c in scored if c.isthing]
    for group in (things, [c for c in scored if not c.isthing]):
        for c in group:
            table.add_row(c.name, *percents(c.score), str(c.tp), str(c.fp), str(c.fn))
        table.add_section()
    return table
