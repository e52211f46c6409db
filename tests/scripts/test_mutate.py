"""The mutation run: which changes it makes, and that it tells noticed from unnoticed ones."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[2]
SCRIPTS = PROJECT / "scripts"


@pytest.fixture(scope="module")
def mutation() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        import mutation.plan
        import mutation.report

        yield mutation


@pytest.fixture(scope="module")
def operators(mutation: ModuleType) -> ModuleType:
    return mutation.operators


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


COUNT = """
def count(a, b):
    total = 0
    for x in a:
        if x == 3:
            continue
        total += x * 2
    return total
"""
SCALE = """
LIMIT = 5


def scale(a):
    if a > LIMIT:
        return a / 2
    return a * 2
"""


def test_an_edit_changes_the_draw_of_what_it_touches_and_no_more(mutation):
    def draw(code: str) -> list[tuple[str, str, str]]:
        mutants = mutation.operators.list_mutants(code, "fuse/x.py")
        drawn = mutation.plan.draw_mutants(mutants, one_in=2, seed=0)
        return [(mutant.function, mutant.before, mutant.after) for mutant in drawn]

    alone = draw(COUNT)
    assert alone == [  # pinned: the same on every machine
        ("count", "if x == 3:", "if x != 3:"),
        ("count", "continue", "pass"),
    ]
    assert draw(SCALE + COUNT) == draw(SCALE) + alone
    # Within a function the statements that are left as they were have the draw that they had.
    edited = draw(COUNT.replace("total += x * 2", "total += x * 7 + len(b)"))
    assert [drawn for drawn in edited if "* 7" not in drawn[1]] == alone
    longer = draw(COUNT.replace("    for", "    a.sort()\n    for"))
    assert [drawn for drawn in longer if "sort" not in drawn[1]] == alone


def test_equal_statements_are_drawn_each_for_itself(mutation):
    code = "def f(a):\n" + "    a()\n" * 64
    mutants = mutation.operators.list_mutants(code, "fuse/x.py")
    drawn = mutation.plan.draw_mutants(mutants, one_in=4, seed=0)
    assert 8 <= len(drawn) <= 24
    assert len({mutant.key for mutant in drawn}) == len(drawn)
    assert mutation.plan.draw_mutants(mutants, one_in=4, seed=1) != drawn


@pytest.mark.slow  # lists all mutants of four rooms
def test_the_draw_is_as_large_as_promised(mutation):
    drawn = mutation.plan.choose_mutants(PROJECT, ("metrics", "ops", "fusion", "analysis"), 10, 0)
    assert len({mutant.key for mutant in drawn}) == len(drawn) >= 200


def test_the_code_has_every_mutant_of_the_list(mutation):
    harmless = mutation.report.read_harmless(SCRIPTS / "harmless_mutants.toml")
    assert all(one.why for one in harmless.values())
    assert len(harmless) > 20
    assert mutation.report.find_lost(PROJECT, harmless.values()) == []


def test_a_list_that_is_older_than_the_code_is_refused(mutation, tmp_path: Path) -> None:
    (tmp_path / "fuse").mkdir()
    code = tmp_path / "fuse/sizes.py"
    code.write_text("def double(a):\n    return a * 2\n")
    mutants = mutation.operators.list_mutants(code.read_text(), "fuse/sizes.py")
    harmless = tmp_path / "harmless.toml"
    harmless.write_text("\n\n".join(map(mutation.report.to_toml, mutants)))
    listed = list(mutation.report.read_harmless(harmless).values())
    assert len(listed) == len(mutants) == 4
    assert mutation.report.find_lost(tmp_path, listed) == []

    code.write_text("import os\n\n\ndef double(a):\n    return 2 * a\n")
    command = [sys.executable, SCRIPTS / "mutate.py", "--project", tmp_path]
    command += ["--out", tmp_path / "out", "--harmless", harmless]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"{harmless} lists what the code has no more; take it out, or mend it:",
        *(f"{mutant.key} fuse/sizes.py double: return a * 2" for mutant in mutants),
    ]
    assert not (tmp_path / "out").exists()
    code.unlink()
    assert mutation.report.find_lost(tmp_path, listed) == listed


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
    before = {path: path.read_text() for path in project.rglob("*.py")}

    def mutate(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, SCRIPTS / "mutate.py", "--packages", "ops", "--project", project]
        command += ["--out", tmp_path / "out", "--harmless", harmless, *options]
        return subprocess.run(command, capture_output=True, text=True)

    # Two statements, one mutant of each.
    first = mutate("--workers", "2", "--one-in", "1")
    assert first.returncode == 1, first.stderr  # half survive
    assert "| ops | 2 | 1 | 0 | 1 | " in first.stdout
    assert "fuse/ops/sizes.py:3 killed" in first.stdout
    assert "tests/ops/test_sizes.py::test_edges" in first.stdout
    assert "fuse/ops/sizes.py:7 survived" in first.stdout
    assert ast.literal_eval(first.stdout.split("not pass: ")[1].splitlines()[0]) == []
    # What is known is not done again.
    again = mutate("--one-in", "1")
    assert "killed" not in again.stdout.split("| package")[0]
    assert again.stdout.split("| package")[1] == first.stdout.split("| package")[1]
    assert {path: path.read_text() for path in project.rglob("*.py")} == before
    # A survivor is printed as the list wants it, and is explained once it stands there.
    entry = "[[mutant]]" + first.stdout.split("NOT LISTED AS HARMLESS:\n[[mutant]]")[1]
    harmless.write_text(entry.replace('why = ""', 'why = "nobody asks"'))
    explained = mutate("--one-in", "1")
    assert "| ops | 2 | 1 | 0 | 1 | 1 | 50.0% |" in explained.stdout
    assert explained.stdout.endswith("    nobody asks\n")
    assert explained.returncode == 1  # as half survive
