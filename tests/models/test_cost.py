"""Costs of nets, counted by hand where they are small."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import deeplabv3_resnet101

from fuse.models.cost import count_activations, count_flops, count_parameters, measure_memory


def test_flops_are_two_per_multiplication():
    net = nn.Conv2d(3, 5, 3, bias=False)
    assert count_flops(lambda: net(torch.zeros(1, 3, 10, 12))) == 2 * (3 * 3 * 3) * 5 * 8 * 10


def test_activations_are_what_layers_with_weights_put_out():
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten())
    head, images = nn.Linear(5 * 8 * 10, 7), torch.zeros(2, 3, 10, 12)
    with torch.inference_mode():
        count = count_activations(lambda: head(net(images)))
    assert count == 2 * 5 * 8 * 10 + 2 * 7


def test_a_published_count_comes_out():
    """Panoptic FPN, figure 5: a DeepLabv3 of ResNet-101-D8 on 2 megapixels, in 10^12 and 10^9."""
    with torch.device("meta"):
        net = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=19).eval()
        image = torch.empty(1, 3, 1024, 2048)
    with torch.no_grad():
        assert round(count_flops(lambda: net(image)) / 2e12, 1) == 1.9
        assert round(count_activations(lambda: net(image)) / 1e9, 1) == 2.0  # 1.9 in the figure


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
