"""What trainers save around a net's tensors, made by the wrappers of torch themselves."""

import os
import re
import warnings
from argparse import Namespace
from pathlib import PureWindowsPath
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fuse.errors import FuseWarning, ModelError
from fuse.models.weights import loading
from fuse.models.weights.checkpoints import find_state
from fuse.models.weights.loading import read_weights

ROOTS = ("encoder", "decoder", "head")


class Net(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        # A module inside is called as a usual prefix is.
        self.encoder = nn.ModuleDict({"model": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
        self.decoder = nn.BatchNorm1d(2)
        self.head = nn.Linear(2, 3)
        self.scale = nn.Parameter(torch.ones(1))  # no module of its own


class Trainer(nn.Module):
    """As a module of Lightning holds its net and its loss."""

    def __init__(self, **nets):
        super().__init__()
        for name, net in nets.items():
            setattr(self, name, net)
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(3))


def average(net):
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    averaged.update_parameters(Net(1))
    return averaged


def tell(checkpoint, path):
    """What is read from a file of that content, and what is said."""
    torch.save(checkpoint, path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state, _ = read_weights(path, ROOTS)
    assert all(issubclass(warning.category, FuseWarning) for warning in caught)
    return state, [str(warning.message).removeprefix(f"{path}: ") for warning in caught]


def assert_same(state, net):
    assert list(state) == list(net.state_dict())
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


NET = Net()
OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
LIGHTNING = {
    "state_dict": Trainer(net=NET).state_dict(),
    "epoch": 3,
    "pytorch-lightning_version": "2.5.0",
    "optimizer_states": [OPTIMIZER],
    "hyper_parameters": {"lr": 0.1},
}


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        (NET.state_dict(), []),
        ({"state_dict": NET.state_dict(), "optimizer": OPTIMIZER}, []),
        ({"model_state_dict": NET.state_dict(), "loss": 0.3}, []),
        ({"model": NET.state_dict(), "args": Namespace(lr=0.1, device="cuda")}, []),
        (
            LIGHTNING,
            ["took off 'net.' before the names of its tensors; left out 'criterion.weight'"],
        ),
        (
            nn.DataParallel(NET).state_dict(),
            ["took off 'module.' before the names of its tensors"],
        ),
        (
            torch.compile(NET).state_dict(),
            ["took off '_orig_mod.' before the names of its tensors"],
        ),
        (
            {"model": nn.DataParallel(torch.compile(NET)).state_dict()},
            ["took off 'module.' before the names of its tensors"],
        ),
    ],
    ids=["bare", "state_dict", "model_state_dict", "torchvision", "lightning", "data parallel",
         "compiled", "both"],
)  # fmt: skip
def test_the_nets_own_names_come_out(tmp_path, checkpoint, said):
    state, found = tell(checkpoint, tmp_path / "last.ckpt")
    assert_same(state, NET)
    assert found == said


def test_paths_and_figures_of_a_trainer_are_no_code(tmp_path):
    """As Lightning saves hyper-parameters, and mmengine the best score; of systems that differ."""
    figures = {
        "best": np.float64(0.5),
        "history": np.arange(6.0).reshape(2, 3),
        "names": np.array(["a", "b"]),
        "when": np.datetime64("2026-01-01"),
        "path": tmp_path,
        "windows": PureWindowsPath("C:/data"),
    }
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": NET.state_dict(), "meta": figures}, path)
    assert_same(read_weights(path, ROOTS)[0], NET)


def test_arrays_of_objects_are_not_made(tmp_path):
    """What NumPy would believe to be addresses: nothing of an array beside tensors is looked at."""
    path = tmp_path / "last.ckpt"
    array = np.array([None, {}], dtype=object)
    torch.save({"state_dict": NET.state_dict(), "meta": array}, path)
    with patch.object(loading, "find_class_names") as look:
        assert_same(read_weights(path, ROOTS)[0], NET)
    (checkpoint,) = look.call_args.args
    assert type(checkpoint["meta"]).__name__ == "Unread"
    assert not vars(checkpoint["meta"])


def test_the_wrapper_that_was_taken_off_is_named(tmp_path):
    table = {f"_fsdp_wrapped_module.{key}": value for key, value in NET.state_dict().items()}
    state, said = tell(table, tmp_path / "net.pth")
    assert_same(state, NET)
    assert said == ["took off '_fsdp_wrapped_module.' before the names of its tensors"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "net.pth")
    for read in (read_weights, lambda path: loading.hash_files([path])):
        with pytest.raises(OSError, match="not a regular file"):
            read(tmp_path / "net.pth")


def test_a_compiled_part_is_found(tmp_path):
    net = Net()
    net.encoder = torch.compile(net.encoder)
    state, said = tell(net.state_dict(), tmp_path / "net.pth")
    assert_same(state, Net())
    assert said == ["took off '_orig_mod.' before the names of its tensors"]


AVERAGE = average(Net())


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        (
            {"model": NET.state_dict(), "model_ema": AVERAGE.state_dict(), "args": Namespace()},
            "took the averaged weights (model_ema: module.), not model",
        ),
        (
            {"state_dict": NET.state_dict(), "state_dict_ema": AVERAGE.module.state_dict()},
            "took the averaged weights (state_dict_ema), not state_dict",
        ),
        (
            {"state_dict": Trainer(model=NET, ema_model=AVERAGE.module).state_dict()},
            "took the averaged weights (state_dict: ema_model.), not state_dict: model.",
        ),
    ],
    ids=["torchvision", "timm", "lightning"],
)
def test_the_average_is_taken_where_there_is_one(tmp_path, checkpoint, said):
    state, (found,) = tell(checkpoint, tmp_path / "last.ckpt")
    assert_same(state, AVERAGE.module)
    assert said in found


def test_a_loss_with_an_encoder_of_its_own_is_no_second_net(tmp_path):
    trainer = Trainer(model=NET, perceptual=nn.ModuleDict({"encoder": nn.Linear(4, 4)}))
    state, (said,) = tell(trainer.state_dict(), tmp_path / "net.pth")
    assert_same(state, NET)
    assert said.endswith("left out 'perceptual.encoder.weight' and 2 more")


def test_two_nets_are_not_chosen_from(tmp_path):
    checkpoint = Trainer(student=NET, teacher=Net(1)).state_dict()
    message = (
        r"net\.pth: holds several nets \('student\.' and 'teacher\.'\); save one of them alone"
    )
    with pytest.raises(ModelError, match=message):
        tell(checkpoint, tmp_path / "net.pth")


def test_what_does_not_belong_to_a_bare_net_stays_to_be_refused(tmp_path):
    state, said = tell({**NET.state_dict(), "other.weight": torch.ones(1)}, tmp_path / "net.pth")
    assert "other.weight" in state
    assert said == []


def test_safetensors_are_read_so_too(tmp_path):
    save_file(nn.DataParallel(NET).state_dict(), tmp_path / "net.safetensors")
    with pytest.warns(FuseWarning, match="took off 'module.'"):
        state, _ = read_weights(tmp_path / "net.safetensors", ROOTS)
    assert set(state) == set(NET.state_dict())


def test_a_class_of_the_trainer_is_named_and_not_made(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": NET.state_dict(), "config": re.compile("a")}, path)
    with pytest.raises(ModelError, match=r"refused.*\(re\._compile\).*save the net's state_dict"):
        read_weights(path, ROOTS)


def test_many_prefixes_take_no_time():
    table = {f"{i}.encoder.weight": torch.empty(0) for i in range(20_000)}
    table |= {".".join("a" * 50) + f".{i}": torch.empty(0) for i in range(20_000)}
    with pytest.raises(ModelError, match="several nets"):
        find_state(table, ROOTS, "net.pth")
