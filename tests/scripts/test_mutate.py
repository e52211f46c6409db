"""The mutation run: which changes it makes, and that it tells noticed from unnoticed ones."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def operators() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        from mutation import operators

        yield operators


def changes(operators: ModuleType, source: str) -> set[str]:
    """The changed statements of all mutants of a function body or module."""
    return {mutant.after for mutant in operators.list_mutants(source, "fuse/x.py")}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("a < b", {"a <= b", "a >= b"}),
        ("a == b", {"a != b"}),
        ("0 < a <= b", {"0 <= a <= b", "0 >= a <= b", "0 < a < b", "0 < a > b"}
         | {"1 < a <= b", "-1 < a <= b"}),
        ("a + b", {"a - b"}),
        ("a & b", {"a | b"}),
        ("a and b", {"a or b", "a", "b"}),
        ("not a", {"a"}),
        ("7", {"8", "6"}),
        ("0.5", {"0.55", "0.45"}),
        ("True", {"False"}),
        ("min(a)", {"max(a)"}),
        ("a.max()", {"a.min()"}),
        ("a.copy()", {"a"}),
        ("a[b]", {"a[b - 1]"}),
        ("a[:b]", {"a[:b + 1]"}),
        ("b if a else c", {"b if not a else c"}),
        ("[b for b in a if c]", {"[b for b in a if True]"}),
        ("f'{a + b}'", set()),  # texts are left alone
        ("zip(a, strict=True)", set()),
    ],
)  # fmt: skip
def test_each_kind_of_expression(operators, statement, expected):
    found = changes(operators, f"def f():\n  x = {statement}")
    assert found == {f"x = {changed}" for changed in expected}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a[0] = b", {"a[1] = b", "a[-1] = b", "pass"}),
        ("a += b", {"a -= b", "pass"}),
        ("a()", {"pass"}),
        ("return a", {"return None"}),
        ("raise ValueError(a + 1)", {"pass"}),
        ("while a: continue", {"while not a:", "pass"}),
        ('"""Text."""\n  return', set()),
        ("x: int | None", set()),
        ("def g(y: int = 1) -> 3: ...", {"def g(y: int=2) -> 3:", "def g(y: int=0) -> 3:"}),
    ],
)
def test_each_kind_of_statement(operators, body, expected):
    assert changes(operators, f"def f(a, b):\n  {body}") == expected


def test_a_mutant_is_its_module_with_one_change(operators):
    source = (
        "LIMIT = 2\n\n\ndef f(a):\n    return a + LIMIT\n\n\n"
        "class C:\n    def g(self):\n        f(1)\n"
    )
    results = []
    for mutant in operators.list_mutants(source, "fuse/x.py"):
        namespace: dict[str, object] = {}
        exec(operators.compile_mutant(source, mutant.index, "x.py"), namespace)  # noqa: S102
        results.append((mutant.function, mutant.line, namespace["f"](10)))
    assert results == [
        *(("<module>", 1, 13), ("<module>", 1, 11)),
        *(("f", 5, None), ("f", 5, 8)),
        *(("C.g", 10, 12),) * 3,
    ]


def test_a_mutant_keeps_its_name_when_its_code_moves(operators):
    source = "def f(a):\n    return a[0] + a[0]\n"
    keys = [mutant.key for mutant in operators.list_mutants(source, "x.py")]
    assert len(set(keys)) == len(keys)
    assert keys == [m.key for m in operators.list_mutants("import a\n" + source, "x.py")]


TESTED = """
def is_small(area):
    return area < 4


def unused(area):
    return area + 1
"""
TESTS = """
from fuse.ops.sizes import is_small


def test_edges():
    assert is_small(3) and not is_small(4)
"""


@pytest.mark.slow  # imports torch, and forks
def test_a_run_over_a_tiny_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name, text in {
        "fuse/__init__.py": "",
        "fuse/ops/__init__.py": "",
        "fuse/ops/sizes.py": TESTED,
        "tests/ops/test_sizes.py": TESTS,
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--doctest-modules'\n"
        "markers = ['slow', 'weights', 'gpu', 'browser', 'ray', 'shared_data']\n",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    harmless = tmp_path / "harmless.toml"
    harmless.write_text(
        '[[mutant]]\nfunction = "unused"\nbefore = "return area + 1"\n'
        'after = "return None"\nwhy = "nobody asks"\n'
    )
    before = {path: path.read_text() for path in project.rglob("*.py")}

    def mutate(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, SCRIPTS / "mutate.py", "--packages", "ops", "--project", project]
        command += ["--out", tmp_path / "out", "--harmless", harmless, *options]
        return subprocess.run(command, capture_output=True, text=True)

    # Two statements, one mutant of each.
    first = mutate("--workers", "2", "--seed", "1")
    assert first.returncode == 1, first.stderr  # half survive
    assert "| ops | 2 | 1 | 0 | 1 | " in first.stdout
    assert "fuse/ops/sizes.py:3 killed" in first.stdout
    assert "tests/ops/test_sizes.py::test_edges" in first.stdout
    assert "fuse/ops/sizes.py:7 survived" in first.stdout
    assert ast.literal_eval(first.stdout.split("not pass: ")[1].splitlines()[0]) == []
    # What is known is not done again.
    again = mutate("--seed", "1")
    assert "killed" not in again.stdout.split("| package")[0]
    assert again.stdout.split("| package")[1] == first.stdout.split("| package")[1]
    assert {path: path.read_text() for path in project.rglob("*.py")} == before
