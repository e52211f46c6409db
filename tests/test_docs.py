"""The README says what is true: its commands, options, presets, files and Python run."""

import re
import shlex
from pathlib import Path

import pytest

from fuse.cli import main
from fuse.config import list_pipelines

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ").split(" #")[0].strip()
    for language, text in BLOCKS
    if language == "console"
    for line in text.splitlines()
    if line.startswith("$ fuse ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_parses(command):
    _, name, *arguments = shlex.split(command)
    known = {option for parameter in main.commands[name].params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("-")} <= known


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


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_python_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (code,) = [text for language, text in BLOCKS if language == "python"]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own README
    assert "animal" in capsys.readouterr().out


def test_the_changelog_names_the_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changelog
