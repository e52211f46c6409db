"""The docs say what is true: commands, options, links; the README's output, figures and Python."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from pkgutil import resolve_name

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fuse.cli import main
from fuse.inference.presets import RENAMED, list_pipelines
from fuse.models.registry import BUILT_IN

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
# Commands of users name them, so none goes away unnoticed.
PRESETS = [
    *("ade20k", "cityscapes", "coco", "coco-eomt", "coco-eomt-single", "coco-mask2former"),
    *(
        "coco-oneformer",
        "coco-stuffhead",
        "panoptic-fpn",
        "tiny",
        "tiny-fpn",
        "vistas",
        "voc-deeplabv3",
    ),
    *("voc-deeplabv3-mobilenet", "voc-fcn"),
]
SLOW = re.compile(r"fuse: compiling|\d+ of \d+ images, ")  # what a slow machine says besides
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def list_commands():
    """(page, command line) of each ``$ fuse`` in the docs, as a shell would pass it on."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^\$ (fuse .*)", text, flags=re.MULTILINE):
            line = re.sub(r"\$\(.*?\)", "image.jpg", line).replace("$I", "1")
            yield pytest.param(shlex.split(line, comments=True)[1:], id=f"{page.stem} {line}")


ENTRY_POINTS = {f"fuse.{kind}_models" for kind in BUILT_IN}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_in_the_code_are_there_and_old_ones_are_gone(page):
    """Dotted names of the package, and presets and models by the names that they have today."""
    if page.name == "CHANGELOG.md":
        return
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"`(fuse(?:\.[a-z]\w*)+)", text)) - ENTRY_POINTS:
        assert resolve_name(name) is not None
    assert not [name for name in RENAMED if f"`{name}`" in text]
    models = set().union(*BUILT_IN.values())
    of_presets = re.findall(r"models?\s+`([\w-]+)`(?: and\s+`([\w-]+)`)? of a\s+preset", text)
    assert {name for names in of_presets for name in names if name} <= models


@pytest.mark.parametrize("arguments", list(list_commands()))
def test_each_command_parses(arguments, monkeypatch):
    # Nothing of what the docs name is on this machine; all else is checked.
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, context: Path(value))
    command, context = main, main.make_context("fuse", list(arguments))
    while isinstance(command, click.Group):
        name, command, rest = command.resolve_command(context, arguments)
        context = command.make_context(name, rest, parent=context)
        arguments = rest


def test_each_command_is_in_the_table():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`fuse .*?) \|", page, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`fuse (\w+)", row)}
    assert named == set(main.commands)


def test_each_room_is_named():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```text\n(fuse/types/.*?)```", text, flags=re.DOTALL)
    rooms = {
        f"fuse/{path.name}" + ("/" if path.is_dir() else "")
        for path in (ROOT / "fuse").iterdir()
        if (path.suffix == ".py" and not path.name.startswith("__")) or path.is_dir()
    } - {"fuse/__pycache__/"}
    assert set(re.findall(r"fuse/\w+(?:\.py|/)", block)) == rooms


def test_exactly_these_presets_ship():
    assert list(list_pipelines()) == PRESETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith(("https://", "http://")) or (page.parent / target).exists(), target


def test_the_readme_is_short():
    assert len(README.splitlines()) < 190


def test_the_readmes_speeds_are_rows_of_the_table_of_speeds():
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8").splitlines()
    header = next(line for line in page if line.startswith("| work "))
    lines = README.splitlines()
    start = lines.index(header)
    rows = [line for line in lines[start : start + 7] if line.startswith("| ")]
    assert len(rows) == 7  # with the header and its rule
    assert [row for row in rows if row not in page] == []


def test_the_readmes_qualities_are_those_of_the_page_of_qualities():
    page = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    figures = r"^\| (`tiny[\w-]*`)[^|]*\| [^|]*50[^|]* \| ([\d.]+ \| [\d.]+ \| [\d.]+) \|"
    rows = re.findall(figures, README, flags=re.MULTILINE)
    assert [name for name, _ in rows] == ["`tiny`", "`tiny-fpn`"]
    assert set(rows) <= set(re.findall(figures, page, flags=re.MULTILINE))


@pytest.mark.slow
def test_the_readmes_commands_print_what_it_says(tmp_path, monkeypatch):
    """Its words are those of today; figures are within what bfloat16 and float32 differ by."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shown = next(text for language, text in BLOCKS if language == "console").splitlines()
    commands = [line.removeprefix("$ fuse ") for line in shown if line.startswith("$ fuse")]
    said = [line for line in shown if not line.startswith("$")]
    printed = []
    for command in commands:
        result = CliRunner().invoke(main, shlex.split(command))
        assert result.exit_code == 0, result.output
        printed += [line for line in result.output.splitlines() if not SLOW.match(line)]
    number = r"\d+(?:\.\d+)?"
    assert [re.sub(number, "N", line).split() for line in printed] == [
        re.sub(number, "N", line).split() for line in said
    ]
    for ours, theirs in zip(printed[1:], said[1:], strict=True):  # the first has seconds
        figures = ([float(n) for n in re.findall(number, line)] for line in (ours, theirs))
        assert next(figures) == pytest.approx(next(figures), abs=2.5), ours


@pytest.mark.slow
def test_the_python_runs_and_draws_the_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples" / "images", tmp_path / "examples" / "images")
    pictures = tmp_path / "camera.png", ROOT / "docs" / "result.jpg"
    (code,) = [text for language, text in BLOCKS if language == "python"]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own README
    assert re.search(r"(?m)^person \d+ 0\.9\d+$", capsys.readouterr().out)
    drawn, shown = (np.asarray(Image.open(path), dtype=np.int16) for path in pictures)
    assert abs(drawn - shown).mean() < 3  # JPEG


@pytest.mark.slow
def test_the_python_type_checks(tmp_path):
    """The block, and the calls that stand in the text."""
    (code,) = [text for language, text in BLOCKS if language == "python"]
    calls = re.findall(r"`(fuse\.[\w.]+\(.+?)`", README)
    assert len(calls) >= 3
    path = tmp_path / "readme.py"
    path.write_text("\n".join([code, "import fuse", *calls]), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_what_the_sdist_names_is_there():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    names = settings["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert {page.name for page in ROOT.glob("*.md")} <= set(names)
