"""Files of torch.export and TorchScript against the net they were made from."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fuse.errors import ConfigError, ModelError
from fuse.models.adapters.exported_semantic import _open
from fuse.models.adapters.net_file import NetDescription
from fuse.models.registry import create_semantic_model, needs_plugin_permission
from fuse.types import NamedImage

SPACE = {"label_space": "coco_super", "class_ids": [0, 13, 14, 15]}


class Net(nn.Module):
    def __init__(self, wrap=lambda logits: logits):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 4, stride=4)
        self.wrap = wrap

    def forward(self, images):
        return self.wrap(self.conv(images))


def save_export(net, path, dynamic=False):
    size = {2: 4 * torch.export.Dim("h", max=64), 3: 4 * torch.export.Dim("w", max=64)}
    shapes = {"images": size} if dynamic else None
    program = torch.export.export(net.eval(), (torch.zeros(1, 3, 32, 48),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return str(path)


def load(path, **options):
    return create_semantic_model("exported", "cpu", {"weights": path, **SPACE, **options})


def make_image(height, width):
    rng = np.random.default_rng(0)
    return NamedImage(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def answer_by_hand(image):
    pixels = torch.from_numpy(image.pixels).permute(2, 0, 1) / 255
    with torch.inference_mode():
        return Net().conv(pixels[None] * 2 - 1)[0].numpy()


NORMALISED = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    "wrap",
    [lambda x: x, lambda x: {"aux": x[:, :1], "out": x}, lambda x: (x, x[:, :1])],
    ids=["tensor", "dict", "tuple"],
)
def test_an_export_of_one_size(tmp_path, wrap):
    model = load(save_export(Net(wrap), tmp_path / "net.pt2"), **NORMALISED)
    image = make_image(32, 48)
    (semantic,) = model.predict([image])
    np.testing.assert_allclose(semantic.logits, answer_by_hand(image), atol=2e-3)
    (other,) = model.predict([make_image(50, 50)])  # stretched to the one size it takes
    assert other.logits.shape == (4, 8, 12)


def test_an_entry_of_a_dict_by_its_name(tmp_path):
    path = save_export(Net(lambda x: {"aux": x[:, :1], "seg": x}), tmp_path / "net.pt2")
    image = make_image(32, 48)
    (semantic,) = load(path, output="seg", **NORMALISED).predict([image])
    np.testing.assert_allclose(semantic.logits, answer_by_hand(image), atol=2e-3)
    with pytest.raises(ModelError, match="it returns no entry 'mask'"):
        load(path, output="mask")
    with pytest.raises(ConfigError, match="leave out input"):
        load(path, input="images")


def test_tensors_that_a_graph_makes_go_to_the_device_too(tmp_path):
    def add_rows(x):
        return x + torch.arange(x.shape[2], device=x.device)[:, None]

    path = save_export(Net(add_rows), tmp_path / "net.pt2")
    net = _open(Path(path), "meta", NetDescription())
    assert net.run(torch.zeros(1, 3, 32, 48, device="meta")).device.type == "meta"


def test_an_export_of_any_size_with_a_toml_beside_it(tmp_path):
    path = save_export(Net(), tmp_path / "net.pt2", dynamic=True)
    (tmp_path / "net.toml").write_text("mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\ndivisor = 4")
    image = make_image(60, 40)
    with pytest.raises(ModelError, match="does not run on an image 512 wide, 512 high"):
        load(path)
    (semantic,) = load(path, min_size=40).predict([image])
    np.testing.assert_allclose(semantic.logits, answer_by_hand(image), atol=2e-3)


def test_torchscript(tmp_path):
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        torch.jit.trace(Net().eval(), torch.zeros(1, 3, 32, 48)).save(tmp_path / "net.pt")
    image = make_image(32, 48)
    (semantic,) = load(str(tmp_path / "net.pt"), **NORMALISED).predict([image])
    np.testing.assert_allclose(semantic.logits, answer_by_hand(image), atol=2e-3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 3, 8, 8), "takes 2 images at a time"), ((1, 4, 8, 8), "takes images of 4 channels")],
)
def test_an_input_that_is_not_one_colour_image_is_named(tmp_path, shape, message):
    program = torch.export.export(torch.nn.Identity(), (torch.zeros(shape),))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(ModelError, match=f"net.pt2: {message}"):
        load(str(tmp_path / "net.pt2"))


def test_what_does_not_fit_is_named(tmp_path):
    path = save_export(Net(), tmp_path / "net.pt2")
    with pytest.raises(ConfigError, match="has 4 classes, but class_ids has 1"):
        load(path, class_ids=[0])
    with pytest.raises(
        ConfigError, match="images 48 wide, 32 high, but size says 64 wide, 64 high"
    ):
        load(path, size=[64, 64])
    argmax = save_export(Net(lambda x: x.argmax(1)), tmp_path / "argmax.pt2")
    with pytest.raises(ModelError, match=r"got \(1, 8, 12\) torch.int64; .* cut before it"):
        load(argmax)
    for name in ("none.pt2", "none.pt"):
        (tmp_path / name).write_bytes(b"no net")
        with pytest.raises(ModelError, match=f"{name}: no file of torch.export or TorchScript"):
            load(str(tmp_path / name))
    torch.save(Net().state_dict(), tmp_path / "state.pth")
    with pytest.raises(ModelError, match=r"state\.pth: holds no program .* a state dict goes to"):
        load(str(tmp_path / "state.pth"))


def test_a_file_that_is_a_program_needs_permission():
    assert needs_plugin_permission("exported")
    assert not needs_plugin_permission("onnx")
