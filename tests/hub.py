"""A small hub on this machine in place of the Hugging Face hub, as a fixture."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from web_server import WebServer, serve


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """The hub's client asks this server, and has a cache of its own and no token."""
    with serve() as server:
        constants = "huggingface_hub.constants."
        monkeypatch.setattr(f"{constants}ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(f"{constants}HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(f"{constants}HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        monkeypatch.setattr(f"{constants}HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        # Only of these modules: the clock of all would stop other threads' waits, too.
        monkeypatch.setattr("fuse.models.weights.hub.sleep", server.waits.append)
        clock = SimpleNamespace(**vars(time) | {"sleep": server.waits.append})
        monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
        monkeypatch.setattr("huggingface_hub.file_download.time", clock)
        yield server
