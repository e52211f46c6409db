"""The adapter of torchvision's semantic nets against the library called by hand."""

import numpy as np
import pytest
import torch
from torchvision.models import segmentation

from fuse.errors import ConfigError, ModelError, ModelNotFoundError
from fuse.labels import load_space
from fuse.models.adapters.torchvision_semantic import load_torchvision_semantic
from fuse.models.weights.sources import describe_named
from fuse.ops.argmax import upsample_argmax
from fuse.types import NamedImage

LRASPP = "lraspp_mobilenet_v3_large"
LRASPP_FILE = "lraspp_mobilenet_v3_large-d234d4ea.pth"
WEIGHTS = segmentation.LRASPP_MobileNet_V3_Large_Weights.DEFAULT


def make_image(height, width, seed=0):
    """Patches of colour, so that a random net sees different things in different places."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return NamedImage(patches.repeat(16, 0).repeat(16, 1)[:height, :width])


def make_net(architecture, classes, **arguments):
    torch.manual_seed(0)
    net = getattr(segmentation, architecture)(
        weights=None, weights_backbone=None, num_classes=classes, **arguments
    )
    return net.eval()


def answer_by_hand(net, image, size=None):
    """float32 (C, H, W) over the image, through torchvision's own preprocessing and forward."""
    pixels = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)
    with torch.inference_mode():
        return net(WEIGHTS.transforms(resize_size=size)(pixels)[None])["out"][0].numpy()


def check_equal(semantic, by_hand, ids):
    label_map = upsample_argmax(
        semantic.logits, semantic.size, ids, scale=semantic.scale, offset=semantic.offset
    )
    top = np.sort(by_hand, axis=0)
    clear = top[-1] - top[-2] > 4e-3 * abs(by_hand).max()
    assert clear.mean() > 0.5
    assert len(np.unique(by_hand.argmax(0)[clear])) > 1
    assert (label_map == ids[by_hand.argmax(0)])[clear].all()


@pytest.mark.slow
def test_a_file_answers_as_torchvision_does(tmp_path):
    """Published files hold an auxiliary head; it is read over."""
    net, image = make_net("deeplabv3_resnet50", 5, aux_loss=True), make_image(48, 70)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    model = load_torchvision_semantic(
        "cpu",
        architecture="deeplabv3_resnet50",
        weights=str(tmp_path / "net.pth"),
        label_space="coco_super",
        class_ids=[0, 13, 14, 15, 16],
        min_size=48,
        precision="float32",
    )
    (semantic,) = model.predict([image])
    check_equal(semantic, answer_by_hand(net, image), model.category_ids)


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_weights_by_name_come_from_torch_home_and_speak_voc(torch_home):
    checkpoints = torch_home / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    net = make_net(LRASPP, 21)
    torch.save(net.state_dict(), checkpoints / LRASPP_FILE)
    options = {"architecture": LRASPP, "weights": "COCO_WITH_VOC_LABELS_V1"}
    assert describe_named("torchvision", options).path == checkpoints / LRASPP_FILE
    assert describe_named("torchvision", options).is_present
    model = load_torchvision_semantic("cpu", precision="float32", **options)
    assert model.label_space == load_space("voc")
    assert model.category_ids.tolist() == [21, *range(1, 21)]
    placed = {**options, "weights": str(checkpoints / LRASPP_FILE)}
    by_path = load_torchvision_semantic("cpu", precision="float32", **placed)
    assert by_path.label_space == load_space("voc")

    image = make_image(260, 300)  # resized to 520 on its short side, as torchvision does
    (semantic,) = model.predict([image])
    assert semantic.logits.shape == (21, 65, 75)
    pixels = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)
    with torch.inference_mode():
        inputs = WEIGHTS.transforms()(pixels)[None]
        features = net.classifier(net.backbone(inputs))[0].numpy()
    np.testing.assert_allclose(semantic.logits, features, atol=4e-3 * abs(features).max())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"architecture": "fcn"},
            ConfigError,
            "'fcn' is not known.*fcn_resnet50",
        ),
        ({"architecture": "fcn_resnet50"}, ModelError, "weights of another net"),
        ({}, ConfigError, "what its 4 classes are; set label_space"),
        ({"weights": "COCO"}, ModelNotFoundError, "known are .*COCO_WITH_VOC_LABELS_V1"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, options, error, message):
    torch.save(make_net(LRASPP, 4).state_dict(), tmp_path / "net.pth")
    given = {"architecture": LRASPP, "weights": str(tmp_path / "net.pth")}
    with pytest.raises(error, match=message):
        load_torchvision_semantic("cpu", **given | options)
