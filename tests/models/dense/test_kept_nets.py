"""Converted nets on disk: whole, this user's own, made again where they are damaged."""

import os

import pytest
from torch import nn

from fuse.errors import FuseWarning
from fuse.models.dense import kept_nets

KEY = "k" * 64


@pytest.fixture(autouse=True)
def cache_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def write_net(folder):
    (folder / "net.xml").write_text("net")


def refuse(folder):
    raise AssertionError("made again")


def test_a_net_is_made_once():
    folder, is_kept = kept_nets.keep(KEY, write_net)
    assert is_kept
    assert kept_nets.keep(KEY, refuse) == (folder, True)
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["changed", "missing", "no sums"])
def test_a_damaged_net_is_made_again(damage):
    folder, _ = kept_nets.keep(KEY, write_net)
    if damage == "changed":
        (folder / "net.xml").write_text("ten")
    else:
        (folder / ("net.xml" if damage == "missing" else kept_nets.SUMS_FILE)).unlink()
    with pytest.warns(FuseWarning, match="damaged; it is made again"):
        assert kept_nets.keep(KEY, write_net) == (folder, True)
    assert (folder / "net.xml").read_text() == "net"


def test_a_net_that_cannot_be_made_leaves_nothing():
    with pytest.raises(AssertionError):
        kept_nets.keep(KEY, refuse)
    assert not any(kept_nets.find_folder().iterdir())


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows knows no owners this way")
def test_what_another_user_wrote_is_not_read(monkeypatch):
    kept_nets.keep(KEY, write_net)
    monkeypatch.setattr(os, "getuid", lambda: -1)
    assert not kept_nets._is_whole(kept_nets.find_folder() / KEY)


def test_where_nothing_can_be_written_the_net_is_not_kept(cache_home):
    (cache_home / "panoptic-fuse").write_text("a file in the way")
    for _ in range(2):
        with pytest.warns(FuseWarning, match="cannot be kept in"):
            folder, is_kept = kept_nets.keep(KEY, write_net)
        assert not is_kept
        assert (folder / "net.xml").read_text() == "net"


def test_a_key_tells_weights_and_settings_apart():
    layer = nn.Conv2d(1, 1, 3)
    first = kept_nets.make_key(layer)
    assert kept_nets.make_key(layer) == first != kept_nets.make_key(layer, "openvino")
    wider = nn.Conv2d(1, 1, 3, dilation=2)
    wider.load_state_dict(layer.state_dict())
    assert kept_nets.make_key(wider) != first
    layer.weight.data[0, 0, 0, 0] += 1
    assert kept_nets.make_key(layer) != first
