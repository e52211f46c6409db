"""The table of `fuse sweep`."""

from __future__ import annotations

from fuse.analysis.sweep import SweepResult
from fuse.cli.tables.layout import SHOWN, as_percent, print_rows
from fuse.metrics.measures import TITLES


def print_sweep(result: SweepResult) -> None:
    """The ten best settings, then what the best one is worth."""
    title = TITLES[result.objective]
    ranked = sorted(result.settings, key=lambda s: -s.pq)
    scores = [(s.result.all, s.result.things, s.result.stuff) for s in ranked[:SHOWN]]
    print_rows(
        (*result.keys, title, "things", "stuff"),
        [
            (
                *(str(s.point.get(key, "")) for key in result.keys),
                *(as_percent(p.pq) for p in pq),
            )
            for s, pq in zip(ranked, scores, strict=False)
        ],
    )
    interval = ""
    if result.interval:
        interval = " ({} to {})".format(*map(as_percent, result.interval))
    if result.held_out:
        held_out = as_percent(result.held_out.all.pq)
        print(f"chosen by {result.images} images; on the others {title} {held_out}{interval}")
    else:
        best = as_percent(result.best.result.all.pq)
        print(f"best {title} {best}{interval} over {result.images} images")
