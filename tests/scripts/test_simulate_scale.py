"""The simulation must agree with what can be worked out by hand."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        import simulate_scale

        patch.setattr(simulate_scale, "WORKER_START", 0.0)
        yield simulate_scale


def costs(script: ModuleType, **seconds: float) -> object:
    free = dict.fromkeys(("file_system", "listing", "driver", "closing", "call", "plan"), 0.0)
    return script.Costs(**{"worker": 0.1, **free, **seconds})


@pytest.mark.parametrize(
    ("workers", "seconds", "expected"),
    [
        (1, {}, 1000.0),
        (10, {}, 100.0),
        (10, {"listing": 0.001, "closing": 0.002}, 100.0 + 30.0),
        (1, {"file_system": 0.1}, 2000.0),  # a lone worker waits for each of its files
        (10, {"file_system": 0.1}, 1000.0),  # ten wait for one another
        (100, {"file_system": 0.002}, 20.0),
        (100, {"driver": 0.003}, 30.0),
        (1, {"driver": 0.003}, 1000.0),  # beside the worker's own work
    ],
)
def test_the_slowest_part_sets_the_pace(
    script: ModuleType, workers: int, seconds: dict[str, float], expected: float
) -> None:
    outcome = script.simulate(costs(script, **seconds), 10_000, workers)
    assert outcome.seconds == pytest.approx(expected, rel=0.06)


def test_calls_cost_the_driver_each(script: ModuleType) -> None:
    outcome = script.simulate(costs(script, call=1.0), 3200, 10)  # 32 images a call
    assert outcome.busy["driver"] == 100.0
    assert outcome.seconds > 100.0


@pytest.mark.slow
def test_it_runs_on_a_finished_run(tmp_path: Path) -> None:
    from fuse import api

    run = tmp_path / "run"
    image = SCRIPTS.parent / "examples" / "images" / "rocket.jpg"
    api.run([str(image)], run, device="cpu")
    command = [sys.executable, SCRIPTS / "simulate_scale.py", run, "--images", "5000"]
    command += ["--seconds", "0.2", "--files", "5000"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("| ")]
    assert [int(row[0]) for row in rows[2:]] == [1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096]
    rates = [float(row[2].replace(",", "")) for row in rows[2:]]
    assert rates[1] > 3 * rates[0]


@pytest.mark.slow
def test_help_tells_what_to_expect() -> None:
    command = [sys.executable, SCRIPTS / "simulate_scale.py", "--help"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Expected for tiny" in printed
