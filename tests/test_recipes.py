"""Recipes, docs/python.md and docs/coming-from are programs: each runs as it stands, typed."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
RECIPES = sorted(path for path in (DOCS / "recipes").glob("*.md") if path.stem != "README")
PAGES = [*RECIPES, DOCS / "python.md", *sorted((DOCS / "coming-from").glob("*.md"))]
# What a page prints of its result.
EXPECTED = {
    "recipes/detectron2": r"PanopticResult\(\d+x\d+, 3 segments: person, car, sky-other-merged\)\n"
    r"PanopticResult\(\d+x\d+, 3 segments: person, car, sky-other-merged\)",
    "recipes/mask2former": r"PanopticResult\(\d+x\d+, \d+ segments?",
    "recipes/pq-in-lightning": r"(?s)tensor\((1\.0*|0\.[5-9]\d*)\)?.*0\.66\d+ tensor\(1\.",
    "recipes/sam": r"PanopticResult\(\d+x\d+, \d+ segments?",
    "recipes/torchvision-smp": r"PanopticResult\(\d+x\d+, \d+ segments?",
    "recipes/yolo": r"PanopticResult\(\d+x\d+, \d+ segments: .*person",
    "docs/python": r"(?s)PanopticResult\(astronaut.jpg, 512x512, .*person.*\n1\.0\n$",
    "coming-from/panopticapi": r"^1\.0\n1\.0\n$",
    "coming-from/detectron2": r"^PanopticResult\(48x64, 2 segments: sky-.*, person\)\n1\.0\n$",
    "coming-from/torchmetrics": r"^(0\.\d+) \1\n$",
    "coming-from/transformers": r"2 segments: sky-.*, person\)\nperson\n1\.0\n$",
    "coming-from/ultralytics": r"(?s)person 0\.9.*'name': '\w+', 'class': \d+",
    "coming-from/supervision": r"^[3-9] [1-9]\n$",
}
FETCHING = ("recipes/mask2former", "recipes/torchvision-smp")  # pages that would fetch weights
# Of these one page is about, or it is not installed here.
UNTYPED = ("ultralytics", "segment_anything", "detectron2.*", "my_nets", "torchvision.*")
UNTYPED += ("segmentation_models_pytorch", "transformers.*", "torchmetrics.*", "lightning.*")
UNTYPED += ("supervision", "scipy.*", "matplotlib.*")


def name_page(page):
    return f"{page.parent.name}/{page.stem}"


def read_python(page):
    text = page.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))


def test_each_page_is_tested_and_in_the_table():
    assert set(map(name_page, PAGES)) == set(EXPECTED)
    table = (ROOT / "docs" / "recipes" / "README.md").read_text(encoding="utf-8")
    for page in RECIPES:
        assert f"({page.name})" in table


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_each_page_runs(page, tmp_path):
    start = [
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})",
        "from pathlib import Path; import offline_nets; offline_nets.install(Path())",
    ]
    if name_page(page) in FETCHING:
        start.append("offline_nets.install_published(Path())")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "recipe.py").write_text("\n".join([*start, read_python(page)]), encoding="utf-8")
    command = [sys.executable, "recipe.py"]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert result.returncode == 0, result.stderr
    assert re.search(EXPECTED[name_page(page)], result.stdout), result.stdout


@pytest.mark.slow
def test_the_pages_type_check(tmp_path):
    for page in PAGES:
        name = re.sub(r"\W", "_", name_page(page))
        (tmp_path / f"{name}.py").write_text(read_python(page), encoding="utf-8")
    for notebook in (DOCS / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        name = notebook.stem.replace("-", "_")
        (tmp_path / f"notebook_{name}.py").write_text("\n".join(code), encoding="utf-8")
    settings = ["[mypy]", "strict = True", "disallow_subclassing_any = False"]
    settings += ["disallow_untyped_calls = False"]
    for module in UNTYPED:
        settings += [f"[mypy-{module}]", "follow_imports = skip", "ignore_missing_imports = True"]
    (tmp_path / "mypy.ini").write_text("\n".join(settings), encoding="utf-8")
    files = sorted(str(path) for path in tmp_path.glob("*.py"))
    command = [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"), *files]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
