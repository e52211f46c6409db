"""Which mutants are tried, and by which tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutation.operators import Mutant, hash_texts, list_mutants
from mutation.plugins import PATIENCE, SECONDS
from mutation.sandbox import Sandbox

KERNEL_MARK = "@jit"


@dataclass(slots=True)
class Plan:
    """How mutants of a package are tested.

    Attributes:
        plain: whether kernels run as plain Python.
        tests: by node id what a test costs, uses and enters.
        fixtures: by name what a fixture costs and enters.
        by_function: the tests that pass, by file and name of a function that they enter.
    """

    plain: bool
    tests: dict[str, dict[str, Any]]
    fixtures: dict[str, dict[str, Any]]
    by_function: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, test in self.tests.items():
            for file, function in test["entered"] if test["passed"] else ():
                self.by_function.setdefault((file, function), set()).add(name)

    def choose_tests(self, mutant: Mutant, budget: float) -> dict[str, float]:
        """The tests that may notice a mutant, and how much processor time each may take.

        Those of the module's own file come first, then those of its package, and of these the
        quick ones; what goes beyond the budget is left out.
        """
        ranked = sorted(self._reaching(mutant), key=lambda name: self._rank(name, mutant))
        limits: dict[str, float] = {}
        ready: set[str] = set()
        spent = 0.0
        for name in ranked:
            fixtures = set(self.tests[name]["fixtures"])
            new = sum(self.fixtures[fixture]["seconds"] for fixture in fixtures - ready)
            cost = self.tests[name]["seconds"] + new
            if limits and spent + cost > budget:
                continue
            ready |= fixtures
            spent += cost
            limits[name] = SECONDS + PATIENCE * cost
        return limits

    def _reaching(self, mutant: Mutant) -> set[str]:
        """The tests that enter a mutant's function.

        A constant or a default is read by others as well: there also those that enter its module,
        and all of the package's own folder.
        """
        inside = self.by_function.get((mutant.file, mutant.function))
        if inside and not mutant.before.startswith("def "):
            return inside
        module = [tests for key, tests in self.by_function.items() if key[0] == mutant.file]
        return self._own_tests(mutant).union(*module)

    def _own_tests(self, mutant: Mutant) -> set[str]:
        """The tests of the package's folder that pass."""
        return {
            name for name, test in self.tests.items() if test["passed"] and _is_own(name, mutant)
        }

    def _rank(self, name: str, mutant: Mutant) -> tuple[bool, bool, float, str]:
        module = Path(mutant.file)
        mirror = Path("tests", *module.parts[1:-1], f"test_{module.name}").as_posix()
        is_mirror = name.startswith((f"{mirror}::", f"{mutant.file}::"))
        return not is_mirror, not _is_own(name, mutant), self.tests[name]["seconds"], name


def _is_own(test: str, mutant: Mutant) -> bool:
    """Whether a test stands in the folder of a mutant's package."""
    package = mutant.file.split("/")[1]
    return test.startswith((f"tests/{package}/", f"fuse/{package}/"))


def make_plans(box: Sandbox, packages: Iterable[str], out: Path) -> dict[str, Plan]:
    """A plan per package, from a run of the tests on unchanged code if there is none yet."""
    by_kind: dict[bool, list[str]] = {True: [], False: []}
    for package in packages:
        modules = (box.root / "fuse" / package).rglob("*.py")
        by_kind[any(KERNEL_MARK in path.read_text() for path in modules)].append(package)
    plans: dict[str, Plan] = {}
    for plain, chosen in by_kind.items():
        if not chosen:
            continue
        name = f"tests-{hash_files(box.root, ('fuse', 'tests'))}-{'-'.join(chosen)}"
        kept = out / f"{name}.json"
        if not kept.exists():
            print(f"tests of {', '.join(chosen)} on unchanged code ...", flush=True)
            paths = [f"{side}/{package}" for package in chosen for side in ("tests", "fuse")]
            paths = [path for path in paths if (box.root / path).exists()]
            kept.write_text(json.dumps(box.record(paths, name, plain=plain)))
        plan = Plan(plain, **json.loads(kept.read_text()))
        failing = [test for test, seen in plan.tests.items() if not seen["passed"]]
        print(f"{len(plan.tests)} tests; left out, as they do not pass: {failing}", flush=True)
        plans |= dict.fromkeys(chosen, plan)
    return plans


def choose_mutants(root: Path, packages: Iterable[str], one_in: int, seed: int) -> list[Mutant]:
    """Draw statements of the packages' modules, and one mutant of each."""
    chosen: list[Mutant] = []
    for package in packages:
        for path in sorted((root / "fuse" / package).rglob("*.py")):
            mutants = list_mutants(path.read_text(), path.relative_to(root).as_posix())
            chosen += draw_mutants(mutants, one_in, seed)
    return chosen


def draw_mutants(mutants: Iterable[Mutant], one_in: int, seed: int) -> list[Mutant]:
    """Of all mutants of a module those that are drawn.

    A statement is drawn, or not, by a hash of its name, and no other code has a say. So an edit
    changes the mutants of the statements that it touches, and no others.
    """
    statements: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        statements.setdefault(mutant.statement, []).append(mutant)
    return [
        min(of_statement, key=lambda mutant: hash_texts(seed, mutant.key))
        for statement, of_statement in statements.items()
        if int(hash_texts(seed, statement), 16) % one_in == 0
    ]


def hash_files(root: Path, names: Iterable[str]) -> str:
    """A name for the Python code in some folders and files."""
    digest = hashlib.sha256()
    for name in names:
        path = root / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else (path,):
            digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]
