"""Devices, number formats, and batches of one size."""

import numpy as np
import pytest
import torch
from torch import nn

from fuse.errors import ConfigError
from fuse.models import runtime
from fuse.types import NamedImage


def image_of(height, width):
    return NamedImage(np.zeros((height, width, 3), dtype=np.uint8))


def test_auto_is_a_device_of_this_machine():
    assert runtime.choose_device("cpu") == runtime.choose_device("cpu:0") == "cpu"
    assert runtime.choose_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cpu:x", "meta"])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(
        ConfigError, match=f"device '{device}' cannot be used; this machine has cpu"
    ):
        runtime.choose_device(device)


@pytest.mark.parametrize(
    ("precision", "fast", "expected"),
    [
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_precision_on_a_cpu(monkeypatch, precision, fast, expected):
    monkeypatch.setattr(runtime, "has_fast_bfloat16", lambda: fast)
    with runtime.autocast("cpu", precision):
        assert nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2)).dtype == expected


def test_an_unknown_precision_is_named():
    with pytest.raises(ConfigError, match="precision 'half' is none of auto, float32"):
        runtime.autocast("cpu", "half")


def test_a_fast_module_answers_in_float32():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, images):
            return {"0": self.conv(images), "seen": torch.zeros(1, dtype=self.conv(images).dtype)}

    net = Pyramid()
    exact = net.conv(torch.ones(1, 1, 2, 2))
    answer = runtime.FastModule(net, "cpu", "bfloat16")(torch.ones(1, 1, 2, 2))
    assert {name: value.dtype for name, value in answer.items()} == {
        "0": torch.float32,
        "seen": torch.float32,
    }
    assert answer["0"].tolist() != exact.tolist()  # so it did run in bfloat16
    torch.testing.assert_close(answer["0"], exact, atol=2e-2, rtol=2e-2)


def test_weights_cast_ahead_give_the_bits_of_autocast_alone():
    class Standardised(nn.Conv2d):  # as timm's: its weights must stay what they are
        def forward(self, images):
            weight = self.weight / self.weight.norm()
            return nn.functional.conv2d(images, weight, self.bias)

    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), Standardised(8, 8, 1)),
        *(nn.ConvTranspose2d(8, 4, 2), nn.Flatten(), nn.Linear(4 * 7 * 7, 5)),
    ).eval()
    images = torch.rand(2, 3, 8, 8)
    with torch.inference_mode(), runtime.autocast("cpu", "bfloat16"):
        expected = net(images)
    runtime.cast_layers(net, "cpu", "bfloat16")
    with torch.inference_mode(), runtime.autocast("cpu", "bfloat16"):
        assert torch.equal(net(images), expected)
    cast = [module.weight.dtype == torch.bfloat16 for module in net if hasattr(module, "weight")]
    assert cast == [True, False, False, True, True]


def test_a_placed_net_does_not_learn():
    net = runtime.place(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "cpu")
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_images_of_one_size_share_a_call_and_answers_keep_their_order():
    images = [image_of(4, 6), image_of(6, 4), image_of(4, 6), image_of(5, 5)]
    calls = []

    def predict(batch):
        calls.append([image.size for image in batch])
        return [images.index(image) for image in batch]

    assert runtime.predict_by_size(images, predict) == [0, 1, 2, 3]
    assert calls == [[(4, 6), (4, 6)], [(6, 4)], [(5, 5)]]
    assert runtime.predict_by_size([], predict) == []


def test_a_image_becomes_channels_of_0_to_1():
    image = np.zeros((2, 3, 3), dtype=np.uint8)
    image[1, 2] = (255, 51, 0)
    tensor = runtime.to_tensor(image, "cpu")
    assert tensor.shape == (3, 2, 3)
    assert tensor[:, 1, 2].tolist() == pytest.approx([1, 0.2, 0])
    assert image[1, 2].tolist() == [255, 51, 0]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_images_are_normalised_with_the_bits_of_a_number_per_channel(memory_format):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    images = torch.rand(2, 3, 17, 13, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=memory_format)
    center, spread = (torch.tensor(values)[:, None, None] for values in (mean, std))
    wanted = (images - center) / spread
    assert torch.equal(runtime.normalize_(images[0].clone(), mean, std), wanted[0])
    assert runtime.normalize_(images, mean, std) is images
    assert torch.equal(images, wanted)
