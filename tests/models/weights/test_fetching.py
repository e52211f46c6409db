"""Weights fetched from a server on this machine, which is also a small Hugging Face hub."""

import hashlib
import json

import numpy as np
import pytest
from web_server import COMMIT, serve

from fuse.errors import DataError, ModelNotFoundError
from fuse.models.weights.fetching import LOCK_FILE, check_weights, fetch_weights, find_weights
from fuse.models.weights.sources import (
    NeededWeights,
    describe_repository,
    holds_weights,
    list_shipped_weights,
)

CONTENT = np.random.default_rng(0).bytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILES = {
    "config.json": b"{}",
    "model.safetensors": CONTENT,
    "pytorch_model.bin": CONTENT,
    "example.png": b"a picture",
}


@pytest.fixture
def server():
    with serve() as running:
        yield running


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    """The server as huggingface_hub's, and a cache of its own."""
    constants = "huggingface_hub.constants."
    monkeypatch.setattr(f"{constants}ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{constants}HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(f"{constants}HF_HUB_CACHE", str(tmp_path / "cache"))
    server.add_repository("owner/net", FILES)
    return server


def needed_file(server, tmp_path, known_hash=f"sha256:{SHA256[:8]}"):
    server.files["/net.pth"] = CONTENT
    return NeededWeights(f"{server.url}/net.pth", tmp_path / "net.pth", known_hash=known_hash)


def test_shipped_weights_are_found_by_name():
    assert set(list_shipped_weights()) == {"tiny_instance", "tiny_panoptic", "tiny_semantic"}
    assert find_weights("smp", {"weights": "tiny_semantic"}).is_file()
    message = r"no weights 'tiny_semantik': .* did you mean 'tiny_semantic'\? Known are tiny_i"
    with pytest.raises(ModelNotFoundError, match=message):
        find_weights("smp", {"weights": "tiny_semantik"})


def test_a_file_is_fetched_once_and_recorded(server, tmp_path):
    needed, steps = needed_file(server, tmp_path), []
    assert fetch_weights(needed, lambda *step: steps.append(step)) == tmp_path / "net.pth"
    assert steps[-1] == ("net.pth", len(CONTENT), len(CONTENT))
    assert fetch_weights(needed) == tmp_path / "net.pth"
    assert len(server.requests) == 1
    assert json.loads((tmp_path / LOCK_FILE).read_text()) == {
        "net.pth": {
            "source": needed.source,
            "size": len(CONTENT),
            "sha256": SHA256,
            "checked_by": "the first 8 digits of its SHA-256",
            "revision": None,
        }
    }


@pytest.mark.parametrize(
    ("known_hash", "checked_by"),
    [
        (f"sha256:{SHA256}", "its SHA-256"),
        (f"sha256:{SHA256[:8]}", "the first 8 digits of its SHA-256, when it was fetched"),
        (
            f"md5:{hashlib.md5(CONTENT).hexdigest()[:6]}",
            "the first 6 digits of its MD5, when it was fetched",
        ),
    ],
)
def test_a_later_look_says_what_a_file_was_checked_by(server, tmp_path, known_hash, checked_by):
    needed = needed_file(server, tmp_path, known_hash)
    fetch_weights(needed)
    (found,) = check_weights(needed)
    assert (found.sha256, found.size, found.checked_by) == (SHA256, len(CONTENT), checked_by)


def test_a_file_put_there_by_hand_is_checked_by_what_its_name_says(server, tmp_path):
    needed = needed_file(server, tmp_path)
    needed.path.write_bytes(CONTENT)
    (found,) = check_weights(needed)
    assert found.checked_by == "the first 8 digits of its SHA-256"


def test_a_file_that_has_changed_since_is_an_error(server, tmp_path):
    # An MD5's six digits would not show it, the recorded SHA-256 does.
    needed = needed_file(server, tmp_path, "md5:")
    fetch_weights(needed)
    needed.path.write_bytes(CONTENT + b"?")
    with pytest.raises(DataError, match=rf"net\.pth: .* not {SHA256}; delete it and fetch"):
        check_weights(needed)


def test_a_wrong_file_is_refused(server, tmp_path):
    needed = needed_file(server, tmp_path, "sha256:00000000")
    with pytest.raises(ModelNotFoundError, match=rf"content is {SHA256}, not 00000000\.\.\."):
        fetch_weights(needed)
    assert not needed.path.exists()
    assert not (tmp_path / LOCK_FILE).exists()


def test_without_a_network_one_line_says_what_to_do(tmp_path):
    source = "http://127.0.0.1:9/net.pth"
    needed = NeededWeights(source, tmp_path / "net.pth", known_hash="sha256:00")
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_weights(needed)
    message = str(caught.value)
    assert message.startswith(f"net.pth is not in {tmp_path}, and cannot be fetched from {source}")
    for word in ("refused", "fuse fetch", "--weights-dir", "TORCH_HOME", f"put it into {tmp_path}"):
        assert word in message
    assert "\n" not in message


def test_a_repository_is_fetched_to_a_weights_folder(hub, tmp_path):
    needed = describe_repository("owner/net").move_to(tmp_path / "weights")
    steps = []
    folder = fetch_weights(needed, lambda *step: steps.append(step))
    assert folder == tmp_path / "weights" / "owner" / "net"
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    # The safest format, and no more than is needed.
    assert sorted(path.name for path in folder.glob("[!.]*")) == [
        "config.json",
        "model.safetensors",
    ]
    total, done = len(CONTENT) + 2, [step[1] for step in steps]
    assert {(name, of) for name, _, of in steps} == {("owner/net", total)}
    assert (done[0], done[-1]) == (0, total)
    assert done == sorted(done)
    (found,) = check_weights(needed)
    assert (found.sha256, found.revision) == (SHA256, COMMIT)
    assert found.checked_by == "the hub's SHA-256, when it was fetched"
    hub.requests.clear()
    assert fetch_weights(needed) == folder
    assert hub.requests == []


def test_weights_of_another_commit_than_the_pinned_one_are_fetched_again(hub, tmp_path):
    fetch_weights(describe_repository("owner/net").move_to(tmp_path))
    hub.requests.clear()
    assert fetch_weights(describe_repository("owner/net", COMMIT).move_to(tmp_path))
    assert hub.requests == []
    with pytest.raises(ModelNotFoundError, match="cannot be fetched"):  # the hub has no such one
        fetch_weights(describe_repository("owner/net", "b" * 40).move_to(tmp_path))


def test_a_part_that_an_index_names_is_missed(tmp_path):
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-1.safetensors").touch()
    assert not holds_weights(tmp_path)
    (tmp_path / "model-2.safetensors").touch()
    assert holds_weights(tmp_path)


def test_a_repository_is_fetched_to_the_hubs_cache_and_found_there(hub):
    folder = fetch_weights(describe_repository("owner/net"))
    assert folder.name == COMMIT
    hub.requests.clear()
    needed = describe_repository("owner/net")
    assert needed.is_present
    assert fetch_weights(needed) == folder
    assert hub.requests == []
    (found,) = check_weights(needed)
    assert (found.sha256, found.checked_by) == (SHA256, "the hub's SHA-256")
    found.path.resolve().write_bytes(CONTENT + b"?")
    with pytest.raises(DataError, match="delete it and fetch it again"):
        check_weights(needed)


def test_old_repositories_have_only_a_pickle(hub, tmp_path):
    hub.add_repository("owner/old", {"config.json": b"{}", "pytorch_model.bin": CONTENT})
    folder = fetch_weights(describe_repository("owner/old").move_to(tmp_path))
    assert (folder / "pytorch_model.bin").read_bytes() == CONTENT


def test_another_content_than_the_hub_says_is_refused(hub, tmp_path):
    hub.claims["model.safetensors"] = "0" * 64
    needed = describe_repository("owner/net").move_to(tmp_path / "weights")
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors: .* not 0000"):
        fetch_weights(needed)
    assert not needed.is_present


def test_a_pinned_hash_is_held_too(hub, tmp_path):
    path = tmp_path / "owner" / "net"
    needed = NeededWeights("owner/net", path, COMMIT, known_hash=f"sha256:{'0' * 64}")
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors: .* not 0000"):
        fetch_weights(needed)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("owner/none", "401: Repository not found"), ("owner/readme", "holds no weights")],
)
def test_a_repository_without_weights_is_named(hub, tmp_path, name, reason):
    hub.add_repository("owner/readme", {"config.json": b"{}"})
    with pytest.raises(ModelNotFoundError, match=f"{name} is neither .*{reason}"):
        fetch_weights(describe_repository(name).move_to(tmp_path))


def test_a_hub_out_of_reach_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    needed = describe_repository("owner/net")
    assert (needed.is_present, needed.source) == (False, "owner/net")
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_weights(needed)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(
        f"owner/net is neither a folder here nor in {tmp_path}, and cannot be"
    )
    assert "https://huggingface.co/owner/net" in message
    assert "HF_HOME" in message


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "no JSON .*"),
        ('{"net.pth": 1}', "not what fuse fetch writes"),
        ('{"net.pth": {"source": ""}}', "not what fuse fetch writes"),
    ],
)
def test_a_damaged_record_is_named(server, tmp_path, content, fault):
    needed = needed_file(server, tmp_path)
    fetch_weights(needed)
    (tmp_path / LOCK_FILE).write_text(content)
    with pytest.raises(DataError, match=rf"{LOCK_FILE}: {fault}; delete it"):
        check_weights(needed)
