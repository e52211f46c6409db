"""The tables of `fuse diagnose`."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from fuse.analysis.diagnose.diagnosis import BAND_TITLES, LINE_TITLES, Diagnosis, Entry
from fuse.cli.tables.layout import (
    SHOWN,
    as_percent,
    make_table,
    open_console,
    print_line,
    print_rows,
)


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """The ledger, the classes and images that lose most, and counts."""
    console = open_console()
    pq = diagnosis.result.all.pq
    images = len(diagnosis.images)
    print(
        f"PQ of {images} images is {as_percent(pq)}. Where the missing {as_percent(1 - pq)} went:"
    )
    console.print(_make_ledger_table(diagnosis))
    console.print()
    console.print(_make_class_ledger(diagnosis))
    console.print()
    console.print(_make_image_ledger(diagnosis))
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
    print_line(console, f"found under another name: {found}")
    disputed = as_percent(diagnosis.disputed)
    print(f"the two nets disagree on {disputed} % of an image's pixels on average")
    if diagnosis.unknown:
        print(f"note: left out, as the ground truth lacks them: {diagnosis.unknown} images")
    if diagnosis.lacking:
        print(f"note: left out, as the run lacks them: {diagnosis.lacking} images")
    if diagnosis.mapped:
        print_line(console, f"note: {diagnosis.mapped}")


def _make_ledger_table(diagnosis: Diagnosis) -> Table:
    """A row per line, the dearest first, with its parts below; then the sum and the borders."""
    table = make_table("", ("share", "of things", "of stuff", "alone"))
    for line in sorted(diagnosis.lines, key=lambda line: -line.share):
        table.add_row(LINE_TITLES[line.key], *_ledger_row(line), style="bold")
        for part in line.parts:
            band = part.key.rpartition("/")[2]
            title = LINE_TITLES.get(part.key) or BAND_TITLES[band]
            table.add_row(f"  {title}", *_ledger_row(part))
    table.add_row("the rule itself, with all of this right", as_percent(diagnosis.rest))
    result = diagnosis.result
    missing = (
        1 - score.pq if score.n else 0.0 for score in (result.all, result.things, result.stuff)
    )
    table.add_row("sum", *map(as_percent, missing), style="bold")
    table.add_section()
    for border in diagnosis.borders:
        table.add_row(f"of all lines {LINE_TITLES[border.key]}", *_ledger_row(border))
    return table


def _ledger_row(entry: Entry) -> tuple[str, ...]:
    figures = (entry.share, entry.things, entry.stuff, entry.alone)
    return tuple(f"{round(100 * figure, 1) + 0.0:.1f}" for figure in figures)


def _make_class_ledger(diagnosis: Diagnosis) -> Table:
    """The classes that miss most PQ, and on which lines."""
    table = make_table("class", ("PQ",))
    table.add_column("lost to")
    for c in sorted(diagnosis.classes, key=lambda c: c.pq)[:SHOWN]:
        table.add_row(c.name, as_percent(c.pq), _name_shares(c.shares))
    return table


def _make_image_ledger(diagnosis: Diagnosis) -> Table:
    """The images of the lowest PQ, and on which lines they lose."""
    table = make_table("photo", ("PQ",))
    table.add_column("lost to")
    for image in sorted(diagnosis.images, key=lambda image: image.pq)[:SHOWN]:
        table.add_row(image.file_name, as_percent(image.pq), _name_shares(image.shares))
    return table


def _name_shares(shares: Mapping[str, float]) -> str:
    """The three largest shares of at least a point."""
    ranked = sorted(shares.items(), key=lambda share: -share[1])[:3]
    named = (f"{LINE_TITLES[key]} {as_percent(s)}" for key, s in ranked if s >= 0.01)
    return ", ".join(named)
