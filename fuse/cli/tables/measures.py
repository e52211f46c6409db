"""The tables of measures beside PQ."""

from __future__ import annotations

from rich.table import Table

from fuse.cli.tables.layout import as_percent, make_table, print_tables
from fuse.evaluation.measured import Interval, Measured
from fuse.metrics.calibration import BINS, Calibration
from fuse.metrics.measures import TITLES
from fuse.metrics.pq import GROUPS


def print_measures(measured: Measured) -> None:
    """Each measure with its interval, then by class, then the calibration of scores."""
    print()
    print_tables(_make_measure_table(measured), _make_class_table(measured))
    calibration = measured.calibration
    if calibration:
        table = make_table("calibration", ("segments", f"error over {BINS} bins"))
        for name, group in (("things", calibration.things), ("stuff", calibration.stuff)):
            table.add_row(name, str(int(group.counts.sum())), _describe_error(group))
        print_tables(table)
        if calibration.unscored:
            print(f"{calibration.unscored} segments have no score in 0..1 and are left out there")
    print(f"in brackets 95 % of {measured.resamples} resamples of the images")


def _make_measure_table(measured: Measured) -> Table:
    """A row per measure: all, things, stuff."""
    table = make_table("measure", GROUPS)
    for name, measure in measured.pq.items():
        scores = [getattr(measure.result, group).pq for group in GROUPS]
        intervals = [measure.intervals[group]["pq"] for group in GROUPS]
        cells = map(with_interval, scores, intervals)
        table.add_row(TITLES[name], *cells)
    return table


def _make_class_table(measured: Measured) -> Table:
    """A row per class that occurs, a column per measure."""
    table = make_table("class", tuple(TITLES[name] for name in measured.pq))
    occurring = [i for i, c in measured.pq["pq"].result.per_category.items() if c.score.n]
    for category_id in occurring:
        classes = [m.result.per_category[category_id] for m in measured.pq.values()]
        table.add_row(classes[0].name, *(as_percent(c.score.pq) for c in classes))
    return table


def with_interval(score: float, interval: Interval) -> str:
    """``41.9 (40.1 to 43.6)`` in percent."""
    if interval is None:
        return as_percent(score)
    return "{} ({} to {})".format(as_percent(score), *map(as_percent, interval))


def _describe_error(group: Calibration) -> str:
    return with_interval(group.ece, group.interval)
