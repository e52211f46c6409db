"""Where files say what their classes are called."""

import json
from argparse import Namespace

import pytest
import torch
from safetensors.torch import save_file

from fuse.models.weights.class_names import find_class_names, parse_class_names, read_archived_names
from fuse.models.weights.loading import read_weights

NAMES = ("road", "sky")


@pytest.mark.parametrize(
    "value",
    [
        ["road", "sky"],
        ("road", "sky"),
        {0: "road", 1: "sky"},
        {"1": "sky", "0": "road"},
        {"road": 0, "sky": 1},
        [{"id": 7, "name": "road"}, {"id": 9, "name": "sky"}],
        '["road", "sky"]',
        '{"0": "road", "1": "sky"}',
        "{0: 'road', 1: 'sky'}",
    ],
)
def test_a_list_is_read_however_it_is_written(value):
    assert parse_class_names(value) == NAMES


@pytest.mark.parametrize(
    "value",
    [
        None, 2, "road", "", [], [1, 2], {"a": "road"}, {1: "road", 2: "sky"}, ["road", None],
        {"0": "LABEL_0", "1": "LABEL_1"}, "[" * 10_000, "[__import__('os').getcwd()]", ["0", "1"],
    ],
)  # fmt: skip
def test_what_is_no_list_of_names_is_none(value):
    assert parse_class_names(value) is None


@pytest.mark.parametrize(
    "holder",
    [
        {"id2label": {0: "road", 1: "sky"}, "classes": 2},
        {"meta": {"CLASSES": ["road", "sky"], "PALETTE": [[1, 2, 3]]}},
        {"meta": {"dataset_meta": {"classes": ["road", "sky"]}}},
        {"hyper_parameters": {"class_names": ["road", "sky"]}},
        {"args": Namespace(lr=0.1, classes=["road", "sky"])},
        {"meta": {"categories": ["road", "sky"]}},
        {"names": "{0: 'road', 1: 'sky'}", "stride": "32"},
    ],
)
def test_they_are_found_where_tools_write_them(holder):
    assert find_class_names(holder) == NAMES


def test_a_checkpoint_and_a_header_tell_them(tmp_path):
    state = {"head.weight": torch.ones(2)}
    torch.save({"state_dict": state, "meta": {"classes": list(NAMES)}}, tmp_path / "net.pth")
    save_file(state, tmp_path / "a.safetensors", metadata={"id2label": '{"0":"road","1":"sky"}'})
    own = json.dumps({"class_names": NAMES})
    save_file(state, tmp_path / "b.safetensors", metadata={"fuse": own})
    for name in ("net.pth", "a.safetensors", "b.safetensors"):
        _, about = read_weights(tmp_path / name)
        assert about.class_names == NAMES


class Net(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :2]


@pytest.mark.parametrize(
    "extra",
    [
        {"config.txt": '{"stride": 32, "names": {"0": "road", "1": "sky"}}'},
        {"classes": '["road", "sky"]'},
    ],
)
def test_what_is_packed_beside_a_program_is_read(tmp_path, extra):
    path = tmp_path / "net.pt2"
    program = torch.export.export(Net(), (torch.zeros(1, 3, 4, 4),))
    torch.export.save(program, path, extra_files=extra)
    assert read_archived_names(path) == NAMES
    torch.export.save(program, path)
    assert read_archived_names(path) is None
