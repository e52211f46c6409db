"""Kinds of faults that strangers' inputs had, against each command that they reach.

`scripts/kinds_table.py` prints what is held here as a table.
"""

import pytest
from kinds import exports, lost, refused, silent, written
from kinds.cells import CELLS, WORDS, is_there
from kinds.world import World

assert silent, (refused, lost, written, exports)  # their cells are added when they are imported
TRIED_HERE = [cell for cell in CELLS if callable(cell.tried)]
ELSEWHERE = [cell for cell in CELLS if cell.verdict != "open" and not callable(cell.tried)]


@pytest.mark.parametrize("cell", TRIED_HERE, ids=str)
def test_the_verdict(cell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cell.tried(World(tmp_path)) == cell.verdict


@pytest.mark.parametrize("cell", ELSEWHERE, ids=str)
def test_who_tries_it_is_there(cell):
    assert is_there(cell.tried), cell.tried


def test_no_kind_is_forgotten():
    assert {cell.kind for cell in CELLS} == set(WORDS)
