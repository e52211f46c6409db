"""The table of kinds: a row for each, and a cell that does not hold is named."""

import dataclasses

import pytest
from kinds.cells import CELLS, WORDS


@pytest.fixture(scope="module")
def table(import_script):
    return import_script("kinds_table")


def test_each_kind_has_a_row_with_all_its_commands(table, capsys):
    table.print_table(CELLS)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")][1:]
    assert [row[0].strip("| ") for row in rows] == list(WORDS)
    for cell in CELLS:
        (row,) = (row for row in rows if row[0] == f"| {cell.kind}")
        assert any(cell.command in column for column in row[2:])


@pytest.mark.parametrize("tried", [lambda world: "said", lambda world: world.gone])
def test_a_cell_that_does_not_hold_is_named(table, tried):
    (good, *_) = (cell for cell in CELLS if cell.instance == "endings without a decoder")
    bad = dataclasses.replace(good, verdict="right", tried=tried)
    assert table.try_here(bad).startswith("A6, run, endings without a decoder: ")
    assert table.try_here(good) is None


@pytest.mark.slow
def test_a_test_that_fails_or_is_not_there_is_named(table):
    here = "tests/scripts/test_kinds_table.py"
    gone = dataclasses.replace(CELLS[0], tried=f"{here}::test_gone")
    assert table.try_elsewhere([gone]) == [f"{gone}: {here}::test_gone fails"]
    held = dataclasses.replace(
        gone, tried=f"{here}::test_each_kind_has_a_row_with_all_its_commands"
    )
    assert table.try_elsewhere([held]) == []
