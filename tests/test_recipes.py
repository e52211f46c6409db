"""The recipes are programs: each runs as it stands, and type-checks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for path in (ROOT / "docs" / "recipes").glob("*.md") if path.stem != "README")
# What a page prints of its result.
EXPECTED = {
    "detectron2": r"PanopticResult\(\d+x\d+, 3 segments: person, car, sky-other-merged\)\n"
    r"PanopticResult\(\d+x\d+, 3 segments: person, car, sky-other-merged\)",
    "mask2former": r"PanopticResult\(\d+x\d+, \d+ segments?",
    "pq-in-lightning": r"(?s)tensor\((1\.0*|0\.[5-9]\d*)\)?.*0\.66\d+ tensor\(1\.",
    "sam": r"PanopticResult\(\d+x\d+, \d+ segments?",
    "torchvision-smp": r"PanopticResult\(\d+x\d+, \d+ segments?",
    "yolo": r"PanopticResult\(\d+x\d+, \d+ segments: .*person",
}
FETCHING = ("mask2former", "torchvision-smp")  # pages that would fetch weights
# Of these one page is about, or it is not installed here.
UNTYPED = ("ultralytics", "segment_anything", "detectron2.*", "my_nets", "torchvision.*")
UNTYPED += ("segmentation_models_pytorch", "transformers.*", "torchmetrics.*", "lightning.*")


def read_python(page):
    text = page.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))


def test_each_page_is_tested_and_in_the_table():
    assert {page.stem for page in PAGES} == set(EXPECTED)
    table = (ROOT / "docs" / "recipes" / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert f"({page.name})" in table


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_runs(page, tmp_path):
    start = [
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})",
        "from pathlib import Path; import offline_nets; offline_nets.install(Path())",
    ]
    if page.stem in FETCHING:
        start.append("offline_nets.install_published(Path())")
    (tmp_path / "recipe.py").write_text("\n".join([*start, read_python(page)]), encoding="utf-8")
    command = [sys.executable, "recipe.py"]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert result.returncode == 0, result.stderr
    assert re.search(EXPECTED[page.stem], result.stdout), result.stdout


@pytest.mark.slow
def test_the_pages_type_check(tmp_path):
    for page in PAGES:
        name = page.stem.replace("-", "_")
        (tmp_path / f"recipe_{name}.py").write_text(read_python(page), encoding="utf-8")
    settings = ["[mypy]", "strict = True", "disallow_subclassing_any = False"]
    settings += ["disallow_untyped_calls = False"]
    for module in UNTYPED:
        settings += [f"[mypy-{module}]", "follow_imports = skip", "ignore_missing_imports = True"]
    (tmp_path / "mypy.ini").write_text("\n".join(settings), encoding="utf-8")
    files = sorted(str(path) for path in tmp_path.glob("*.py"))
    command = [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"), *files]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
