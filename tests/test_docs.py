"""The docs say what is true: commands, options, links; the README's modules and Python too."""

import re
import shlex
from pathlib import Path

import click
import pytest

from fuse.cli import main
from fuse.inference.presets import list_pipelines

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])


def list_commands():
    """(page, command line) of each ``$ fuse`` in the docs, as a shell would pass it on."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^\$ (fuse .*)", text, flags=re.MULTILINE):
            line = re.sub(r"\$\(.*?\)", "image.jpg", line).replace("$I", "1")
            yield pytest.param(shlex.split(line, comments=True)[1:], id=f"{page.stem} {line}")


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
    rows = re.findall(r"^\| (`fuse .*?) \|", README, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`fuse (\w+)", row)}
    assert named == set(main.commands)


def test_each_module_is_named():
    (files,) = [text for language, text in BLOCKS if language == "text" and "fuse/errors" in text]
    parts = {
        f"fuse/{path.name}" + ("/" if path.is_dir() else "")
        for path in (ROOT / "fuse").iterdir()
        if (path.suffix == ".py" and not path.name.startswith("__")) or path.is_dir()
    } - {"fuse/__pycache__/"}
    left_column = "\n".join(line[:31] for line in files.splitlines())
    named = {
        f"fuse/{name.removeprefix('fuse/')}"
        for name in re.findall(r"[\w/]+(?:\.py|/)", left_column)
    }
    assert named == parts


def test_each_preset_ships_with_a_description():
    assert set(list_pipelines()) == {path.stem for path in (ROOT / "pipelines").glob("*.toml")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith(("https://", "http://")) or (page.parent / target).exists(), target


def test_the_python_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (code,) = [text for language, text in BLOCKS if language == "python"]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own README
    assert "animal" in capsys.readouterr().out


def test_the_changelog_names_the_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changelog
