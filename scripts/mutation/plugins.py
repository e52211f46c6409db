"""What pytest does besides running tests: note what they use, and stop when they take too long."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import Phase, settings

OUT_OF_TIME = 99  # exit code
SECONDS = 10.0  # of processor time, granted to each test beyond a multiple of what it takes
PATIENCE = 10.0  # that multiple


@pytest.hookimpl(tryfirst=True)
def use_same_examples() -> None:
    """Let Hypothesis draw the same examples each time and not look for the smallest failure."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile(
        "mutation", deadline=None, derandomize=True, database=None, phases=phases
    )
    settings.load_profile("mutation")


class Recorder:
    """Notes of each test that passes what it costs and which functions of the project it enters.

    Fixtures that several tests share are noted apart: they cost once, and each of these tests
    depends on what they enter.
    """

    def __init__(self, root: Path) -> None:
        self.prefix = str(root / "fuse") + os.sep
        self.cut = len(str(root)) + 1
        self.entered: set[tuple[str, str]] = set()
        self.fixtures: dict[str, dict[str, Any]] = {}
        self.tests: dict[str, dict[str, Any]] = {}
        self.shared_seconds = 0.0

    def to_json(self) -> dict[str, Any]:
        """Tests by node id, and fixtures by name."""
        return {"tests": self.tests, "fixtures": self.fixtures}

    def pytest_collection(self) -> None:
        """After conftest.py has set its profile, before any test module is imported."""
        use_same_examples()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Measure one test with its setup."""
        self.entered, self.shared_seconds = set(), 0.0
        self.tests[item.nodeid] = {"passed": False}
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        start = time.process_time()
        try:
            result = yield
        finally:
            seconds = time.process_time() - start - self.shared_seconds
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
        used = [name for name in getattr(item, "fixturenames", ()) if name in self.fixtures]
        entered = self.entered.union(*(self.fixtures[name]["entered"] for name in used))
        self.tests[item.nodeid] |= {
            "seconds": seconds,
            "fixtures": used,
            "entered": sorted(entered),
        }
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Measure a fixture that lives longer than a test."""
        if fixturedef.scope == "function":
            return (yield)
        outer, self.entered = self.entered, set()
        start, before = time.process_time(), self.shared_seconds
        try:
            return (yield)
        finally:
            seconds = time.process_time() - start - (self.shared_seconds - before)
            self.fixtures[fixturedef.argname] = {
                "seconds": seconds,
                "entered": sorted(self.entered),
            }
            self.shared_seconds += seconds
            self.entered |= outer

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that fails or is skipped tells nothing of a mutant."""
        if report.when == "call":
            self.tests[report.nodeid]["passed"] = report.passed

    def _trace(self, frame: FrameType, event: str, argument: object) -> None:
        """Called when a function is entered; returns no tracer of its lines."""
        code = frame.f_code
        if code.co_filename.startswith(self.prefix):
            self.entered.add((code.co_filename[self.cut :], code.co_qualname))


class FirstFailure:
    """Runs chosen tests in a given order, each within its time, and writes down which one fails."""

    def __init__(self, limits: Mapping[str, float], report: Path) -> None:
        self.limits = limits
        self.report = report

    def pytest_collection(self) -> None:
        """After conftest.py has set its profile, before any test module is imported."""
        use_same_examples()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the chosen tests, in their order."""
        by_id = {item.nodeid: item for item in items}
        items[:] = [by_id[test] for test in self.limits if test in by_id]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Set the alarm."""
        self.report.write_text(json.dumps(item.nodeid))
        signal.setitimer(signal.ITIMER_PROF, self.limits[item.nodeid])
        return (yield)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test module that cannot be imported fails as a whole."""
        if report.failed:
            self.report.write_text(json.dumps(report.nodeid))
