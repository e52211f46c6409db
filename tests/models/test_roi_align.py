"""Regions are pooled with the bits of torchvision's own kernel."""

import platform
from types import MappingProxyType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import MultiScaleRoIAlign, roi_align

from fuse.models.roi_align import RegionPooler, pool_regions

# On other processors compilers join a product and a sum in one rounding.
ROUNDING = (
    MappingProxyType({"rtol": 0, "atol": 0})
    if platform.machine().lower() in ("x86_64", "amd64")
    else MappingProxyType({"rtol": 1e-5, "atol": 1e-5})
)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def make_regions(count, images, side, generator):
    """Boxes of all sizes, some beyond the image, some smaller than a cell, some of one point."""
    corners = torch.rand((count, 2, 2), generator=generator) * side * 1.8 - side * 0.4
    boxes = torch.cat((corners.amin(dim=1), corners.amax(dim=1)), dim=1)
    small = torch.rand((count, 2), generator=generator) * 3
    boxes[::3, 2:] = boxes[::3, :2] + small[::3]
    boxes[:1, 2:] = boxes[:1, :2]
    numbers = torch.randint(0, images, (count, 1), generator=generator)
    return torch.cat((numbers, boxes), dim=1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 30), st.integers(1, 30)),
    scale=st.sampled_from([1.0, 0.25, 1 / 3, 1 / 32]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    samples=st.sampled_from([0, 1, 2, 3]),
    aligned=st.booleans(),
    is_channels_last=st.booleans(),
)
def test_one_level(seed, shape, scale, size, samples, aligned, is_channels_last):
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randn(shape, generator=generator)
    if is_channels_last:
        cells = cells.contiguous(memory_format=torch.channels_last)
    regions = make_regions(12, shape[0], max(shape[2:]) / scale, generator)
    wanted = roi_align(cells, regions, size, scale, samples, aligned)
    found = pool_regions(
        [cells],
        regions,
        torch.zeros(len(regions), dtype=torch.int64),
        [scale],
        size,
        samples=samples,
        aligned=aligned,
    )
    torch.testing.assert_close(found, wanted, **ROUNDING)


def make_levels(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn((2, 8, 96 >> level, 64 >> level), generator=generator).to(dtype)
        for level, name in enumerate(("0", "1", "2", "3", "pool"))
    }


@pytest.mark.parametrize("names", [("0", "1", "2", "3"), ("1",)], ids=str)
@pytest.mark.parametrize("samples", [2, -1])
def test_a_pyramid_as_torchvision_has_it(names, samples):
    generator = torch.Generator().manual_seed(2)
    features, sizes = make_levels(), [(384, 250), (380, 256)]
    boxes = [make_regions(count, 1, 384, generator)[:, 1:] for count in (60, 3)]
    pooler = MultiScaleRoIAlign(list(names), 7, samples)
    wanted = pooler(features, boxes, sizes)
    found = RegionPooler(MultiScaleRoIAlign(list(names), 7, samples))(features, boxes, sizes)
    assert wanted.abs().sum() > 0
    torch.testing.assert_close(found, wanted, **ROUNDING)


def test_no_boxes_pool_to_nothing():
    pooler = RegionPooler(MultiScaleRoIAlign(["0", "1"], 7, 2))
    pooled = pooler(make_levels(), [torch.zeros(0, 4), torch.zeros(0, 4)], [(384, 256)] * 2)
    assert pooled.shape == (0, 8, 7, 7)


def test_boxes_that_are_no_numbers_are_nothing():
    regions = torch.tensor([[0, float("nan"), 1, 5, 5], [0, 1, 1, 5, 5]])
    cells, levels = torch.ones(1, 3, 8, 8), torch.zeros(2, dtype=torch.int64)
    pooled = pool_regions([cells], regions, levels, [1.0], (2, 2), samples=2, aligned=True)
    assert (pooled[0] == 0).all()
    assert (pooled[1] == 1).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_what_learns_and_other_formats_are_torchvision_s(dtype):
    with torch.inference_mode(mode=False):
        cells = torch.randn(1, 3, 9, 9, dtype=dtype, requires_grad=True)
        regions = torch.tensor([[0, 1, 1, 5, 6.5]], dtype=dtype)
        level = torch.zeros(1, dtype=torch.int64)
        pooled = pool_regions([cells], regions, level, [1.0], (2, 2), samples=2, aligned=True)
        pooled.sum().backward()
    assert torch.equal(pooled, roi_align(cells, regions, (2, 2), 1.0, 2, aligned=True))
    assert cells.grad.sum() > 0
