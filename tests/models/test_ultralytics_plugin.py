"""The plug-in for Ultralytics' nets, with objects of their shape; theirs are not installed."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from fuse.cli import main
from fuse.io.png import read_id_map
from fuse.labels import load_space

PLUGINS = Path(__file__).parents[2] / "examples" / "plugins"
FILE = PLUGINS / "ultralytics_nets.py"
SIZE = (60, 90)
COCO = load_space("coco_things")
STREET = load_space("cityscapes")


class Boxes(SimpleNamespace):
    """ultralytics.engine.results.Boxes: tensors that go to NumPy together."""

    def cpu(self):
        return self

    def numpy(self):
        return Boxes(**{name: value.numpy() for name, value in vars(self).items()})


def answer_semantic(image):
    labels = np.full(image.shape[:2], 255, dtype=np.uint8)  # their mark for no class
    labels[:30] = 10  # sky
    labels[30:, :80] = 0  # road
    return SimpleNamespace(semantic_mask=SimpleNamespace(data=torch.from_numpy(labels)))


def answer_instances(image, conf):
    height, width = image.shape[:2]
    masks = torch.zeros(2, height, width)
    masks[0, 20:50, 10:40] = 1
    masks[1, 40:55, 50:70] = 1
    scores = torch.tensor([0.9, 0.3])
    kept = scores >= conf
    boxes = Boxes(
        xyxy=torch.tensor([[10.0, 20, 40, 50], [50, 40, 70, 55]])[kept],
        conf=scores[kept],
        cls=torch.tensor([2.0, 0.0])[kept],
    )
    found = masks[kept]
    return SimpleNamespace(boxes=boxes, masks=SimpleNamespace(data=found) if len(found) else None)


@pytest.fixture
def ultralytics(monkeypatch, tmp_path):
    """A module of that name; what it was asked is in its `calls`."""
    module = ModuleType("ultralytics")
    module.calls = []

    class YOLO:
        def __init__(self, weights):
            self.ckpt_path = weights
            space = STREET if "-sem" in weights else COCO
            self.names = dict(enumerate(space.by_name))
            if "odd" in weights:
                self.names[0] = "gizmo"

        def predict(self, image, *, conf=None, **options):
            assert image.dtype == np.uint8
            module.calls.append((image, conf, options))
            is_semantic = "-sem" in self.ckpt_path
            return [answer_semantic(image) if is_semantic else answer_instances(image, conf)]

    module.YOLO = YOLO
    monkeypatch.setitem(sys.modules, "ultralytics", module)
    monkeypatch.chdir(tmp_path)
    for name in ("yolo26n-sem.pt", "yolo26n-seg.pt", "odd-sem.pt"):
        (tmp_path / name).write_bytes(name.encode())
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    image[..., 0] = 200  # red
    Image.fromarray(image).save(tmp_path / "street.png")
    return module


def run(tmp_path, *options):
    arguments = ["run", "street.png", "-o", "out", "--device", "cpu", "--allow-plugins"]
    arguments += ["--set", "semantic.weights=yolo26n-sem.pt"]
    arguments += ["--set", "instance.weights=yolo26n-seg.pt"]
    return CliRunner().invoke(
        main, [*arguments, "--pipeline", str(PLUGINS / "yolo.toml"), *options]
    )


def test_a_run_fuses_both_nets(ultralytics, tmp_path):
    result = run(tmp_path, "--set", "fusion.stuff_area=1")
    assert result.exit_code == 0, result.output
    written = json.loads(Path("out/panoptic.json").read_text())
    (annotation,) = written["annotations"]
    segments = {s["category_id"]: s["id"] for s in annotation["segments_info"]}
    ids = {name: STREET.by_name[name].category_id for name in ("car", "road", "sky")}
    assert set(segments) == set(ids.values())  # the person scores too little
    fused = read_id_map(Path("out/panoptic") / annotation["file_name"])
    assert (fused[20:50, 10:40] == segments[ids["car"]]).all()
    assert (fused[:20] == segments[ids["sky"]]).all()
    assert (fused[55:, :80] == segments[ids["road"]]).all()
    assert (fused[55:, 80:] == 0).all()
    for image, _, options in ultralytics.calls:
        assert image[0, 0].tolist() == [0, 0, 200]  # it takes blue first
        assert options["device"] == "cpu"


def test_no_object_is_an_answer_too(ultralytics, tmp_path):
    result = run(tmp_path, "--set", "fusion.score_threshold=0.95", "--set", "fusion.stuff_area=1")
    assert result.exit_code == 0, result.output


def test_a_class_that_the_label_space_lacks_is_named(ultralytics, tmp_path):
    result = run(tmp_path, "--set", "semantic.weights=odd-sem.pt")
    assert result.exit_code == 1
    assert "its class 'gizmo' is not in cityscapes" in result.stderr


def test_the_plug_in_is_short_and_ships_nothing_of_theirs():
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    package = Path(__file__).parents[2] / "fuse"
    imports = re.compile(r"^\s*(import|from) ultralytics", flags=re.MULTILINE)
    assert not [p for p in package.rglob("*.py") if imports.search(p.read_text("utf-8"))]
