"""The site: every page, public name and command is on it, and a link that leads nowhere ends it."""

import json
import re

import click
import pytest

import fuse
from fuse.cli import main as cli

pytestmark = [
    pytest.mark.slow,
    # Of mkdocs and its plug-ins, on their own code.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


@pytest.fixture(scope="module")
def script(import_script):
    pytest.importorskip("mkdocs")
    return import_script("build_site")


@pytest.fixture(scope="module")
def site(script, tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "site"
    script.build_site(out)
    return out


def test_each_public_name_has_its_docstring(site):
    html = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    for name in set(fuse.__all__) - {"api", "__version__"}:
        assert f"fuse.{name}" in html, name
    for member in ("from_torchvision", "from_ultralytics", "merge_state", "semantic_map"):
        assert member in html
    assert "Share of a segment" in html or "share of a segment" in html  # of plot's argument


def test_each_command_says_its_help(site):
    pages = site.with_name("site-pages")
    text = (pages / "reference" / "commands.md").read_text(encoding="utf-8")
    context = click.Context(cli, info_name="fuse")
    for name in cli.commands:
        assert f"## fuse {name}\n" in text
        own = click.Context(cli.commands[name], info_name=name, parent=context)
        assert cli.commands[name].get_help(own) in text


def test_each_page_of_docs_can_be_searched(site, script):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    for page in (script.ROOT / "docs").rglob("*.md"):
        place = page.relative_to(script.ROOT / "docs").with_suffix("").as_posix()
        assert f"{place.removesuffix('README')}".rstrip("/") + "/" in places, page


def test_nothing_is_asked_of_another_server(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link)[^>]+(?:src|href)=\"?(https?:[^\" >]+)",
            page.read_text(encoding="utf-8"),
        )
        assert loaded == [], page


def test_a_link_that_leads_nowhere_ends_the_build(script, tmp_path, monkeypatch):
    def collect(pages):
        (pages / "index.md").write_text("[there](nowhere.md)", encoding="utf-8")

    monkeypatch.setattr(script, "collect_pages", collect)
    with pytest.raises(script.Abort, match="warnings in strict mode"):
        script.build_site(tmp_path / "site")
