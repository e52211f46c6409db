"""Settings for all tests, and files and a browser that several of them need."""

import gc
import shutil

import pytest
from hypothesis import settings

# A kernel's first call compiles for seconds; that is no failure.
settings.register_profile("fuse", deadline=None)
settings.load_profile("fuse")


@pytest.fixture(autouse=True)
def own_width(monkeypatch):
    """Tables are as wide as in a pipe; pytest-xdist gives its processes the terminal's width."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def real_files(tmp_path_factory):
    """The folder of `bad_files.make_files`; whoever changes it mends it."""
    from bad_files import make_files

    folder = tmp_path_factory.mktemp("real") / "files"
    folder.mkdir()
    make_files(folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium, without a network of its own."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield started
        started.close()


def pytest_collection_finish():
    """What was imported stays to the end; looking at it for cycles takes a tenth of the time."""
    gc.collect()
    gc.freeze()
