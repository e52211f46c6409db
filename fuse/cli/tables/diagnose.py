"""The tables of `fuse diagnose`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table

from fuse.analysis.diagnose.diagnosis import Diagnosis, ErrorCost, find_title
from fuse.cli.tables.layout import (
    SHOWN,
    as_percent,
    make_table,
    print_line,
    print_rows,
    print_tables,
)


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """The cost of each error type, the classes and images that lose most, and counts."""
    pq = diagnosis.result.all.pq
    images = len(diagnosis.images)
    print(
        f"PQ of {images} images is {as_percent(pq)}. Where the missing {as_percent(1 - pq)} went:"
    )
    print_tables(
        _make_cost_table(diagnosis),
        _make_loss_table("class", ((c.name, c.pq, c.shares) for c in diagnosis.classes)),
        _make_loss_table("image", ((i.file_name, i.pq, i.shares) for i in diagnosis.images)),
    )
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
    print_line(f"found under another name: {found}")
    disputed = as_percent(diagnosis.disputed)
    print(f"the two nets disagree on {disputed} % of an image's pixels on average")
    if diagnosis.unknown:
        print(f"note: left out, as the ground truth lacks them: {diagnosis.unknown} images")
    if diagnosis.lacking:
        print(f"note: left out, as the run lacks them: {diagnosis.lacking} images")
    if diagnosis.mapped:
        print_line(f"note: {diagnosis.mapped}")


def _make_cost_table(diagnosis: Diagnosis) -> Table:
    """A row per error type, the costliest first, its subtypes below; then the sum and borders."""
    table = make_table("", ("share", "of things", "of stuff", "alone"))
    for cost in sorted(diagnosis.errors, key=lambda cost: -cost.share):
        table.add_row(find_title(cost.key), *_cost_row(cost), style="bold")
        for part in cost.parts:
            table.add_row(f"  {find_title(part.key)}", *_cost_row(part))
    table.add_row("the rule itself, with all of this right", as_percent(diagnosis.rest))
    result = diagnosis.result
    missing = (
        1 - score.pq if score.n else 0.0 for score in (result.all, result.things, result.stuff)
    )
    table.add_row("sum", *map(as_percent, missing), style="bold")
    table.add_section()
    for border in diagnosis.borders:
        table.add_row(f"of all lines {find_title(border.key)}", *_cost_row(border))
    return table


def _cost_row(cost: ErrorCost) -> tuple[str, ...]:
    figures = (cost.share, cost.things, cost.stuff, cost.alone)
    return tuple(f"{round(100 * figure, 1) + 0.0:.1f}" for figure in figures)


def _make_loss_table(what: str, losses: Iterable[tuple[str, float, Mapping[str, float]]]) -> Table:
    """The (name, PQ, shares) of the lowest PQ, and by which error types they lose."""
    table = make_table(what, ("PQ",))
    table.add_column("lost to")
    for name, pq, shares in sorted(losses, key=lambda loss: loss[1])[:SHOWN]:
        table.add_row(name, as_percent(pq), _name_shares(shares))
    return table


def _name_shares(shares: Mapping[str, float]) -> str:
    """The three largest shares of at least a point."""
    ranked = sorted(shares.items(), key=lambda share: -share[1])[:3]
    named = (f"{find_title(key)} {as_percent(s)}" for key, s in ranked if s >= 0.01)
    return ", ".join(named)
