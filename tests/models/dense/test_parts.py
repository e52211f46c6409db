"""Dense parts on other runtimes answer as torch does, or are not taken."""

import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from fuse import NamedImage, Pipeline, read_image
from fuse.errors import FuseWarning, ModelError
from fuse.models.dense import (
    DensePart,
    DensePlan,
    expect_lanes,
    has_opened_runtime,
    parts,
    speed_up,
)
from fuse.models.dense.parts import ConvertedModule, _list_versions
from fuse.models.runtime import FastModule, count_threads

EXAMPLES = Path(__file__).parents[3] / "examples" / "images"
SHAPES = ((1, 3, 32, 48), (2, 3, 64, 32))
PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}
RUNTIMES = sorted(PACKAGES)


@pytest.fixture(autouse=True)
def cache_home(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def plan(runtime, *, is_asked=True):
    pytest.importorskip(PACKAGES[runtime])
    return DensePlan("cpu", runtime, "float32", is_asked)


class Levels(nn.Module):
    """Answers with tensors by name, as a backbone."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)

    def forward(self, images):
        fine = self.first(images).relu()
        coarse = self.second(fine)
        top = nn.functional.interpolate(coarse, size=fine.shape[-2:])
        return {"0": fine + top, "pool": coarse}


class Baked(nn.Module):
    """Has the size of its first input in it for good, once it is traced."""

    def forward(self, images):
        return images * float(images.shape[2])


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_converted_part_answers_as_torch_in_any_size(runtime):
    torch.manual_seed(0)
    net = Levels().eval().requires_grad_(False)
    converted = ConvertedModule(net, SHAPES, plan(runtime))
    for shape in (*SHAPES, (3, 3, 20, 28)):
        images = torch.randn(shape)
        answer, wanted = converted(images), net(images)
        assert list(answer) == list(wanted)
        for name, tensor in wanted.items():
            torch.testing.assert_close(answer[name], tensor, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_input_without_items_has_an_answer_without(runtime):
    converted = ConvertedModule(nn.Conv2d(3, 4, 1).eval(), SHAPES, plan(runtime))
    assert converted(torch.zeros(0, 3, 8, 8)).shape == (0, 4, 8, 8)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_process_has_used_a_runtime_once_it_converts_or_opens_a_net(runtime, monkeypatch):
    net = Levels().eval().requires_grad_(False)
    monkeypatch.setattr(parts, "_opened", set())
    assert not has_opened_runtime()
    ConvertedModule(net, SHAPES, plan(runtime))
    assert has_opened_runtime()
    monkeypatch.setattr(parts, "_opened", set())
    kept = ConvertedModule(net, SHAPES, plan(runtime))  # is on disk
    assert not has_opened_runtime()
    kept(torch.zeros(SHAPES[0]))
    assert has_opened_runtime()


@pytest.mark.parametrize(("expected", "lanes"), [(None, 4), (1, 1), (3, 3)])
def test_a_net_is_opened_for_the_lanes_that_are_expected(expected, lanes, monkeypatch):
    asked = []
    monkeypatch.setattr(parts, "_lanes", None)
    if expected:
        expect_lanes(expected)
    part = object.__new__(ConvertedModule)
    nn.Module.__init__(part)
    part._plan, part._folder, part._run = plan("onnx"), None, None
    part._opening, part._all_threads = threading.Lock(), 4 * count_threads()
    part._adapter = SimpleNamespace(open_net=lambda *arguments: asked.append(arguments))
    part._open()
    assert asked == [(None, "float32", count_threads(), lanes)]


@pytest.mark.slow
def test_a_part_whose_sizes_do_not_stay_open_is_refused_by_name():
    owner = nn.ModuleDict({"net": Baked()})
    parts = [DensePart(owner, "net", SHAPES)]
    with pytest.raises(ModelError, match=r"cannot take Baked \(answers .*; take runtime torch"):
        speed_up(parts, plan("openvino"))


@pytest.mark.slow
def test_by_itself_torch_stands_in_and_says_so():
    owner = nn.ModuleDict({"good": nn.Conv2d(3, 4, 1), "net": Baked()})
    parts = [DensePart(owner, "good", SHAPES), DensePart(owner, "net", SHAPES)]
    with pytest.warns(FuseWarning, match="torch runs the net"):
        assert speed_up(parts, plan("openvino", is_asked=False)).runtime == "torch"
    assert all(type(owner[name]) is FastModule for name in owner)


def test_an_operator_that_openvino_lacks_is_named():
    class Odd(nn.Module):
        def forward(self, images):
            return torch.special.bessel_j0(images)

    with pytest.raises(ModelError, match=r"it has no .*special_bessel_j0.*; take runtime torch"):
        speed_up([DensePart(nn.ModuleDict({"net": Odd()}), "net", SHAPES)], plan("openvino"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtimes", "precision"),
    [
        (("openvino", "openvino"), "float32"),
        (("openvino", "openvino"), "bfloat16"),
        (("onnx", "onnx"), "float32"),
    ],
)
def test_the_nets_of_tiny_agree_with_torch_float32(runtimes, precision):
    """As nearly as torch itself does in the same number format: in bfloat16 1 % of labels turn."""

    def load(runtimes, precision):
        settings = [f"{branch}.precision={precision}" for branch in ("semantic", "instance")]
        settings += map("{}.runtime={}".format, ("semantic", "instance"), runtimes)
        return Pipeline.load("tiny", settings, "cpu")

    def label(pipeline, raw):
        return pipeline.to_target(raw).label().label_map

    for runtime in {*runtimes} - {"torch"}:
        pytest.importorskip(PACKAGES[runtime])
    exact, rounded, other = (
        load(("torch", "torch"), "float32"),
        load(("torch", "torch"), precision),
        load(runtimes, precision),
    )
    turned = allowed = pixels = 0
    for path in sorted(EXAMPLES.iterdir())[:4]:
        image = NamedImage(read_image(path))
        wanted, by_torch, found = (p.predict([image])[0] for p in (exact, rounded, other))
        labels = label(exact, wanted)
        turned += (label(other, found) != labels).sum()
        allowed += (label(rounded, by_torch) != labels).sum()
        pixels += labels.size
        sure = wanted.instances.scores > 0.7
        assert len(found.instances) >= sure.sum()
        if precision == "float32":
            boxes = found.instances.boxes[: sure.sum()]
            np.testing.assert_allclose(boxes, wanted.instances.boxes[sure], atol=0.1)
    assert turned <= 1.5 * allowed + 1e-4 * pixels, (turned / pixels, allowed / pixels)


class Pooled(nn.Module):
    """Pools to grids that do not divide its input, as a pyramid of scenes does."""

    def __init__(self):
        super().__init__()
        self.pools = nn.ModuleList(map(nn.AdaptiveAvgPool2d, (1, 2, (3, 6), 5)))

    def forward(self, images):
        return {str(place): pool(images) for place, pool in enumerate(self.pools)}


def test_an_operator_that_onnx_lacks_is_named_and_nothing_printed(capfd):
    class Odd(nn.Module):
        def forward(self, images):
            return torch.special.bessel_j0(images)

    with pytest.raises(ModelError, match=r"it has no .*special_bessel_j0.*; take runtime torch"):
        speed_up([DensePart(nn.ModuleDict({"net": Odd()}), "net", SHAPES)], plan("onnx"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_pooling_that_onnx_lacks_is_done_by_matrices():
    converted = ConvertedModule(Pooled().eval(), SHAPES, plan("onnx"))
    for shape in (*SHAPES, (1, 3, 7, 11), (1, 3, 3, 4)):
        images = torch.randn(shape)
        for found, wanted in zip(
            converted(images).values(), Pooled()(images).values(), strict=True
        ):
            torch.testing.assert_close(found, wanted)


@pytest.mark.slow
def test_openvino_is_loaded_without_a_socket(tmp_path):
    """Its converter reports usage as soon as it is imported, unless that is off."""
    pytest.importorskip("openvino")
    code = (
        "import socket, sys\n"
        "def refuse(*args, **named): raise AssertionError('a socket was asked for')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import threading, urllib.request\n"
        "urllib.request.urlopen = refuse\n"
        "threading.excepthook = lambda args: (print('FAILED', args), sys.stdout.flush())\n"
        "import torch\n"
        "from fuse.models.dense.openvino_net import open_net, write_net\n"
        "from pathlib import Path\n"
        "write_net(torch.nn.Conv2d(3, 4, 1).eval(), torch.zeros(1, 3, 8, 8), Path(sys.argv[1]))\n"
        "open_net(Path(sys.argv[1]), 'float32', 1, 1)\n"
        "loaded = [m for m in sys.modules if m.startswith('openvino_telemetry')]\n"
        "assert [m for m in loaded if sys.modules[m] is not None] == [], loaded\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "FAILED" not in done.stdout


def test_the_versions_of_the_code_of_layers_count():
    class Own(nn.Module):
        pass

    Own.__module__ = "nobody_published_this"
    assert _list_versions(nn.Sequential(nn.ReLU(), Own())) == [f"torch {version('torch')}"]
