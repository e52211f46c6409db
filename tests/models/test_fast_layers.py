"""Faster layers answer with the bits of the layers whose place they take."""

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from segmentation_models_pytorch.decoders.fpn.decoder import MergeBlock
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fuse.models.cost import count_activations, count_flops
from fuse.models.fast_layers import HAS_BFLOAT16, AddedLevels, ReLU6Conv2d

# Channels in and out, kernel, stride, groups: the kinds of layers of an EfficientNet-Lite.
KINDS = [(3, 32, 3, 2, 1), (16, 96, 1, 1, 1), (96, 96, 3, 1, 96), (96, 96, 5, 2, 96)]
DTYPES = [torch.float32, torch.bfloat16]


def make_conv(channels, answers, kernel, stride, groups):
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, answers, kernel, stride, kernel // 2, groups=groups)
    with torch.no_grad():
        conv.weight *= 8  # so that many answers lie beyond both limits
    return conv.to(memory_format=torch.channels_last).requires_grad_(requires_grad=False)


def make_inputs(channels, dtype=torch.float32):
    torch.manual_seed(1)
    inputs = torch.randn(2, channels, 33, 48).to(dtype)
    return inputs.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_convolution_with_its_relu6_has_the_bits_of_the_two(kind, dtype):
    conv, inputs = make_conv(*kind).to(dtype), make_inputs(kind[0], dtype)
    layer = ReLU6Conv2d.from_conv(conv)
    with torch.inference_mode():
        wanted, found = F.relu6(conv(inputs)), layer(inputs)
    assert (wanted == 0).any()
    assert (wanted == 6).any()
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


class RecordingMode(TorchDispatchMode):
    """Notes the operators that are called."""

    def __init__(self):
        super().__init__()
        self.called = set()

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        self.called.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.skipif(not HAS_BFLOAT16, reason="oneDNN has no bfloat16 here")
def test_it_takes_one_step_in_bfloat16_alone():
    called = {}
    for dtype in DTYPES:
        layer = ReLU6Conv2d.from_conv(make_conv(*KINDS[1]).to(dtype))
        inputs = make_inputs(16, dtype)
        with torch.inference_mode(), RecordingMode() as mode:
            layer(inputs)
        called[dtype] = mode.called
    assert "mkldnn._convolution_pointwise.default" in called[torch.bfloat16]
    assert "aten.relu6.default" not in called[torch.bfloat16]
    assert "aten.relu6.default" in called[torch.float32]


def test_it_casts_its_input_as_autocast_does():
    conv, inputs = make_conv(*KINDS[0]).to(torch.bfloat16), make_inputs(3)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        wanted = F.relu6(conv(inputs))
        assert torch.equal(ReLU6Conv2d.from_conv(conv)(inputs), wanted)


def test_it_learns():
    conv = make_conv(*KINDS[1]).requires_grad_()
    layer, inputs = ReLU6Conv2d.from_conv(copy.deepcopy(conv)), make_inputs(16)
    for module in (nn.Sequential(conv, nn.ReLU6()), layer):
        module(inputs).square().sum().backward()
    assert torch.equal(layer.weight.grad, conv.weight.grad)
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*is deprecated:FutureWarning")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_traces_a_net_finds_layers_that_others_know(dtype):
    layer = ReLU6Conv2d.from_conv(make_conv(*KINDS[1]).to(dtype))
    inputs = make_inputs(16, dtype)
    with torch.no_grad():
        traced = torch.jit.trace(layer, inputs)
        exported = torch.export.export(layer, (inputs,))
    assert "mkldnn" not in str(traced.inlined_graph)
    assert "mkldnn" not in str(exported.graph)
    assert torch.equal(exported.module()(inputs), traced(inputs))


def test_it_counts_as_the_convolution():
    conv, inputs = make_conv(*KINDS[1]).to(torch.bfloat16), make_inputs(16, torch.bfloat16)
    layer = ReLU6Conv2d.from_conv(conv)
    for count in (count_flops, count_activations):
        with torch.inference_mode():
            assert count(lambda: layer(inputs)) == count(lambda: conv(inputs)) > 0


def test_paddings_that_onednn_lacks_stay():
    assert ReLU6Conv2d.can_be(nn.Conv2d(1, 1, 3, padding=1))
    for padding in ({"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}):
        assert not ReLU6Conv2d.can_be(nn.Conv2d(1, 1, 3, **padding))
    assert not ReLU6Conv2d.can_be(nn.Identity())


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("is_learning", [False, True])
def test_added_levels_have_the_bits_of_the_summed_stack(dtype, count, is_learning):
    torch.manual_seed(2)
    levels = [make_inputs(5, dtype) * 3**power for power in range(count)]
    before = [level.clone() for level in levels]
    with torch.set_grad_enabled(is_learning):
        found = AddedLevels()(levels)
    assert torch.equal(found, MergeBlock("add")(levels))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.dtype == dtype
    assert all(torch.equal(level, old) for level, old in zip(levels, before, strict=True))
