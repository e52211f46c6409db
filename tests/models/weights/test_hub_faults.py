"""A hub that is busy, slow, far, or another: all comes whole and right, or an error in a line."""

import numpy as np
import pytest
from hub import hub  # noqa: F401 - a fixture

from fuse.errors import ModelNotFoundError
from fuse.models.weights.fetching import check_weights, fetch_weights
from fuse.models.weights.sources import describe_repository

WEIGHTS = np.random.default_rng(0).bytes(50_000)
TRANSFORMERS = {
    "config.json": b'{"model_type": "eomt"}',
    "preprocessor_config.json": b"{}",
    "model.safetensors": WEIGHTS,
}


@pytest.fixture(params=["cache", "folder"])
def needed(hub, request, tmp_path):  # noqa: F811
    """What a net of transformers needs, in the hub's cache or in a weights folder."""
    hub.add_repository("owner/net", TRANSFORMERS)
    folder = tmp_path / "weights" if request.param == "folder" else None
    return lambda: describe_repository("owner/net", None, "transformers").move_to(folder)


def check_whole(needed):
    folder = fetch_weights(needed())
    assert {name: (folder / name).read_bytes() for name in TRANSFORMERS} == TRANSFORMERS
    assert needed().is_present
    assert {file.path.name for file in check_weights(needed())} == set(TRANSFORMERS)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    "path", ["/revision/main", "preprocessor_config.json", "/model.safetensors"]
)
def test_a_hub_that_is_busy_twice_is_asked_again(hub, needed, path, status):  # noqa: F811
    hub.faults[path] = [status, status]
    check_whole(needed)
    assert hub.faults[path] == []
    assert hub.waits


def test_it_is_asked_when_it_says(hub, needed):  # noqa: F811
    hub.faults["/revision/main"] = [429]
    hub.retry_after = 7
    check_whole(needed)
    assert hub.waits == [7]


@pytest.mark.parametrize(("status", "advice"), [(429, "try again later"), (500, "try again later")])
def test_a_hub_that_stays_busy_is_left(hub, needed, status, advice):  # noqa: F811
    hub.faults["/revision/main"] = [status] * 20
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_weights(needed())
    message = str(caught.value)
    assert advice in message
    assert "\n" not in message
    assert "fuse fetch" not in message  # which would ask the same hub
    assert len(hub.faults["/revision/main"]) == 16
    assert not needed().is_present


def test_a_file_that_never_comes_is_told_with_the_hubs_status(hub, needed):  # noqa: F811
    hub.faults["/preprocessor_config.json"] = [500] * 50
    with pytest.raises(ModelNotFoundError, match=r"500 Internal.*; try again later$"):
        fetch_weights(needed())
    assert not needed().is_present
    hub.faults.clear()
    check_whole(needed)


def test_what_does_not_pass_is_not_asked_again(hub, needed):  # noqa: F811
    hub.faults["/revision/main"] = [404, 404]
    with pytest.raises(ModelNotFoundError, match="404"):
        fetch_weights(needed())
    assert hub.waits == []


def test_cut_transfers_go_on(hub, needed):  # noqa: F811
    hub.cut_after = [10_000, 20_000]
    check_whole(needed)
    assert hub.cut_after == []


def test_a_hub_may_lie_below_a_path(hub, needed, monkeypatch):  # noqa: F811
    """As mirrors do: HF_ENDPOINT = https://host/some/path."""
    hub.root = "/some/path"
    constants = "huggingface_hub.constants."
    monkeypatch.setattr(f"{constants}ENDPOINT", hub.url + hub.root)
    template = hub.url + hub.root + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{constants}HUGGINGFACE_CO_URL_TEMPLATE", template)
    check_whole(needed)
    with pytest.raises(ModelNotFoundError, match=f"check the name on {hub.url}/some/path/owner/x"):
        fetch_weights(describe_repository("owner/x", None, "transformers"))


def test_a_cache_without_links_will_do(hub, needed, monkeypatch):  # noqa: F811
    """As on Windows without developer mode: files lie in the snapshot themselves."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    monkeypatch.setattr(
        "huggingface_hub.file_download.are_symlinks_supported", lambda _folder=None: False
    )
    check_whole(needed)
    hub.requests.clear()
    folder = fetch_weights(needed())
    assert hub.requests == []
    assert not any(path.is_symlink() for path in folder.iterdir())
    (folder / "preprocessor_config.json").unlink()
    assert not needed().is_present
    check_whole(needed)


def test_without_a_network_a_warm_cache_will_do(hub, needed, monkeypatch):  # noqa: F811
    check_whole(needed)
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    check_whole(needed)
    assert hub.requests == []
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_weights(describe_repository("owner/x", None, "transformers"))
    message = str(caught.value)
    assert "(HF_HUB_OFFLINE forbids it); unset HF_HUB_OFFLINE" in message
    assert message.count("where there is a network") == 1


@pytest.mark.parametrize("name", ["owner/gated", "owner/none", "owner/net"])
def test_a_refusal_is_one_line_with_one_advice(hub, name):  # noqa: F811
    for each in ("owner/gated", "owner/net"):
        hub.add_repository(each, TRANSFORMERS)
    hub.gated.add("owner/gated")
    revision = "v9" if name == "owner/net" else None
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_weights(describe_repository(name, revision, "transformers"))
    message = str(caught.value)
    assert "\n" not in message
    assert "fuse fetch" not in message
    assert "DIR" not in message
    assert message.count(f"{hub.url}/{name}") == 2  # where it was asked for, and what to do there
