"""Costs of nets, counted by hand where they are small."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fuse.models.cost import count_flops, count_parameters, measure_memory


def test_flops_are_two_per_multiplication():
    net = nn.Conv2d(3, 5, 3, bias=False)
    assert count_flops(lambda: net(torch.zeros(1, 3, 10, 12))) == 2 * (3 * 3 * 3) * 5 * 8 * 10


def test_memory_is_the_most_that_was_held_at_a_time():
    def call():
        first = torch.zeros(1000, 1000)
        second = first.add(1)
        del first
        return second.mul(2)  # never three at a time

    assert measure_memory(call, "cpu") == pytest.approx(2 * 4e6, rel=1e-3)


def test_nothing_is_written_to_the_terminal_by_the_measuring(capfd):
    measure_memory(lambda: torch.zeros(10), "cpu")
    assert capfd.readouterr() == ("", "")


def test_a_net_that_two_models_share_is_counted_once():
    net = nn.Conv2d(3, 5, 3)
    first, second = SimpleNamespace(net=net), SimpleNamespace(net=nn.Sequential(net, nn.ReLU()))
    assert count_parameters([first]) == count_parameters([first, second]) == 3 * 5 * 9 + 5
    assert count_parameters([first, SimpleNamespace(net=None)]) is None
    assert count_parameters([object()]) is None
