"""The lower bounds of pyproject.toml as constraints."""

import pytest
from packaging.requirements import Requirement

PYPROJECT = """
[project]
name = "our-own"
dependencies = ["torch>=2.9", "Pillow>=10.4", "six~=1.16"]
[project.optional-dependencies]
ray = ["ray[data]>=2.51,<2.64"]
test = ["our-own[ray]", "ruff==0.17.6", "pillow>=9"]
"""


@pytest.fixture(scope="module")
def script(import_script):
    return import_script("oldest_dependencies")


def test_lower_bounds(script):
    assert script.list_constraints(PYPROJECT) == [
        *("pillow==10.4", "ray==2.51", "ruff==0.17.6", "six==1.16", "torch==2.9"),
    ]


@pytest.mark.parametrize("text", ["torch", "torch<3", "torch!=2.9", "torch>=2,>=3"])
def test_no_lower_bound(script, text):
    with pytest.raises(ValueError, match="expected one lower bound"):
        script.find_oldest(Requirement(text))


def test_this_project(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["oldest_dependencies.py"])
    script.main()
    lines = capsys.readouterr().out.splitlines()
    assert "torch==2.9" in lines
    assert {line.partition("==")[0] for line in lines} >= {"numpy", "transformers", "ray", "pytest"}
