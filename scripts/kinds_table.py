"""Prints what each command makes of each kind of fault that strangers' inputs had.

Input: none; tests/kinds has the cells and what tries them. What stands in another test is run by
pytest. Expected output: a table in Markdown, then a line for each cell that does not hold; exit 0
where there is none.

    python scripts/kinds_table.py
"""

import contextlib
import os
import re
import subprocess  # nosec B404
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from kinds import exports, lost, refused, silent, written  # noqa: E402, F401 - they add their cells
from kinds.cells import CELLS, VERDICTS, WORDS, Cell  # noqa: E402
from kinds.world import World  # noqa: E402


@click.command()
@click.option("--quick", is_flag=True, help="Leave out what stands in other tests.")
def main(quick: bool) -> None:
    """Try all cells, print them, and exit with 1 where one does not hold."""
    faults = [fault for cell in CELLS if callable(cell.tried) and (fault := try_here(cell))]
    if not quick:
        tests = [c for c in CELLS if c.verdict != "open" and not callable(c.tried)]
        faults += try_elsewhere(tests)
    print_table(CELLS)
    for fault in faults:
        click.echo(fault)
    if faults:
        raise SystemExit(1)


def try_elsewhere(cells: list[Cell]) -> list[str]:
    """What is wrong with cells that name a test."""
    names = sorted({str(cell.tried) for cell in cells})
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # nosec B603
    failed = set(re.findall(r"^(?:FAILED|ERROR) ([^\s\[]+)", done.stdout, re.MULTILINE))
    if done.returncode not in (0, 1):
        failed = set(names)  # pytest itself did not run
    return [f"{cell}: {cell.tried} fails" for cell in cells if cell.tried in failed]


def try_here(cell: Cell) -> str | None:
    """Try a cell in a folder of its own."""
    if not callable(cell.tried):
        raise TypeError(f"{cell} names a test, which pytest runs")
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stack.callback(os.chdir, here)
        os.chdir(folder)
        try:
            found = cell.tried(World(folder))
        except Exception as err:  # noqa: BLE001 - whatever it is, the cell does not hold
            return f"{cell}: {err!r}"
    return None if found == cell.verdict else f"{cell}: {found}, not {cell.verdict}"


def print_table(cells: list[Cell]) -> None:
    """A row for each kind, with what each of its commands does."""
    rows: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in WORDS}
    for cell in cells:
        rows[cell.kind][cell.command].add(cell.verdict)
    click.echo("| kind | | " + " | ".join(VERDICTS) + " |")
    click.echo("|---|---|" + "---|" * len(VERDICTS))
    for kind, commands in rows.items():
        columns = [
            ", ".join(command for command, found in commands.items() if verdict in found)
            for verdict in VERDICTS
        ]
        click.echo(f"| {kind} | {WORDS[kind]} | " + " | ".join(columns) + " |")
    counts = ", ".join(f"{sum(c.verdict == v for c in cells)} {v}" for v in VERDICTS)
    click.echo(f"\n{len(cells)} cells: {counts}. What is open nobody has mended yet.")


if __name__ == "__main__":
    main()
