"""Weight files: found, read without running them, and refused where they do not fit."""

import hashlib
import json
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fuse.errors import ModelError, ModelNotFoundError
from fuse.models.weights import (
    describe_file,
    describe_hub_folder,
    find_hub_folder,
    find_state_files,
    find_weights,
    hash_files,
    is_hub_name,
    list_shipped_weights,
    load_state,
    read_weights,
)


class RunsCode:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def make_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    path, trace = tmp_path / "evil.pth", tmp_path / "ran"
    torch.save({"state_dict": RunsCode(trace)}, path)
    with pytest.raises(ModelError, match=r"evil\.pth: refused.*safetensors"):
        read_weights(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)["state_dict"].close()
    assert trace.exists()  # so the file would have run code


def test_a_plain_pickle_is_refused(tmp_path):
    path = tmp_path / "plain.pth"
    path.write_bytes(pickle.dumps(RunsCode(tmp_path / "ran")))
    with pytest.raises(ModelError, match="refused"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 7}]
)
def test_a_state_dict_is_read_bare_or_wrapped(tmp_path, wrap):
    net = make_net()
    torch.save(wrap(net.state_dict()), tmp_path / "net.pth")
    state, about = read_weights(tmp_path / "net.pth")
    assert about == {}
    assert {key: value.tolist() for key, value in state.items()} == {
        key: value.tolist() for key, value in net.state_dict().items()
    }


def test_a_safetensors_header_tells_of_the_file(tmp_path):
    save_file(
        {"a": torch.ones(2)},
        tmp_path / "net.safetensors",
        metadata={"fuse": json.dumps({"label_space": "voc"})},
    )
    state, about = read_weights(tmp_path / "net.safetensors")
    assert state["a"].tolist() == [1, 1]
    assert about == {"label_space": "voc"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.safetensors", b"\x10", "cut.safetensors: not a weights file"),
        ("empty.pth", b"", "empty.pth: not a weights file"),
        ("photo.pth", b"\xff\xd8\xff\xe0 no net", "photo.pth: refused"),
    ],
)
def test_what_is_no_weights_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_weights(tmp_path / name)


def test_a_checkpoint_without_tensors_is_named(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="holds no state dict"):
        read_weights(tmp_path / "net.pth")


def test_half_precision_loads_into_a_float32_net():
    net, other = make_net(), make_net()
    state = {k: v.half() if v.is_floating_point() else v for k, v in other.state_dict().items()}
    load_state(net, state, source="half")
    assert net[0].weight.dtype == torch.float32
    torch.testing.assert_close(net[0].weight, other[0].weight, atol=1e-3, rtol=1e-3)


def test_only_the_counter_of_a_batch_norm_may_be_missing():
    state = make_net().state_dict()
    del state["1.num_batches_tracked"]
    load_state(make_net(), state, source="frozen")
    del state["1.running_var"]
    with pytest.raises(ModelError, match=r"'1\.running_var' is missing"):
        load_state(make_net(), state, source="torn")


def test_weights_of_another_net_name_the_first_keys():
    state = make_net().state_dict()
    state["0.weight"] = torch.zeros(4, 5, 1, 1)
    state["2.weight"] = state.pop("1.weight")
    with pytest.raises(ModelError) as caught:
        load_state(make_net(), state, source="net.pth")
    assert str(caught.value) == (
        "net.pth: weights of another net; '1.weight' is missing, '2.weight' is unknown, "
        "'0.weight' has shape (4, 5, 1, 1), not (4, 3, 1, 1) (3 keys do not fit)"
    )


def test_shipped_weights_are_found_by_name(tmp_path):
    assert set(list_shipped_weights()) == {"tiny_instance", "tiny_semantic"}
    assert find_weights("tiny_semantic").is_file()
    assert describe_file("tiny_semantic").is_present
    assert not describe_file(str(tmp_path / "none.pth")).is_present
    with pytest.raises(
        ModelNotFoundError, match=r"no weights 'tiny'.*tiny_instance, tiny_semantic"
    ):
        find_weights("tiny")


def test_the_hash_is_that_of_the_files(tmp_path):
    for name, content in (("a", b"one"), ("b", b"two")):
        (tmp_path / name).write_bytes(content)
    assert hash_files([tmp_path / "a"]) == hashlib.sha256(b"one").hexdigest()
    both = hash_files([tmp_path / "a", tmp_path / "b"])
    assert both == hashlib.sha256(b"onetwo").hexdigest()


def test_hub_names_are_told_from_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets" / "mine").mkdir(parents=True)
    assert is_hub_name("owner/net")
    assert not is_hub_name("nets/mine")
    assert not is_hub_name("owner/net.safetensors")
    assert not is_hub_name("a/b/c")
    assert find_hub_folder("nets/mine").samefile(tmp_path / "nets" / "mine")


def test_a_hub_name_without_a_network_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    needed = describe_hub_folder("owner/net")
    assert not needed.is_present
    assert needed.source == "owner/net"
    with pytest.raises(ModelNotFoundError) as caught:
        find_hub_folder("owner/net")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"owner/net: not in {tmp_path}, and could not be fetched from")
    assert "https://huggingface.co/owner/net" in message
    assert "HF_HOME" in message


def test_safetensors_come_before_pickles(tmp_path):
    with pytest.raises(ModelNotFoundError, match="holds no weights"):
        find_state_files(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    assert [path.name for path in find_state_files(tmp_path)] == ["pytorch_model.bin"]
    for name in ("model-2.safetensors", "model-1.safetensors"):
        (tmp_path / name).touch()
    found = [path.name for path in find_state_files(tmp_path)]
    assert found == ["model-1.safetensors", "model-2.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_hub_name_is_found_in_the_cache(tmp_path, monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--owner--net"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (snapshot / "config.json").touch()
    (snapshot / name).touch()
    assert find_state_files(find_hub_folder("owner/net")) == [snapshot / name]
    assert describe_hub_folder("owner/net").is_present
