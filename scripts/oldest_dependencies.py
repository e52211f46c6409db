"""Print the oldest versions that pyproject.toml allows, as a constraints file for pip.

    python scripts/oldest_dependencies.py > oldest.txt
    pip install --constraint oldest.txt --editable '.[test]'

Covers the dependencies and all extras, so that the bounds hold together; the workflow tests.yml
runs the tests with them on the oldest Python. Needs the package packaging. Prints one line
`NAME==VERSION` per package, in alphabetical order.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def read_requirements(pyproject: str) -> list[Requirement]:
    """The dependencies and those of every extra, without the project itself."""
    project = tomllib.loads(pyproject)["project"]
    extras = project.get("optional-dependencies", {}).values()
    texts = [*project.get("dependencies", []), *(text for extra in extras for text in extra)]
    requirements = [Requirement(text) for text in texts]
    return [r for r in requirements if canonicalize_name(r.name) != project["name"]]


def find_oldest(requirement: Requirement) -> Version:
    """The lower bound, which `>=`, `==` or `~=` gives.

    Raises:
        ValueError: there is none, or more than one.
    """
    bounds = [s.version for s in requirement.specifier if s.operator in (">=", "==", "~=")]
    if len(bounds) != 1:
        raise ValueError(f"'{requirement}': expected one lower bound, such as NAME>=1.2")
    return Version(bounds[0])


def list_constraints(pyproject: str) -> list[str]:
    """Each package at its oldest; where two extras name one, at the higher bound."""
    oldest: dict[str, Version] = {}
    for requirement in read_requirements(pyproject):
        name = canonicalize_name(requirement.name)
        bound = find_oldest(requirement)
        oldest[name] = max(bound, oldest.get(name, bound))
    return [f"{name}=={version}" for name, version in sorted(oldest.items())]


def main() -> None:
    """Print the constraints."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print("\n".join(list_constraints((ROOT / "pyproject.toml").read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
