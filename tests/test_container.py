"""The container file, which no test builds: it is linted, and what it copies makes the package."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COPIED = [
    name
    for names in re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, flags=re.MULTILINE)
    for name in names.split()
]


def lint(path):
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint")
    command = [hadolint, "--no-color", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_hadolint_finds_nothing():
    result = lint(ROOT / "Dockerfile")
    assert (result.stdout, result.returncode) == ("", 0)


def test_hadolint_finds_a_fault(tmp_path):
    (tmp_path / "Dockerfile").write_text(TEXT + "RUN cd /tmp && sudo ls\n")
    assert "DL3003" in lint(tmp_path / "Dockerfile").stdout


def test_pytorchs_bounds_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in ("torch", "torchvision"):
        (bound,) = [need for need in project["dependencies"] if re.match(rf"{name}\b", need)]
        assert f'"{bound}"' in TEXT
    named = re.findall(r"ARG PYTHON=(.*)", TEXT)
    assert [f"Programming Language :: Python :: {n}" in project["classifiers"] for n in named]
    assert set(re.findall(r"ARG EXTRAS=(.*)", TEXT)) <= set(project["optional-dependencies"])


def test_what_is_copied_is_let_in():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == set(COPIED)


@pytest.mark.slow
def test_what_is_copied_makes_a_whole_wheel(tmp_path):
    """The build stage's last step, without its dependencies."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tmp_path / "src" / name, ignore=leave)
        else:
            (tmp_path / "src").mkdir(exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "src")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--target", tmp_path / "site", tmp_path / "src"]
    subprocess.run(command, check=True, capture_output=True)
    installed = tmp_path / "site" / "fuse"
    assert (installed / "pipelines" / "tiny.toml").is_file()
    assert (installed / "examples" / "annotations.json").is_file()
    assert list((installed / "weights").glob("*.safetensors"))
