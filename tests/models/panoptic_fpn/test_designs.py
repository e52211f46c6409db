"""Small Panoptic FPNs go through the same module as detectron2's."""

import json

import numpy as np
import pytest
import torch
from panoptic_fpn_weights import make_image
from safetensors.torch import save_file

from fuse.models.panoptic_fpn.adapters import PanopticFpnInstances, PanopticFpnSemantic
from fuse.models.panoptic_fpn.designs import DESIGNS
from fuse.models.panoptic_fpn.net import PanopticFpnNet

HEADER = {"label_space": "coco_super", "min_size": 64, "max_size": 96}


@pytest.fixture(
    scope="module",
    params=["tiny_panoptic", pytest.param("tiny_panoptic_large", marks=pytest.mark.slow)],
)
def weights(request, tmp_path_factory):
    torch.manual_seed(0)
    net = PanopticFpnNet(DESIGNS[request.param], stuff_classes=16, thing_classes=12)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    state = {key: value.half() for key, value in net.state_dict().items()}
    header = json.dumps({**HEADER, "architecture": request.param})
    save_file(state, path, metadata={"fuse": header})
    return str(path)


def test_a_small_net_answers_in_its_own_label_space(weights):
    semantic = PanopticFpnSemantic("cpu", weights=weights, precision="float32")
    instances = PanopticFpnInstances("cpu", weights=weights, precision="float32")
    assert semantic.net is instances.net
    assert semantic.label_space.name == instances.label_space.name == "coco_super"
    assert semantic.category_ids.tolist() == [0, *range(13, 28)]
    image = make_image(128, 160, 1)
    (stuff,) = semantic.predict([image])
    assert stuff.logits.shape[0] == 16
    assert stuff.scale == (0.125, 0.125)  # a short side of 64 pixels at stride 4
    (found,) = instances.predict([image], score_threshold=0.0)
    assert set(found.category_ids.tolist()) <= set(range(1, 13))
    assert found.size == image.size


def test_small_nets_read_red_first(weights):
    semantic = PanopticFpnSemantic("cpu", weights=weights, precision="float32")
    np.testing.assert_allclose(
        semantic.net.pixel_mean.flatten(), [123.675, 116.28, 103.53], atol=0.1
    )
    assert semantic.net.design.reads_rgb
