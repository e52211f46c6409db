"""What became of the mutants: kept as JSON lines, printed as a table and a list."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mutation.operators import Mutant, list_mutants

CONTEXT = 60  # characters shown on either side of a change


@dataclass(frozen=True, slots=True)
class Harmless:
    """A mutant that no test need notice, and why; the key says which, the rest is for readers."""

    key: str
    file: str
    function: str
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant.

    Attributes:
        mutant: which.
        verdict: ``killed``, ``timeout`` or ``survived``.
        test: the one that failed or took too long.
        tests: how many were to run.
        seconds: that it took.
        code: hash of its module, before the change.
        suite: hash of all tests.
    """

    mutant: Mutant
    verdict: str
    test: str
    tests: int
    seconds: float
    code: str
    suite: str

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Result:
        """From `to_json`."""
        values = json.loads(line)
        return cls(Mutant(**values.pop("mutant")), **values)

    def holds(self, code: str, suite: str) -> bool:
        """Whether a new try would end the same: a survivor may meet its test in a new suite."""
        return self.code == code and (self.verdict != "survived" or self.suite == suite)


def read_results(path: Path) -> dict[str, Result]:
    """The newest result of each mutant, by key."""
    lines = path.read_text().splitlines() if path.exists() else ()
    return {result.mutant.key: result for result in map(Result.from_json, lines)}


def read_harmless(path: Path) -> dict[str, Harmless]:
    """The list of harmless mutants, by key."""
    listed = tomllib.loads(path.read_text())["mutant"] if path.exists() else []
    return {one["key"]: Harmless(**one) for one in listed}


def find_lost(root: Path, harmless: Iterable[Harmless]) -> list[Harmless]:
    """Those of the list that the project's code has no more."""
    files = sorted({one.file for one in harmless})
    there = {
        mutant.key
        for file in files
        if (root / file).exists()
        for mutant in list_mutants((root / file).read_text(), file)
    }
    return [one for one in harmless if one.key not in there]


def print_report(results: Sequence[Result], harmless: Mapping[str, Harmless]) -> int:
    """A Markdown table per package, then the survivors; returns how many are not listed."""
    print("\n| package | mutants | killed | timeout | survived | of these harmless | noticed |")
    print("|---|---|---|---|---|---|---|")
    packages = dict.fromkeys(result.mutant.file.split("/")[1] for result in results)
    for package in packages:
        inside = [result for result in results if result.mutant.file.split("/")[1] == package]
        print(_row(package, inside, harmless))
    print(_row("all", results, harmless))
    survivors = [result for result in results if result.verdict == "survived"]
    for result in sorted(survivors, key=lambda result: (result.mutant.file, result.mutant.line)):
        print(f"\n{_describe(result)}\n    {_why(result, harmless) or 'NOT LISTED AS HARMLESS:'}")
        if not _why(result, harmless):
            print(to_toml(result.mutant))
    for result in results:
        if result.verdict != "survived" and _why(result, harmless):
            print(f"\nlisted as harmless, but noticed by {result.test}:\n{_describe(result)}")
    return sum(not _why(result, harmless) for result in survivors)


def _row(name: str, results: Iterable[Result], harmless: Mapping[str, Harmless]) -> str:
    verdicts = Counter(result.verdict for result in results)
    known = sum(result.verdict == "survived" and bool(_why(result, harmless)) for result in results)
    counts = [verdicts[verdict] for verdict in ("killed", "timeout", "survived")]
    share = f"{(counts[0] + counts[1]) / max(sum(counts), 1):.1%}"
    return f"| {' | '.join(map(str, (name, sum(counts), *counts, known, share)))} |"


def _why(result: Result, harmless: Mapping[str, Harmless]) -> str | None:
    listed = harmless.get(result.mutant.key)
    return listed and listed.why


def to_toml(mutant: Mutant) -> str:
    """What the list has of a mutant, but for the why; texts are the same in JSON and TOML."""
    names = ("key", "file", "function", "before", "after")
    lines = (f"{name} = {json.dumps(getattr(mutant, name), ensure_ascii=False)}" for name in names)
    return "\n".join(("[[mutant]]", *lines, 'why = ""'))


def _describe(result: Result) -> str:
    """Place and change, cut to where it is."""
    mutant = result.mutant
    place = f"{mutant.file}:{mutant.line} {mutant.function} ({mutant.operator}"
    first = next(
        (i for i, (a, b) in enumerate(zip(mutant.before, mutant.after, strict=False)) if a != b),
        min(len(mutant.before), len(mutant.after)),
    )
    shown = slice(max(first - CONTEXT, 0), first + CONTEXT)
    tests = f"{result.tests} tests)"
    return f"{place}, {tests}\n    - {mutant.before[shown]}\n    + {mutant.after[shown]}"
