"""Figures of baselines as rows: for the terminal, CSV, Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import isnan
from pathlib import Path

from fuse.analysis.compare import Comparison
from fuse.analysis.interval import Interval
from fuse.baselines.baseline import Baseline
from fuse.io.csv_files import write_table
from fuse.io.files import write_whole

CSV_FILE, MARKDOWN_FILE, LATEX_FILE = "baselines.csv", "baselines.md", "baselines.tex"
TITLES = (
    *("baseline", "PQ", "SQ", "RQ", "things", "stuff", "mIoU", "AP", "PQ to the first (95 %)"),
    *("M params", "GFLOP", "M activations", "MiB", "ms", "images/s"),
)
CSV_TITLES = (
    *("baseline", "pq", "sq", "rq", "pq_things", "pq_stuff", "miou", "ap"),
    *("pq_difference", "pq_difference_low", "pq_difference_high"),
    *("parameters", "flops", "activations", "memory", "seconds", "images_per_second", "error"),
    *("images", "classes", "label_space", "ground_truth"),
)
# What TeX would take for a command.
_TEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"\n": " "}
)


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """What a table says of a baseline; None where there is no such figure.

    Attributes:
        name: of the baseline, or of what was published.
        scores: PQ, SQ, RQ, PQ of things and of stuff, mIoU, mask AP in 0..1.
        difference: of PQ to the first baseline.
        costs: parameters, operations, activations, bytes and seconds per image, of the pipeline.
        images_per_second: of the whole run.
        error: why there are no figures.
        is_published: whether it is a published result.
    """

    name: str
    scores: tuple[float | None, ...] = (None,) * 7
    difference: Interval | None = None
    costs: tuple[float | None, ...] = (None,) * 5
    images_per_second: float | None = None
    error: str | None = None
    is_published: bool = False

    def cells(self) -> list[str]:
        """As `TITLES` has them, for people."""
        units = (1e6, 1e9, 1e6, 2**20, 1e-3)
        digits = (2, 2, 1, 0, 1)
        costs = zip(self.costs, units, digits, strict=True)
        speed = self.images_per_second
        return [
            self.name,
            *("" if score is None else f"{100 * score:.1f}" for score in self.scores),
            self.difference.describe() if self.difference else "",
            *("" if v is None else f"{v / unit:.{places}f}" for v, unit, places in costs),
            "" if speed is None else f"{speed:.1f}",
        ]

    def values(self) -> list[object]:
        """As `CSV_TITLES` has them, up to the error."""
        moved = self.difference
        interval = (moved.difference, moved.low, moved.high) if moved else (None, None, None)
        values = (self.name, *self.scores, *interval, *self.costs)
        return ["" if v is None else v for v in (*values, self.images_per_second, self.error or "")]


def list_rows(
    baselines: Sequence[Baseline], comparison: Comparison | None
) -> Iterator[BaselineRow]:
    """A row per baseline, then one per published result."""
    places = count()  # of those that did not fail, in the comparison
    for baseline in baselines:
        total = baseline.costs.total
        row = BaselineRow(
            baseline.name,
            costs=(
                (total.parameters, total.flops, total.activations, total.memory, total.seconds)
                if total
                else (None,) * 5
            ),
            images_per_second=baseline.costs.images_per_second,
            error=baseline.error,
        )
        if comparison and baseline.error is None:
            row = _add_scores(row, comparison, next(places))
        yield row
    for result in comparison.published if comparison else ():
        scores = (result.pq, None, None, result.things, result.stuff, None, None)
        name = f"published: {result.name}, {result.source}"
        yield BaselineRow(name, scores, is_published=True)


def _add_scores(row: BaselineRow, comparison: Comparison, place: int) -> BaselineRow:
    """The row with the scores of the place-th run."""
    run = comparison.runs[place]
    result = run.result
    scores = (
        *(result.all.pq, result.all.sq, result.all.rq, result.things.pq, result.stuff.pq),
        *(run.miou, run.ap),
    )
    return replace(
        row,
        scores=tuple(None if score is None or isnan(score) else score for score in scores),
        difference=comparison.differences[place - 1].pq["all"]["pq"] if place else None,
    )


def describe_scope(comparison: Comparison, truth: str) -> str:
    """What the figures are of, as ``over 8 images and 1 class of NAME, ground truth FILE``."""
    images, classes, name, _ = _list_scope(comparison, truth)
    return (
        f"over {images} {'image' if images == 1 else 'images'} and "
        f"{classes} {'class' if classes == 1 else 'classes'} of {name}, ground truth {truth}"
    )


def _list_scope(comparison: Comparison, truth: str) -> tuple[int, int, str, str]:
    """Images, classes, label space and ground truth."""
    space = comparison.space
    return len(comparison.images), len(space.categories), space.name, truth


def write_tables(
    folder: Path, baselines: Sequence[Baseline], comparison: Comparison | None, truth: str
) -> None:
    """Write the rows as CSV (fractions, whole numbers), as a Markdown table and as LaTeX rows.

    Each says what the figures are of, so that no row is taken for one of other images or classes.

    Raises:
        OSError: the folder is not writable, or the disk is full.
    """
    rows = list(list_rows(baselines, comparison))
    own = [row for row in rows if not row.is_published]
    unscored = ("", "", "", truth)
    scoped = _list_scope(comparison, truth) if comparison else unscored
    lines = ([*row.values(), *(unscored if row.error else scoped)] for row in own)
    scope = describe_scope(comparison, truth) if comparison else None
    write_table(folder / CSV_FILE, CSV_TITLES, lines)
    write_whole(folder / MARKDOWN_FILE, make_markdown(rows, scope).encode())
    write_whole(folder / LATEX_FILE, make_latex(rows, scope).encode())


def make_markdown(rows: Sequence[BaselineRow], scope: str | None = None) -> str:
    """A table; under it what it is of, and a line for each baseline that failed."""
    lines = [TITLES, ("---", *["---:"] * (len(TITLES) - 1)), *(row.cells() for row in rows)]
    table = ["| " + " | ".join(_escape_markdown(cell) for cell in line) + " |" for line in lines]
    failed = [f"- {_escape_markdown(f'{row.name}: {row.error}')}" for row in rows if row.error]
    below = [_escape_markdown(scope)] if scope else []
    parts = ["\n".join(part) for part in (table, below, failed) if part]
    return "\n\n".join(parts) + "\n"


def make_latex(rows: Sequence[BaselineRow], scope: str | None = None) -> str:
    """Rows of a tabular; comments name the columns, and say what the rows are of."""
    head = "% " + " & ".join(escape_latex(title) for title in TITLES)
    below = ["% " + escape_latex(scope)] if scope else []
    lines = [" & ".join(escape_latex(cell) for cell in row.cells()) + r" \\" for row in rows]
    return "\n".join([head, *lines, *below]) + "\n"


def _escape_markdown(text: str) -> str:
    return re.sub(r"([|<>\\`*_\[\]])", r"\\\1", text.replace("\n", " "))


def escape_latex(text: str) -> str:
    r"""Text in which nothing is a command to TeX.

    >>> escape_latex("my_pair 50%")
    'my\\_pair 50\\%'
    """
    return text.translate(_TEX)
