"""Proposals and suppression with the bits of torchvision."""

import copy

import pytest
import torch
from torchvision import ops
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from fuse.models.proposals import RegionProposer, suppress_per_group

CHANNELS = 8
SIZES = [(150, 190), (160, 185)]


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def make_boxes(count, generator, *, rounded):
    corners = torch.rand((count, 2), generator=generator) * 100
    boxes = torch.cat((corners, corners + torch.rand((count, 2), generator=generator) * 60), dim=1)
    return boxes.round() if rounded else boxes


@pytest.mark.parametrize("count", [0, 1, 300, 1000, 1001, 2500])
@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_suppression_as_torchvision_has_it(count, rounded, threshold):
    generator = torch.Generator().manual_seed(count)
    boxes = make_boxes(count, generator, rounded=rounded)
    scores = torch.rand(count, generator=generator)
    groups = torch.randint(0, 4, (count,), generator=generator)
    wanted = ops.batched_nms(boxes, scores, groups, threshold)
    assert torch.equal(suppress_per_group(boxes, scores, groups, threshold), wanted)


def test_other_formats_are_torchvision_s():
    boxes = make_boxes(200, torch.Generator().manual_seed(1), rounded=False).double()
    scores, groups = torch.linspace(1, 0, 200).double(), torch.zeros(200, dtype=torch.int64)
    wanted = ops.batched_nms(boxes, scores, groups, 0.5)
    assert torch.equal(suppress_per_group(boxes, scores, groups, 0.5), wanted)


def make_rpn(before, after):
    torch.manual_seed(3)
    head = RPNHead(CHANNELS, 3)
    for layer in (head.cls_logits, head.bbox_pred):
        layer.weight *= 60  # so that boxes lie all over, some beyond the image
    limits = [{"training": count, "testing": count} for count in (before, after)]
    anchors = AnchorGenerator(((16,), (32,), (64,)), ((0.5, 1.0, 2.0),) * 3)
    rpn = RegionProposalNetwork(anchors, head, 0.7, 0.3, 256, 0.5, *limits, 0.7, 0.01)
    return rpn.eval()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("limits", [(600, 100), (200, 1000), (20, 10)], ids=str)
def test_proposals_as_torchvision_has_them(limits, memory_format):
    rpn = make_rpn(*limits)
    generator = torch.Generator().manual_seed(4)
    features = {
        str(level): torch.randn(2, CHANNELS, 40 >> level, 48 >> level, generator=generator)
        for level in range(3)
    }
    features = {k: v.contiguous(memory_format=memory_format) for k, v in features.items()}
    images = ImageList(torch.zeros(2, 3, 160, 192), SIZES)
    wanted, _losses = rpn(images, features)
    found, losses = RegionProposer(copy.deepcopy(rpn))(images, features)
    assert losses == {}
    assert [len(boxes) for boxes in found] == [len(boxes) for boxes in wanted]
    for boxes, proposals in zip(found, wanted, strict=True):
        assert len(proposals) > 5
        assert torch.equal(boxes, proposals)
