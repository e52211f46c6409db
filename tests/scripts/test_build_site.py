"""The site: every page, name and command is on it, its links hold, and it can be looked at.

Building it runs the notebooks. All of this is one test run's last part, on one process.
"""

import functools
import json
import re
import threading
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import click
import nbformat
import pytest
import yaml

import fuse
from fuse.cli import main as cli

pytestmark = [
    pytest.mark.site,
    # Of mkdocs, nbclient and their plug-ins, on their own code.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
LOOKED_AT = ("", "python/", "commands/", "reference/", "speed/", "notebooks/first-look/", "models/")
PATIENCE = 60_000  # milliseconds; a busy machine is no failure
# What each notebook must say and how many pictures it draws.
SAID = {
    "first-look": (r"(?s)1 person thing \d+ 0\.9.*rocket.jpg, 427x640", 3),
    "compare-two-pairs": (r"(?s)mask-rcnn +PQ 4\d\.\d.*panoptic-fpn +PQ 3\d\.\d.*chelsea.jpg", 1),
    "pq-while-training": (r"(?s)epoch 1: PQ \d+\.\d.*epoch 8: PQ [678]\d\.\d", 2),
}


@pytest.fixture(scope="module")
def script(import_script):
    pytest.importorskip("mkdocs")
    return import_script("build_site")


@pytest.fixture(scope="module")
def site(script, tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "site"
    script.build_site(out)
    return out


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_runs_whole_and_draws(path, site):
    given = nbformat.read(path, as_version=4)
    run = nbformat.read(site / "notebooks" / path.name, as_version=4)
    code = [cell for cell in run.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.outputs == [] for cell in given.cells if cell.cell_type == "code")
    outputs = [output for cell in code for output in cell.outputs]
    words, pictures = SAID[path.stem]
    said = "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")
    assert re.search(words, said), said
    drawn = [o for o in outputs if {"image/png", "text/html"} & set(o.get("data", {}))]
    assert len(drawn) == pictures
    page = (site / "notebooks" / path.stem / "index.html").read_text(encoding="utf-8")
    assert len(re.findall(r"<img [^>]*(?:_files/|data:image/jpeg)", page)) == pictures


def test_each_public_name_has_its_docstring(site):
    html = (site / "reference" / "index.html").read_text(encoding="utf-8")
    for name in set(fuse.__all__) - {"api", "__version__"}:
        assert f"fuse.{name}" in html, name
    for member in ("from_torchvision", "from_ultralytics", "merge_state", "semantic_map"):
        assert member in html
    assert "share of a segment's colour" in html  # of plot's argument


def test_each_command_says_its_help(site):
    pages = site.with_name("site-pages")
    text = (pages / "commands.md").read_text(encoding="utf-8")
    context = click.Context(cli, info_name="fuse")
    for name in cli.commands:
        assert f"## fuse {name}\n" in text
        own = click.Context(cli.commands[name], info_name=name, parent=context)
        assert cli.commands[name].get_help(own) in text


def test_each_page_of_docs_is_in_the_navigation_and_can_be_searched(site, script):
    nav = re.findall(
        r"[\w/-]+\.md", yaml.dump(script.load_config(str(script.ROOT / "mkdocs.yml")).nav)
    )
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    pages = [
        page.relative_to(DOCS).with_suffix(".md") for page in (*DOCS.rglob("*.md"), *NOTEBOOKS)
    ]
    for name in (*pages, *map(Path, script.OUTSIDE.values())):
        assert name.as_posix() in nav, name
        place = name.with_suffix("").as_posix().removesuffix("index")
        assert f"{place.removesuffix('README')}/".replace("//", "/").lstrip("/") in places, name


class LinkReader(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values[key] for key in ("href", "src") if values.get(key)]
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}


def test_each_link_of_the_site_leads_somewhere(site):
    """Of the built pages, whatever mkdocs thinks of their sources."""
    pages = {
        "/" + path.relative_to(site).as_posix().removesuffix("index.html"): LinkReader(
            path.read_text(encoding="utf-8")
        )
        for path in site.rglob("*.html")
        if path.name != "404.html"
    }
    assert len(pages) > 35
    for place, page in pages.items():
        for link in page.links:
            if re.match(r"(?:https?|mailto|data):", link):
                continue
            target, anchor = urldefrag(urljoin(place, unquote(link)))
            if target in pages:
                found = not anchor or anchor == "__skip" or anchor in pages[target].anchors
            else:
                found = (site / target.lstrip("/")).is_file()
            assert found, f"{place}: {link}"


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
        (pages / "commands.md").write_text("# Commands", encoding="utf-8")

    monkeypatch.setattr(script, "collect_pages", collect)
    monkeypatch.setattr(script, "NOTEBOOKS", tmp_path)
    with pytest.raises(script.Abort, match="warnings in strict mode"):
        script.build_site(tmp_path / "site")


def test_a_cell_that_raises_ends_the_build(script, tmp_path):
    cells = [nbformat.v4.new_code_cell("1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "wrong.ipynb")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        script.run_notebook(tmp_path / "wrong.ipynb")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served."""
    handler = functools.partial(QuietHandler, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_pages_in_a_browser(browser, address, scheme, width):
    """Each fits the window, takes the system's colours, and neither complains nor asks others."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    for place in LOOKED_AT:
        assert page.goto(address + place).ok
        sizes = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        scrolled, shown = page.evaluate(sizes)
        assert scrolled <= shown, place
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = max(int(number) for number in re.findall(r"\d+", color)[:3])
        assert (brightness < 128) == (scheme == "dark"), place
        broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        assert page.evaluate(broken) == [], place
    page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith((address, "data:"))] == []


def test_a_search_finds_a_page(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").press_sequentially("dagger")
    page.locator(".md-search-result__item a", has_text="PQ-dagger =").first.click()
    page.wait_for_url(re.compile("measures/"))
    page.close()
