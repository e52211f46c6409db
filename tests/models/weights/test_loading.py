"""Weight files: found, read without running them, and refused where they do not fit."""

import hashlib
import json
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fuse.errors import ModelError, ModelNotFoundError
from fuse.models.weights.loading import (
    NetHeader,
    find_state_files,
    hash_files,
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
    assert about == NetHeader()
    assert {key: value.tolist() for key, value in state.items()} == {
        key: value.tolist() for key, value in net.state_dict().items()
    }


def test_a_safetensors_header_tells_of_the_file(tmp_path):
    save_file(
        {"a": torch.ones(2)},
        tmp_path / "net.safetensors",
        metadata={"fuse": json.dumps({"label_space": "voc", "trained_on": "VOC"})},
    )
    state, about = read_weights(tmp_path / "net.safetensors")
    assert state["a"].tolist() == [1, 1]
    assert about == NetHeader(label_space="voc")


@pytest.mark.parametrize("header", ["[1]", "{", '{"mean": 0.5}', '{"category_ids": ["cat"]}'])
def test_a_header_that_is_no_use_is_named(tmp_path, header):
    save_file({"a": torch.ones(2)}, tmp_path / "net.safetensors", metadata={"fuse": header})
    message = r"net\.safetensors: what its header says of the net is wrong \(.+\)"
    with pytest.raises(ModelError, match=message):
        read_weights(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.safetensors", b"\x10", "cut.safetensors: not a weights file"),
        ("torn.safetensors", b"\x05" + bytes(7) + b"{}", "torn.safetensors: not a weights file"),
        ("empty.pth", b"", "empty.pth: is empty; fetch it again"),
        ("page.pth", b"\n<!DOCTYPE html><p>Not found", "page.pth: is a web page, not weights"),
        ("lfs.safetensors", b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git"),
        ("half.pth", b"PK\x03\x04 and no end", "half.pth: is cut short or damaged; fetch it"),
        ("image.pth", b"\xff\xd8\xff\xe0 no net", "image.pth: refused"),
    ],
)
def test_what_is_no_weights_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_weights(tmp_path / name)


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(ModelError, match="is a folder; name the weights file in it"):
        read_weights(tmp_path)


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


def test_the_hash_is_that_of_the_files(tmp_path):
    for name, content in (("a", b"one"), ("b", b"two")):
        (tmp_path / name).write_bytes(content)
    assert hash_files([tmp_path / "a"]) == hashlib.sha256(b"one").hexdigest()
    both = hash_files([tmp_path / "a", tmp_path / "b"])
    assert both == hashlib.sha256(b"onetwo").hexdigest()


def test_safetensors_come_before_pickles(tmp_path):
    with pytest.raises(ModelNotFoundError, match="holds no weights"):
        find_state_files(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    assert [path.name for path in find_state_files(tmp_path)] == ["pytorch_model.bin"]
    for name in ("model-2.safetensors", "model-1.safetensors"):
        (tmp_path / name).touch()
    found = [path.name for path in find_state_files(tmp_path)]
    assert found == ["model-1.safetensors", "model-2.safetensors"]
