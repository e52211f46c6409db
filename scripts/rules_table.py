"""Make the table of docs/rules.md: every fusion rule on kept predictions, one column per run.

    fuse run images/ -o out --keep-predictions
    fuse pairs --gt train.json --instances instances_train.json -o pairs.csv
    python scripts/rules_table.py --pairs pairs.csv --run "50 val" out gt.json

Prints Markdown: PQ of all, in brackets of things and stuff, at the thresholds of each run; bold
is the best of its column. 16 settings take about 5 ms an image and setting on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fuse import api
from fuse.analysis.sweep import Setting
from fuse.fusion import METHODS, VOTE_AMONG

TEMPERATURES = "0.5,1,2"


def main() -> None:
    """Sweep the rules over each run and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run",
        nargs=3,
        action="append",
        required=True,
        metavar=("TITLE", "RUN", "GT.json"),
        help="a column: its title, a run with --keep-predictions, its ground truth",
    )
    parser.add_argument("--pairs", metavar="FILE.csv", help="table of the rule pairs")
    options = parser.parse_args()
    rules = [name for name in METHODS if name != "pairs" or options.pairs]
    grid = [
        f"rule={','.join(rules)}",
        f"temperature={TEMPERATURES}",
        f"vote_among={','.join(VOTE_AMONG)}",
        *([f"pairs={options.pairs}"] if options.pairs else []),
    ]
    columns = {
        title: api.sweep(Path(run), Path(gt), grid).settings for title, run, gt in options.run
    }
    print(f"| rule | {' | '.join(columns)} |")
    print(f"|---|{'---|' * len(columns)}")
    for row in zip(*columns.values(), strict=True):
        cells = [
            format_score(setting, setting is max(column, key=lambda s: s.result.all.pq))
            for setting, column in zip(row, columns.values(), strict=True)
        ]
        print(f"| {name_setting(row[0])} | {' | '.join(cells)} |")


def name_setting(setting: Setting) -> str:
    """The rule and its parameters; of the pairs there is only one table."""
    values = {k: v for k, v in setting.point.items() if k not in ("rule", "pairs")}
    return ", ".join([f"`{setting.fusion.rule}`", *(f"{k} {v}" for k, v in values.items())])


def format_score(setting: Setting, is_best: bool) -> str:
    """PQ in percent, as ``all (things/stuff)``."""
    result = setting.result
    whole, things, stuff = (100 * s.pq for s in (result.all, result.things, result.stuff))
    mark = "**" if is_best else ""
    return f"{mark}{whole:.1f}{mark} ({things:.1f}/{stuff:.1f})"


if __name__ == "__main__":
    main()
