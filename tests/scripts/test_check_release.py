"""The version, the changelog and the citation agree; where they do not, the check says so."""

import re

import pytest

HEAD = "# Changelog\n\n## [Unreleased]\n"
ENTRY = "\n### Added\n- Something.\n"
FIRST = "\n## [0.1.0] - 2027-01-31\n" + ENTRY
SECOND = "\n## [0.2.0] - 2027-03-01\n" + ENTRY


@pytest.fixture(scope="module")
def script(import_script):
    return import_script("check_release")


def cite(version, day=None):
    return f'cff-version: 1.2.0\nversion: "{version}"\n' + (
        f'date-released: "{day}"\n' if day else ""
    )


@pytest.mark.parametrize(
    ("version", "changelog", "day"),
    [
        pytest.param("0.1.0", HEAD + ENTRY, None, id="nothing released"),
        pytest.param("0.1.0", HEAD, None, id="nothing written"),
        pytest.param("0.1.0", HEAD + FIRST, "2027-01-31", id="just released"),
        pytest.param("0.2.0", HEAD + FIRST, None, id="next one begun"),
        pytest.param("0.1.1", HEAD + ENTRY + FIRST, None, id="a fix to come"),
        pytest.param("1.0.0", HEAD + ENTRY + SECOND + FIRST, None, id="a major one to come"),
        pytest.param("0.2.0", HEAD + SECOND + FIRST, "2027-03-01", id="second released"),
    ],
)
def test_right_states(script, version, changelog, day):
    assert script.find_faults(version, script.read_changelog(changelog), cite(version, day)) == []


@pytest.mark.parametrize(
    ("version", "changelog", "fault"),
    [
        pytest.param("9.9.9", HEAD + ENTRY, "allows 0.0.1, 0.1.0, 1.0.0", id="nothing released"),
        pytest.param("9.9.9", HEAD + FIRST, "allows 0.1.0, 0.1.1, 0.2.0", id="too far on"),
        pytest.param("0.1.0", HEAD + SECOND + FIRST, "allows 0.2.0", id="older than released"),
        pytest.param("0.1.0", HEAD + ENTRY + FIRST, "allows 0.1.1, 0.2", id="new entries"),
        pytest.param("0.0.0", HEAD, "allows 0.0.1", id="before the first"),
        pytest.param("0.1.0", "# Changelog\n" + FIRST, "must be '## .Unreleased.'", id="no top"),
        pytest.param("0.1.0", "# Changelog\n", "must be '## .Unreleased.'", id="empty"),
        pytest.param("0.2.0", HEAD + FIRST + SECOND, "newest to the oldest", id="order"),
        pytest.param("0.1.0", HEAD + FIRST + FIRST, "newest to the oldest", id="twice"),
        pytest.param("0.1.0", HEAD + "## [0.1.0]\n", "'0.1.0 - ' is no", id="no date"),
        pytest.param("0.1.0", HEAD + "## [0.1.0] - 31.1.2027\n", "is no", id="other date"),
        pytest.param("0.1.0", HEAD + "## [0.1] - 2027-01-31\n", "is no", id="two numbers"),
    ],
)
def test_wrong_version(script, version, changelog, fault):
    faults = script.find_faults(version, script.read_changelog(changelog), cite(version))
    assert re.search(fault, faults[0])


@pytest.mark.parametrize(
    ("citation", "fault"),
    [
        (cite("0.1.1", "2027-01-31"), "version is 0.1.1, not 0.1.0"),
        ("cff-version: 1.2.0\ndate-released: 2027-01-31\n", "version is missing, not 0.1.0"),
        (cite("0.1.0"), "date-released is missing; it must be 2027-01-31"),
        (cite("0.1.0", "2027-02-01"), "date-released is 2027-02-01; it must be 2027-01-31"),
    ],
)
def test_wrong_citation(script, citation, fault):
    (found,) = script.find_faults("0.1.0", script.read_changelog(HEAD + FIRST), citation)
    assert fault in found


def test_a_date_too_early(script):
    citation = cite("0.1.0", "2027-01-31")
    (fault,) = script.find_faults("0.1.0", script.read_changelog(HEAD + ENTRY), citation)
    assert "missing, as this version is not released" in fault


@pytest.mark.parametrize(
    ("tag", "changelog", "day", "fault"),
    [
        ("v0.1.0", HEAD + FIRST, "2027-01-31", None),
        ("v0.2.0", HEAD + FIRST, "2027-01-31", "the tag is v0.2.0, but the version is 0.1.0"),
        ("0.1.0", HEAD + FIRST, "2027-01-31", "the tag is 0.1.0, but the version is 0.1.0"),
        ("v0.1.0", HEAD + ENTRY, None, "no heading '## [0.1.0]"),
    ],
)
def test_tag(script, tag, changelog, day, fault):
    read = script.read_changelog(changelog)
    faults = script.find_faults("0.1.0", read, cite("0.1.0", day), tag)
    assert len(faults) == (fault is not None)
    assert all(fault in found for found in faults)


def test_this_project(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["check_release.py"])
    script.main()
    assert capsys.readouterr().out.startswith(script.read_version(script.ROOT))


def test_a_fault_of_this_project_ends_with_1(script, monkeypatch):
    monkeypatch.setattr("sys.argv", ["check_release.py"])
    monkeypatch.setattr(script, "read_version", lambda root: "9.9.9")
    with pytest.raises(SystemExit, match=r"the version is 9\.9\.9"):
        script.main()
