"""Checkpoints of detectron2: arrays come through as they are, everything else is refused."""

import hashlib
import pickle
from collections import OrderedDict
from pathlib import PurePosixPath
from urllib.error import URLError

import numpy as np
import pytest
import torch
from reference.panoptic_fpn import list_tensors

from fuse.errors import ModelError, ModelNotFoundError
from fuse.models.panoptic_fpn.checkpoint import read_checkpoint, rename_key
from fuse.models.panoptic_fpn.designs import DESIGNS
from fuse.models.panoptic_fpn.net import PanopticFpnNet
from fuse.models.weights.fetching import find_weights
from fuse.models.weights.sources import describe_named, list_published

NUMBERS = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7
ARRAYS = {
    "weight": NUMBERS,
    "column-major": np.asfortranarray(NUMBERS[0]),
    "sliced": NUMBERS[:, 1, ::2],
    "half": NUMBERS.astype(np.float16),
    "double": NUMBERS.astype(np.float64),
    "counts": np.arange(-3, 3),
    "flags": np.array([True, False]),
    "bytes": np.arange(256, dtype=np.uint8),
    "swapped": NUMBERS.astype(">f4"),
    "one number": np.array(2.5, dtype=np.float32),
    "no number": np.zeros((0, 4), dtype=np.float32),
}
# The head of a pickle of Python 2 for {"model": {"weight": array}}, up to the array's state.
PYTHON_2_START = (
    b"\x80\x02}U\x05model}U\x06weightcnumpy.core.multiarray\n_reconstruct\n"
    b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
)


def write(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_numbers_come_through(tmp_path, protocol):
    content = {"model": ARRAYS, "__author__": "Detectron2 Model Zoo", "matching_heuristics": True}
    state = read_checkpoint(write(tmp_path / "net.pkl", content, protocol))
    assert list(state) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert state[name].numpy().dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(state[name].numpy(), array)
        state[name].zero_()  # memory of its own


def test_a_state_dict_alone_is_read_too(tmp_path):
    state = OrderedDict(ARRAYS)
    state._metadata = {"version": 1}  # torch puts that on every state dict
    assert list(read_checkpoint(write(tmp_path / "net.pkl", state))) == list(ARRAYS)


def test_a_pickle_of_python_2_is_read(tmp_path):
    array = np.arange(120, 150, dtype="<f4").reshape(5, 6)
    item_type = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffK\x00K\x00tb"
    content = b"U" + bytes([array.nbytes]) + array.tobytes()  # more than ASCII: 0x42, 0xf0, ...
    state = b"(K\x01K\x05K\x06\x86" + item_type + b"\x89" + content + b"tb"
    (tmp_path / "net.pkl").write_bytes(PYTHON_2_START + state + b"ss.")
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "net.pkl")["weight"].numpy(), array)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Calls(exec, "open('called', 'w')"), "would call __builtin__.exec"),
        (Calls(getattr, "text", "upper"), "would call __builtin__.getattr"),
        (Calls(np.load, "called.npy"), "would call numpy.load"),
        (Calls(hashlib.sha256, b""), "would call _hashlib.openssl_sha256"),
        (np.float32(1), "would call numpy._core.multiarray.scalar"),
        (np.array(["text", None], dtype=object), "array of 'O8', not of numbers"),
        (np.zeros(2, dtype="V8,f4"), "array of 'V12', not of numbers"),
        (np.array(["text"]), "array of 'U4', not of numbers"),
        (np.zeros(1, dtype="datetime64[s]"), "array of 'M8', not of numbers"),
        (np.zeros(1, dtype=np.complex128), "array of 'c16', not of numbers"),
        (torch.zeros(2), "would call torch"),
        (np.ma.zeros(2), "would call numpy.ma"),
        (PurePosixPath("a"), "would call pathlib"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_all_else_is_refused(tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "net.pkl", {"model": {"weight": NUMBERS, "other": content}})
    with pytest.raises(ModelError, match=f"net.pkl: refused, since it .*{reason}.*safetensors"):
        read_checkpoint(path)
    assert [file.name for file in tmp_path.iterdir()] == ["net.pkl"]


@pytest.mark.parametrize(
    "array_state",
    [
        b"(K\x01K\x05\x85U\x02f4\x89U\x04....tb",  # text in place of the item type
        b"(K\x01K\x05\x85NU\x01.\x89tb",
        b"(K\x01K\x05\x85tb",  # too few entries
        b"K\x07b",
        b"(K\x01J\xff\xff\xff\xff\x85cnumpy\ndtype\nU\x02f4\x85R\x89U\x00tb",  # shape (-1,)
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4\x85R\x89U\x04....tb",  # two items, four bytes
        b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02f4\x85R\x89]tb",  # a list of objects
        b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02f4\x85R(K\x03K\x00tb\x89U\x04....tb",  # byte order 0
        b"cnumpy\nndarray.tofile\nb",  # an attribute of an attribute
        b"\x82\x01b",  # an entry of Python's extension registry
        b"Pelsewhere\nb",  # a persistent id
    ],
)
def test_a_false_array_is_refused(tmp_path, array_state):
    (tmp_path / "net.pkl").write_bytes(PYTHON_2_START + array_state + b"ss.")
    with pytest.raises(ModelError, match=r"net.pkl: (refused|not a checkpoint)"):
        read_checkpoint(tmp_path / "net.pkl")


@pytest.mark.parametrize("content", [b"", b"\x80\x02}", b"PK\x03\x04 a zip", b"\x80\x02K\x01."])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    (tmp_path / "net.pkl").write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.pkl: "):
        read_checkpoint(tmp_path / "net.pkl")


def test_values_that_are_no_arrays_are_named(tmp_path):
    path = write(tmp_path / "net.pkl", {"model": {"weight": [1.0]}})
    with pytest.raises(ModelError, match="holds no checkpoint of detectron2"):
        read_checkpoint(path)


def test_a_torch_checkpoint_of_detectron2_is_read(tmp_path):
    key = "roi_heads.box_head.fc1.bias"
    torch.save({"model": {key: torch.ones(3)}, "iteration": 9}, tmp_path / "net.pth")
    state = read_checkpoint(tmp_path / "net.pth")
    assert {name: tensor.tolist() for name, tensor in state.items()} == {
        "box_head.fc6.bias": [1.0, 1.0, 1.0]
    }


@pytest.mark.parametrize("depth", [50, 101])
def test_every_tensor_of_the_published_layout_has_its_place(depth):
    with torch.device("meta"):
        net = PanopticFpnNet(DESIGNS[f"resnet{depth}"], stuff_classes=54, thing_classes=80)
    wanted = {
        key: tuple(tensor.shape)
        for key, tensor in net.state_dict().items()
        if not key.endswith("num_batches_tracked") and not key.startswith("pixel_")
    }
    tensors = list_tensors(depth)
    assert {rename_key(key): shape for key, shape in tensors.items()} == wanted
    assert len(tensors) == len(wanted)  # no two keys become one


def test_anchors_of_older_files_are_left_out(tmp_path):
    anchors = "proposal_generator.anchor_generator.cell_anchors.0"
    path = write(tmp_path / "net.pkl", {"model": {anchors: NUMBERS, "pixel_mean": NUMBERS}})
    assert list(read_checkpoint(path)) == ["pixel_mean"]


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def test_published_weights_are_found_in_torch_home(torch_home):
    torch_home.mkdir(parents=True)
    path = torch_home / "model_final_c10459.pkl"
    needed = describe_named("panoptic-fpn", {"weights": "panoptic_fpn_R_50_3x"})
    assert needed.source.endswith("/panoptic_fpn_R_50_3x/139514569/model_final_c10459.pkl")
    assert needed.path == path
    assert needed.known_hash == "md5:c10459"
    assert not needed.is_present
    path.write_bytes(b"weights")
    assert find_weights("panoptic-fpn", {"weights": "panoptic_fpn_R_50_3x"}) == path


def test_the_hash_in_each_published_name_is_held():
    for row in list_published("panoptic-fpn").values():
        assert row.source.endswith(f"_{row.known_hash.removeprefix('md5:')}.pkl")


def test_without_a_network_the_message_says_what_to_do(torch_home, monkeypatch):
    def fail(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("fuse.models.weights.download.urlopen", fail)
    with pytest.raises(ModelNotFoundError) as caught:
        find_weights("panoptic-fpn", {"weights": "panoptic_fpn_R_101_3x"})
    for part in ("model_final_cafdb1.pkl", str(torch_home), "TORCH_HOME", "no network"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ModelNotFoundError, match="did you mean 'panoptic_fpn_R_50_3x'"):
        find_weights("panoptic-fpn", {"weights": "panoptic_fpn_R_50_9x"})
