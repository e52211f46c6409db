"""One setting writes every link that needs the project's address, and takes it out again."""

import re
import tomllib

import pytest
import yaml

ADDRESS = "https://example.org/someone/fuse"


@pytest.fixture(scope="module")
def script(import_script):
    return import_script("project_address")


@pytest.fixture
def project(script, tmp_path, monkeypatch):
    """A copy of the files that have links; `script.main` works on it."""
    for name in script.FILES:
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((script.ROOT / name).read_bytes())
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["project_address.py"])
    return tmp_path


def set_address(project, address):
    file = project / "pyproject.toml"
    text, count = re.subn(
        r'^address = ".*"$', f'address = "{address}"', file.read_text("utf-8"), flags=re.MULTILINE
    )
    assert count == 1
    file.write_text(text, "utf-8")


def read_all(script, project):
    return {name: (project / name).read_text("utf-8") for name in script.FILES}


def test_this_project_is_up_to_date(script):
    assert script.find_changes(script.ROOT) == {}


def test_an_address_is_written(script, project):
    set_address(project, ADDRESS)
    script.main()
    texts = read_all(script, project)
    urls = tomllib.loads(texts["pyproject.toml"])["project"]["urls"]
    assert urls["Homepage"] == ADDRESS
    assert all(url.startswith(ADDRESS) for url in urls.values())
    assert yaml.safe_load(texts["CITATION.cff"])["repository-code"] == ADDRESS
    (contact,) = yaml.safe_load(texts[".github/ISSUE_TEMPLATE/config.yml"])["contact_links"]
    form = f"{ADDRESS}/security/advisories/new"
    assert contact["url"] == form
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md"):
        assert f"<{form}>" in texts[name]
        assert "not hosted" not in texts[name]
    assert script.find_changes(project) == {}


def test_without_an_address_nothing_is_left_of_it(script, project):
    for address in ("", ADDRESS, ""):
        set_address(project, address)
        script.main()
        texts = read_all(script, project)
        assert any(ADDRESS in text for text in texts.values()) == bool(address)
    assert "not hosted" in texts["SECURITY.md"]
    assert "urls" not in tomllib.loads(texts["pyproject.toml"])["project"]


def test_check_writes_nothing(script, project, monkeypatch, capsys):
    set_address(project, ADDRESS)
    before = read_all(script, project)
    monkeypatch.setattr("sys.argv", ["project_address.py", "--check"])
    with pytest.raises(SystemExit, match="run python scripts/project_address"):
        script.main()
    assert "SECURITY.md" in capsys.readouterr().out
    assert read_all(script, project) == before


def test_badges_stand_between_their_comments(script):
    text = "# fuse\n\n<!-- address: badges -->\n<!-- address: end -->\n\nText.\n"
    filled = script.fill_blocks(text, ADDRESS)
    assert f"-->\n[![tests]({ADDRESS}/actions/workflows/tests.yml/badge.svg)]" in filled
    assert script.fill_blocks(filled, "") == text


@pytest.mark.parametrize(
    "address",
    [
        "example.org/us/fuse",
        "http://example.org/us/fuse",
        ADDRESS + "/",
        "https://example.org",
        " ",
    ],
)
def test_no_address(script, project, address):
    set_address(project, address)
    with pytest.raises(ValueError, match="expected 'https://HOST/OWNER/NAME'"):
        script.find_changes(project)
