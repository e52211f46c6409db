"""The tables of docs/one-net-or-two.md, from figures that are known."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True, scope="module")
def scripts_are_found():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield


def make_run(pq, miou, ap):
    return {"pq": {g: {"pq": pq} for g in ("all", "things", "stuff")}, "miou": miou, "ap": ap}


def make_baseline(name, millions):
    costs = {"flops": 2e9, "activations": 3e6, "memory": 4 * 2**20, "seconds": 0.005}
    parts = ("semantic", "instance", "total")
    rows = [{"part": part, "parameters": millions * 1e6, **costs} for part in parts]
    return {"name": name, "images_run": 10, "seconds": 2.0, "profile": rows}


def make_figures():
    clear = {"difference": 0.012, "low": 0.003, "high": 0.02}
    open_one = {"difference": -0.01, "low": -0.03, "high": 0.01}
    groups = ("all", "things", "stuff")
    moved = {"ap": clear, "miou": None, "pq": {g: {"pq": open_one} for g in groups}}
    return {
        "baselines": [make_baseline("two", 10), make_baseline("one", 7)],
        "comparison": {
            "runs": [make_run(0.25, 0.35, 0.11), make_run(0.24, None, 0.122)],
            "differences": [moved],
        },
    }


def write_ledger(path, missed):
    ledger = {
        "ledger": [{"key": "order", "share": 0.01}, {"key": "missed", "share": missed}],
        "rest": 0.2,
        "pq": {"all": {"pq": 1 - missed - 0.21}},
    }
    path.write_text(json.dumps(ledger))
    return path


def test_tables_hold_the_figures_of_the_commands(tmp_path):
    import one_net_or_two

    figures = make_figures()
    (tmp_path / "baselines.json").write_text(json.dumps(figures))
    ledgers = [
        write_ledger(tmp_path / f"{name}.json", missed)
        for name, missed in (("two", 0.5), ("one", 0.55))
    ]
    arguments = ["pairs", str(tmp_path), *map(str, ledgers)]
    result = CliRunner().invoke(one_net_or_two.main, arguments)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert "| Mask R-CNN alone | 11.0 |  |  |  |  | 10.00 | 2.0 | 3.0 | 4 | 5 |  |" in lines
    assert (
        "| `two`, the pair | 11.0 | 35.0 | 25.0 | 25.0 | 25.0 | 10.00 | 2.0 | 3.0 | 4 | 5 | 5.0 |"
        in lines
    )
    assert (
        "| `one`, one net | 12.2 |  | 24.0 | 24.0 | 24.0 | 7.00 | 2.0 | 3.0 | 4 | 5 | 5.0 |"
        in lines
    )
    assert any(
        line.startswith("| `one` less `two` | **+1.2 (+0.3 to +2.0)** |  | -1.0 (")
        for line in lines
    )
    ledger = lines[-6:]
    assert ledger[2] == "| missed instances | 50.0 | 55.0 | +5.0 |"
    assert ledger[-1] == "| sum: the missing PQ | 71.0 | 76.0 | +5.0 |"
    figures["comparison"] = None
    (tmp_path / "baselines.json").write_text(json.dumps(figures))
    assert "are not compared" in CliRunner().invoke(one_net_or_two.main, arguments).output


@pytest.mark.slow
def test_the_nets_of_the_papers_figure_cost_what_it_says():
    import one_net_or_two

    result = CliRunner().invoke(one_net_or_two.main, ["heads"])
    rows = [line[2:-2].split(" | ") for line in result.output.splitlines()[2:]]
    assert len(rows) == len(one_net_or_two.HEADS)
    for _, _, flops, activations, *published in rows:
        if published[0].strip():  # the heads are not built alike to the last layer
            assert float(flops) == pytest.approx(float(published[0]), abs=0.1)
            assert float(activations) == pytest.approx(float(published[1]), abs=0.1)
