"""Runs tests on a copy of the project, each time in a process of its own, forked from this one.

The heavy libraries are imported here, once; the project itself only in the children. A mutant
is never written anywhere: the child that tests it compiles the changed module in memory.
"""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from mutation.operators import Mutant, compile_mutant
from mutation.plugins import OUT_OF_TIME, FirstFailure, Recorder

# What the tests import besides the project; a child has these for nothing.
PRELOADED = (
    *("cv2", "faster_coco_eval", "hotcoco", "matplotlib.figure", "msgspec", "numba", "numpy"),
    *("PIL.Image", "pycocotools.cocoeval", "rich.table", "safetensors.torch", "torch"),
    *("torch.nn.functional", "torchvision.models.detection", "hypothesis.strategies", "click"),
    "torchmetrics.functional.detection",
)
# Besides what git ignores: what no test of these packages reads.
NOT_COPIED = (".*", "__pycache__", "build", "dist", "*.egg-info", "fuse-demo")
LEFT_OUT = "not (slow or weights or gpu or browser or ray or shared_data)"
# No plug-ins (they are imported anew each time), no rewriting of every test module.
PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "-m", LEFT_OUT)
WARNINGS = (
    # Compiled kernels wrap round, and divide 0 by 0, in silence where NumPy's scalars warn.
    *("-W", "ignore:overflow encountered:RuntimeWarning"),
    *("-W", "ignore:invalid value encountered:RuntimeWarning"),
    # Of Hypothesis, which is here before pytest.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
MEMORY = 8 * 2**30  # bytes; a mutant may try to fill the machine
IMPORT_FAILED = 98  # exit code of a child
HARD_LIMIT = 900  # seconds; tests have limits of their own, in processor time

_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A copy of the project.

    Attributes:
        root: the copy's folder.
        reports: folder of the children's reports and output.
    """

    root: Path
    reports: Path

    @classmethod
    def make(cls, project: Path, folder: Path) -> Sandbox:
        """Copy a project into a folder that is always the same, so kernels are compiled once."""
        box = cls(folder / "copy", folder / "reports")
        shutil.rmtree(box.root, ignore_errors=True)
        shutil.copytree(project, box.root, ignore=shutil.ignore_patterns(*NOT_COPIED))
        box.reports.mkdir(exist_ok=True)
        for name in PRELOADED:
            if importlib.util.find_spec(name.partition(".")[0]):
                importlib.import_module(name)
        gc.freeze()  # pytest collects garbage twice; what is here is none
        return box

    def record(self, paths: Sequence[str], name: str, *, plain: bool) -> dict[str, object]:
        """Run all tests of some paths on the project as it is; returns what `Recorder` saw."""
        report = self.reports / f"{name}.json"
        child = _fork.Process(target=self._record, args=(paths, report, plain))
        child.start()
        child.join()
        if not report.exists():
            raise RuntimeError(f"the tests did not run, see {report.with_suffix('.txt')}")
        recorded: dict[str, object] = json.loads(report.read_text())
        return recorded

    def start(
        self, mutant: Mutant, limits: dict[str, float], *, plain: bool
    ) -> multiprocessing.process.BaseProcess:
        """Begin to run tests on a mutant; `verdict` says how it went."""
        report = self.reports / f"{mutant.key}.json"
        report.unlink(missing_ok=True)
        child = _fork.Process(target=self._try, args=(mutant, limits, report, plain))
        child.start()
        return child

    def verdict(
        self, mutant: Mutant, child: multiprocessing.process.BaseProcess
    ) -> tuple[str, str]:
        """``killed``, ``survived`` or ``timeout``, and by which test, when a child has ended.

        Raises:
            RuntimeError: the tests could not be run.
        """
        report = self.reports / f"{mutant.key}.json"
        test = json.loads(report.read_text()) if report.exists() else ""
        report.unlink(missing_ok=True)
        code = child.exitcode
        if code == pytest.ExitCode.OK:
            return "survived", ""
        if code == OUT_OF_TIME or code == -signal.SIGKILL:
            return "timeout", test
        if code == IMPORT_FAILED or code is None or code < 0:
            return "killed", "import" if code == IMPORT_FAILED else f"signal {code}"
        if code in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
            return "killed", test
        raise RuntimeError(f"pytest ended with {code}, see {report.with_suffix('.txt')}")

    def _record(self, paths: Sequence[str], report: Path, plain: bool) -> None:
        self._enter(report, plain=plain)
        recorder = Recorder(self.root)
        # Tests that fail here are left out later; one must not end the run.
        pytest.main([*WARNINGS, *PYTEST[1:], *paths], plugins=[recorder])
        report.write_text(json.dumps(recorder.to_json()))
        os._exit(0)

    def _try(self, mutant: Mutant, limits: dict[str, float], report: Path, plain: bool) -> None:
        self._enter(report, plain=plain)
        path = self.root / mutant.file
        code = compile_mutant(path.read_text(), mutant.index, str(path))
        module = _module_name(mutant.file)
        sys.meta_path.insert(0, _MutantFinder(module, path, code))
        signal.signal(signal.SIGPROF, _give_up)
        signal.setitimer(signal.ITIMER_PROF, max(limits.values()))
        try:
            importlib.import_module(module)
        except Exception:  # noqa: BLE001 - whatever a mutant raises
            os._exit(IMPORT_FAILED)
        files = list(dict.fromkeys(test.partition("::")[0] for test in limits))
        os._exit(pytest.main([*WARNINGS, *PYTEST, *files], plugins=[FirstFailure(limits, report)]))

    def _enter(self, report: Path, *, plain: bool) -> None:
        """Make a child see the copy instead of the project, and no more of the machine."""
        os.setsid()
        output = os.open(report.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(self.root)
        sys.path.insert(0, str(self.root))
        os.environ |= {
            "PYTHONPATH": str(self.root),
            "NUMBA_CACHE_DIR": str(self.reports.parent / "kernels"),
            "NUMBA_DISABLE_JIT": str(int(plain)),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        sys.dont_write_bytecode = False  # of the copy, for the next child
        import numba

        numba.config.DISABLE_JIT = int(plain)
        numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def _give_up(signal_number: int, frame: object) -> None:
    os._exit(OUT_OF_TIME)


def _module_name(file: str) -> str:
    return ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")


class _MutantLoader(importlib.machinery.SourceFileLoader):
    """Gives a module other code than its file has."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        return self.code


class _MutantFinder(importlib.abc.MetaPathFinder):
    """Finds one module in place of the copy's."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        loader = _MutantLoader(fullname, str(self.path), self.code)
        inside = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=loader, submodule_search_locations=inside
        )
