"""The adapter of segmentation-models-pytorch against the library called by hand."""

import json

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file

from fuse.errors import ConfigError, FuseWarning, ModelError
from fuse.models.adapters.semantic_net import IMAGENET_MEAN, IMAGENET_STD
from fuse.models.adapters.smp_semantic import load_smp_semantic
from fuse.models.weights.sources import describe_named
from fuse.ops.argmax import upsample_argmax
from fuse.types import NamedImage

CLASSES = 5
IDS = [13, 14, 0, 16, 17]
SPACE = {"label_space": "coco_super", "class_ids": IDS}
TINY_VIT = "tu-vit_tiny_patch16_224"
NETS = {
    "FPN": ("FPN", "resnet18", {}),
    "Unet": ("Unet", "resnet18", {}),
    "DeepLabV3Plus": ("DeepLabV3Plus", "resnet18", {}),
    "UPerNet": ("UPerNet", "resnet18", {"decoder_channels": 32}),
    "Segformer": ("Segformer", "mit_b0", {}),
    "PSPNet": ("PSPNet", "resnet18", {}),
    "DPT": (
        "DPT",
        TINY_VIT,
        {
            "dynamic_img_size": True,
            "decoder_intermediate_channels": [16, 16, 16, 16],
            "decoder_fusion_channels": 16,
        },
    ),
}


def make_net(name):
    architecture, encoder, arguments = NETS[name]
    torch.manual_seed(0)
    net = smp.create_model(
        architecture, encoder_name=encoder, encoder_weights=None, classes=CLASSES, **arguments
    )
    return net.eval()


def make_image(height, width, seed=0):
    """Patches of colour, so that a random net sees different things in different places."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return NamedImage(patches.repeat(16, 0).repeat(16, 1)[:height, :width])


def answer_by_hand(net, image, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    """float32 (C, H, W): the library's own forward on the image, padded to strides of 32."""
    height, width = image.size
    pixels = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1) / 255
    pixels = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    padded = F.pad(pixels, (0, -width % 32, 0, -height % 32))
    with torch.inference_mode():
        return net(padded[None])[0, :, :height, :width].numpy()


def check_equal(semantic, by_hand):
    """The label map is the argmax of the library's logits, but where float16 cannot tell."""
    ids = np.array(IDS, dtype=np.int32)
    label_map = upsample_argmax(
        semantic.logits, semantic.size, ids, scale=semantic.scale, offset=semantic.offset
    )
    assert label_map.shape == by_hand.shape[1:]
    top = np.sort(by_hand, axis=0)
    clear = top[-1] - top[-2] > 4e-3 * abs(by_hand).max()
    assert clear.mean() > 0.5
    assert len(np.unique(by_hand.argmax(0)[clear])) > 1
    assert (label_map == ids[by_hand.argmax(0)])[clear].all()


@pytest.mark.parametrize(
    "name",
    [name if name == "Unet" else pytest.param(name, marks=pytest.mark.slow) for name in NETS],
)
def test_answers_as_the_library_does(name, tmp_path):
    net, image = make_net(name), make_image(72, 90)
    architecture, encoder, arguments = NETS[name]
    torch.save({"state_dict": net.state_dict()}, tmp_path / "net.pth")
    model = load_smp_semantic(
        "cpu",
        weights=str(tmp_path / "net.pth"),
        architecture=architecture,
        encoder=encoder,
        arguments=arguments,
        min_size=72,
        precision="float32",
        **SPACE,
    )
    (semantic,) = model.predict([image])
    by_hand = answer_by_hand(net, image)
    check_equal(semantic, by_hand)
    stride = by_hand.shape[1] / semantic.logits.shape[1]
    assert name == "Unet" or stride > 1.5  # logits leave before the upsampling


@pytest.fixture(scope="module")
def fpn():
    return make_net("FPN")


@pytest.fixture(scope="module")
def fpn_file(fpn, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "fpn.safetensors"
    save_file(fpn.state_dict(), path)
    return str(path)


def load_fpn(fpn_file, **options):
    given = {"architecture": "fpn", "encoder": "resnet18", "precision": "float32", **SPACE}
    return load_smp_semantic("cpu", weights=fpn_file, **given | options)


@pytest.mark.slow
def test_a_batch_of_mixed_sizes_answers_as_one_by_one(fpn_file):
    model = load_fpn(fpn_file, min_size=64)
    images = [make_image(72, 90, 1), make_image(100, 64, 2), make_image(72, 90, 3)]
    for image, together in zip(images, model.predict(images), strict=True):
        (alone,) = model.predict([image])
        assert together.size == image.size
        assert (together.scale, together.offset) == (alone.scale, alone.offset)
        np.testing.assert_allclose(together.logits, alone.logits, atol=1e-2)


def test_a_fixed_size_stretches_the_image(fpn, fpn_file):
    image = make_image(72, 90)
    (semantic,) = load_fpn(fpn_file, size=[64, 128]).predict([image])
    pixels = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1) / 255
    stretched = F.interpolate(pixels[None], (64, 128), mode="bilinear", align_corners=False)[0]
    with torch.inference_mode():
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        inputs = (stretched - mean[:, None, None]) / std[:, None, None]
        features = fpn.segmentation_head[0](fpn.decoder(fpn.encoder(inputs[None])))[0]
    np.testing.assert_allclose(semantic.logits, features, atol=4e-3 * float(features.abs().max()))
    # align_corners is what smp's own head does: 15 steps of cells over 63 steps of pixels.
    assert semantic.scale[0] == pytest.approx(64 / 72 * 15 / 63)


def test_align_corners_can_be_that_of_other_training_code(fpn_file):
    (semantic,) = load_fpn(fpn_file, size=[64, 64], align_corners=False).predict(
        [make_image(64, 64)]
    )
    assert semantic.scale == (0.25, 0.25)
    assert semantic.offset == (-0.375, -0.375)


TRANSFORM = {
    "__version__": "1.4.18",
    "transform": {
        "__class_fullname__": "Compose",
        "p": 1.0,
        "transforms": [
            {"__class_fullname__": "Resize", "p": 1.0, "height": 64, "width": 80},
            {
                "__class_fullname__": "Normalize",
                "p": 1.0,
                "mean": [127.5, 127.5, 127.5],
                "std": [63.75, 127.5, 127.5],
                "max_pixel_value": 1.0,
            },
        ],
    },
}


@pytest.fixture
def folder(tmp_path):
    """A net as ``save_pretrained`` leaves it, with all that a checkpoint of the hub may have."""
    torch.manual_seed(0)
    net = smp.Segformer(
        "mit_b0",
        encoder_weights=None,
        classes=CLASSES,
        activation="softmax2d",
        decoder_segmentation_channels=64,
        aux_params={"classes": 3},
    )
    net.eval().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["encoder_weights"] = "imagenet"  # as it was trained; nothing may be downloaded for it
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "albumentations_config_eval.json").write_text(json.dumps(TRANSFORM))
    return tmp_path, net


@pytest.mark.slow
def test_a_folder_of_the_hub_names_its_net_and_preprocessing(folder):
    path, net = folder
    model = load_smp_semantic("cpu", weights=str(path), precision="float32", **SPACE)
    net.segmentation_head[2], net.classification_head = torch.nn.Identity(), None
    image = make_image(64, 96)
    (semantic,) = model.predict([image])
    check_equal(semantic, answer_by_hand(net, image, (0.5, 0.5, 0.5), (0.25, 0.5, 0.5)))
    assert len(model.weights_hash) == 64
    needed = describe_named("smp", {"weights": str(path)})
    assert needed.is_present
    assert needed.path == path


def test_a_folder_that_is_none_of_smp_is_named(folder):
    path, _ = folder
    (path / "albumentations_config_eval.json").write_text("[]")
    with pytest.raises(ModelError, match="not a pipeline of albumentations"):
        load_smp_semantic("cpu", weights=str(path), **SPACE)
    (path / "config.json").write_text('{"architectures": ["ViT"]}')
    with pytest.raises(ModelError, match="names no _model_class"):
        load_smp_semantic("cpu", weights=str(path), **SPACE)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param(
            {"encoder": "resnet34"},
            ModelError,
            r"fpn.safetensors: weights of another net; 'encoder\.layer1\.2\..*' is missing",
            id="weights of another net",
        ),
        pytest.param(
            {"encoder": None}, ConfigError, "set architecture and encoder", id="no encoder"
        ),
        pytest.param(
            {"architecture": "fnp"},
            ConfigError,
            "no architecture 'fnp'; .*fpn",
            id="no architecture",
        ),
        pytest.param({"encoder": "resnet19"}, ConfigError, "'resnet19'; .*resnet1", id="encoder"),
        pytest.param(
            {"encoder": "tu-resnet_18"}, ConfigError, "nearest: .*tu-resnet18", id="timm encoder"
        ),
        pytest.param(
            {"arguments": {"decoder_merge_policy": "mean"}}, ConfigError, "merge", id="argument"
        ),
        pytest.param(
            {"label_space": "coco_super", "class_ids": None},
            ConfigError,
            "has 5 classes, but label space 'coco_super' has 27",
            id="other space",
        ),
        pytest.param({"label_space": None}, ConfigError, "set label_space", id="no space"),
        pytest.param({"precision": "int8"}, ConfigError, "precision 'int8'", id="precision"),
    ],
)
def test_what_does_not_fit_is_named(fpn_file, options, error, message):
    with pytest.raises(error, match=message):
        load_fpn(fpn_file, **options)


@pytest.mark.slow
def test_a_transformer_of_one_size_is_given_that(tmp_path):
    architecture, encoder, arguments = NETS["DPT"]
    arguments = {k: v for k, v in arguments.items() if k != "dynamic_img_size"}
    net = smp.create_model(
        architecture, encoder_name=encoder, encoder_weights=None, classes=CLASSES, **arguments
    )
    save_file(net.state_dict(), tmp_path / "dpt.safetensors")
    options = {"architecture": architecture, "encoder": encoder, "arguments": arguments, **SPACE}
    with pytest.warns(FuseWarning, match="takes images 224 wide, 224 high only, .* stretched"):
        model = load_smp_semantic("cpu", weights=str(tmp_path / "dpt.safetensors"), **options)
    (semantic,) = model.predict([make_image(50, 80)])
    assert semantic.size == (50, 80)


def test_the_shipped_weights_load():
    model = load_smp_semantic("cpu", weights="tiny_semantic", precision="float32")
    assert model.label_space.name == "coco_super"
    assert model.category_ids.tolist() == [0, *range(13, 28)]
    (semantic,) = model.predict([make_image(120, 160)])
    assert semantic.logits.shape == (16, 96, 128)
    assert semantic.scale[0] == pytest.approx(0.8)
    assert semantic.offset[0] == pytest.approx(0.8 / 2 - 0.5)  # half-pixel centres
    assert describe_named("smp", {"weights": "tiny_semantic"}).is_present
    assert load_file(describe_named("smp", {"weights": "tiny_semantic"}).path)
