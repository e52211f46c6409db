"""Check that the version, CHANGELOG.md and CITATION.cff agree; with a tag, that it can be released.

    python scripts/check_release.py           # at any time: the tests run this
    python scripts/check_release.py v0.1.0    # before and by the release of that tag

Input: pyproject.toml (which names the file of the version), that file, CHANGELOG.md, CITATION.cff.
Prints one line and exits with 0, or prints each fault and exits with 1. The rules stand in
release_process.md.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
NOTHING_RELEASED = "0.0.0"


class Changelog(NamedTuple):
    """What CHANGELOG.md says of releases.

    Attributes:
        first: the text of the first heading.
        has_unreleased: whether something stands below `Unreleased`.
        releases: version and date of each release, in the order of the file.
    """

    first: str
    has_unreleased: bool
    releases: list[tuple[str, str]]


def read_changelog(text: str) -> Changelog:
    """Read the headings of second level."""
    _, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    titles = [section.partition("\n")[0].strip() for section in sections]
    entries = sections[0].partition("\n")[2] if sections else ""
    parts = [title.partition(" - ") for title in titles[1:]]
    return Changelog(
        first=titles[0] if titles else "",
        has_unreleased=re.search(r"^[-*] ", entries, flags=re.MULTILINE) is not None,
        releases=[(version.strip("[] "), day.strip()) for version, _, day in parts],
    )


def to_numbers(version: str) -> tuple[int, ...] | None:
    """``(0, 1, 0)`` of ``0.1.0``; None where that is no version of three numbers."""
    whole = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, whole.groups())) if whole else None


def list_next_versions(version: str) -> list[str]:
    """The versions that can follow: the next fix, the next minor and the next major one.

    >>> list_next_versions("0.1.3")
    ['0.1.4', '0.2.0', '1.0.0']
    """
    major, minor, fix = map(int, version.split("."))
    return [f"{major}.{minor}.{fix + 1}", f"{major}.{minor + 1}.0", f"{major + 1}.0.0"]


def find_faults(version: str, changelog: Changelog, citation: str, tag: str = "") -> list[str]:
    """Say what does not agree.

    Args:
        version: that of the package.
        changelog: as `read_changelog` gives it.
        citation: the text of CITATION.cff.
        tag: of the release to be made, such as ``v0.1.0``; empty when none is.
    """
    faults = find_heading_faults(changelog)
    if faults:
        return faults
    newest, day = changelog.releases[0] if changelog.releases else (NOTHING_RELEASED, "")
    allowed = list_next_versions(newest)
    if not changelog.has_unreleased and changelog.releases:
        allowed.insert(0, newest)
    if version not in allowed:
        faults.append(f"the version is {version}; CHANGELOG.md allows {', '.join(allowed)}")
    if (cited := read_citation(citation, "version")) != version:
        faults.append(f"CITATION.cff: version is {cited or 'missing'}, not {version}")
    expected_day = day if version == newest else ""
    if (cited := read_citation(citation, "date-released")) != expected_day:
        expected = expected_day or "missing, as this version is not released"
        faults.append(f"CITATION.cff: date-released is {cited or 'missing'}; it must be {expected}")
    if tag and tag != f"v{version}":
        faults.append(f"the tag is {tag}, but the version is {version}")
    if tag and version != newest:
        faults.append(f"CHANGELOG.md has no heading '## [{version}] - YEAR-MONTH-DAY'")
    return faults


def find_heading_faults(changelog: Changelog) -> list[str]:
    """Say which headings have the wrong form or order."""
    faults = []
    if changelog.first != "[Unreleased]":
        faults.append("CHANGELOG.md: the first heading must be '## [Unreleased]'")
    numbers = []
    for version, day in changelog.releases:
        if (three := to_numbers(version)) and is_date(day):
            numbers.append(three)
        else:
            faults.append(f"CHANGELOG.md: '{version} - {day}' is no '## [1.2.3] - 2027-01-31'")
    if numbers != sorted(set(numbers), reverse=True):
        faults.append("CHANGELOG.md: the releases must stand from the newest to the oldest")
    return faults


def is_date(text: str) -> bool:
    """Whether the text is a day of the calendar as 2027-01-31."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def read_citation(citation: str, key: str) -> str:
    """The value of a key on the outermost level, empty where there is none."""
    found = re.search(rf"^{key}: *[\"']?([^\"'\n]*)", citation, flags=re.MULTILINE)
    return found[1].strip() if found else ""


def read_version(root: Path) -> str:
    """The version of the package, from the file that the build reads it from."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    source = root / settings["tool"]["hatch"]["version"]["path"]
    (version,) = re.findall(r'^__version__ = "(.*)"$', source.read_text("utf-8"), re.MULTILINE)
    return str(version)


def main() -> None:
    """Check the files and tell the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tag", nargs="?", default="", help="tag to be released, such as v0.1.0")
    options = parser.parse_args()
    version = read_version(ROOT)
    changelog = read_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    faults = find_faults(version, changelog, citation, options.tag)
    if faults:
        sys.exit("\n".join(faults))
    released = dict(changelog.releases).get(version)
    print(f"{version}: released on {released}" if released else f"{version}: not released yet")


if __name__ == "__main__":
    main()
