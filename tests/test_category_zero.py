"""Category id 0, in every command: a world whose ids begin at 0 gives what the one from 1 gives.

Two sets of files, and two runs by a plug-in, differ in that the ids of the second are one higher,
and nothing else. All that the commands write must then differ in just that.
"""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from hotcoco.panoptic import PanopticEval
from PIL import Image

from fuse import api
from fuse.cli import main

SIZE = (40, 60)
NAMES = ("a.jpg", "b.jpg", "trip/c.jpg")
CATEGORIES = (("sky", 0, 0), ("cat", 1, 1), ("dog", 4, 1), ("road", 7, 0))  # name, id, isthing
KEYS = re.compile(r"(category_id|id_of_class)$")

PLUGIN = '''
import numpy as np
from pycocotools import mask
from fuse.types import (
    Category, Instances, LabelSpace, RleMasks, SemanticLogits, SemanticPrediction)

SHIFT = {shift}
SPACE = LabelSpace("zoo", tuple(Category(i + SHIFT, n, bool(t)) for n, i, t in {categories}))
IDS = np.array([i + SHIFT for _, i, _ in {categories}], dtype=np.int32)

def draw(image):
    return np.random.default_rng(int(image.pixels.astype(int).sum()))

class Logits:
    label_space, weights_hash, category_ids = SPACE, "1", IDS
    def __init__(self, device): pass
    def predict(self, images):
        return [SemanticLogits.half_pixel(
            draw(i).normal(scale=9, size=(4, 5, 6)).astype(np.float16), i.size) for i in images]

class Labels(Logits):
    def predict(self, images):
        """Label maps with the ids of files, void as the contract says."""
        ids = np.append(IDS, -1 if SHIFT == 0 else 0).astype(np.int32)
        grids = [ids[draw(i).integers(0, 5, (4, 6))] for i in images]
        return [SemanticPrediction(g.repeat(10, 0).repeat(10, 1)) for g in grids]

class Boxes:
    label_space, weights_hash = LabelSpace(
        "animals", tuple(Category(i - 1 + SHIFT, n, True) for n, i, t in {categories} if t)), "1"
    def __init__(self, device): pass
    def predict(self, images, *, score_threshold):
        return [self.find(draw(i), i.size) for i in images]
    def find(self, rng, size):
        boxes, rles = [], []
        for _ in range(6):
            (y, h), (x, w) = rng.integers(1, 20, (2, 2))
            shape = np.zeros(size, np.uint8)
            shape[y:y + h, x:x + w] = 1
            boxes.append((x, y, x + w, y + h))
            rles.append(mask.encode(np.asfortranarray(shape)))
        ids = rng.choice(np.array([0, 3], np.int32) + SHIFT, 6).astype(np.int32)
        masks = RleMasks(tuple(rles))
        return Instances(np.array(boxes, np.float32), rng.random(6), ids, masks, size)
'''


def shift_ids(value, shift):
    """JSON whose category ids, as values and as keys of per_class, are higher by shift."""
    if isinstance(value, list):
        return [shift_ids(one, shift) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: one + shift
        if KEYS.search(key) and one is not None
        else {str(int(i) + shift): s for i, s in one.items()}
        if key == "per_class"
        else shift_ids(one, shift)
        for key, one in value.items()
    }


def write_results(path, shift):
    """What another tool predicted: instances and a folder of label PNGs."""
    rng = np.random.default_rng(5)
    entries = []
    for image_id in (1, 2, 3):
        for _ in range(5):
            x, y, w, h = map(int, rng.integers(2, 20, 4))
            polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            category_id = int(rng.choice([1, 4])) + shift
            entries.append(
                {"image_id": image_id, "category_id": category_id, "segmentation": polygon,
                 "score": float(rng.random())}
            )  # fmt: skip
    (path / "instances.json").write_text(json.dumps(entries))
    for name in NAMES:
        grid = rng.choice([0, 1, 4, 7, -1], (4, 6)).repeat(10, 0).repeat(10, 1)
        void = 0 if shift else 255
        png = path / "labels" / name.replace(".jpg", ".png")
        png.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(grid < 0, void, grid + shift).astype(np.uint8)).save(png)


def write_world(folder, shift):
    """Images, ground truth, results of another tool, a plug-in and presets."""
    rng = np.random.default_rng(3)
    folder.mkdir()
    categories = [{"id": i + shift, "name": n, "isthing": t} for n, i, t in CATEGORIES]
    images, annotations = [], []
    for image_id, name in enumerate(NAMES, start=1):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3), np.uint8)).save(folder / "images" / name)
        ids = rng.integers(1, 9, (4, 6)).repeat(10, 0).repeat(10, 1).astype(np.uint8)
        png = folder / "gt" / name.replace(".jpg", ".png")
        png.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([ids, 0 * ids, 0 * ids], axis=2)).save(png)
        segments = [
            {"id": int(i), "category_id": int(rng.choice([0, 1, 4, 7])) + shift, "iscrowd": 0,
             "area": int((ids == i).sum())}
            for i in np.unique(ids)
        ]  # fmt: skip
        png_name = name.replace(".jpg", ".png")
        images.append({"id": image_id, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        annotations.append({"image_id": image_id, "file_name": png_name, "segments_info": segments})
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "nets.py").write_text(
        PLUGIN.format(shift=shift, categories=CATEGORIES), encoding="utf-8"
    )
    rows = [f"{i + shift},{row},{n},{t},,0,0,{row}" for row, (n, i, t) in enumerate(CATEGORIES)]
    header = "category_id,class_index,name,isthing,supercategory,r,g,b"
    (folder / "zoo.csv").write_text("\n".join([header, *rows]))
    (folder / "animals.csv").write_text("source,target\ncat,cat\ndog,dog\n")
    write_results(folder, shift)
    return folder


PRESET = """
label_space = "zoo.csv"
[semantic]
{semantic}
[instance]
model = "nets.py:Boxes"
label_map = "animals.csv"
[fusion]
score_threshold = 0.3
stuff_area = 1
"""
SEMANTIC = {
    "logits": 'model = "nets.py:Logits"',
    "labels": 'model = "nets.py:Labels"',
    "oracle": 'model = "oracle"\ngt = "gt.json"',
    "saved": 'model = "saved"\npath = "labels"\nlabel_space = "zoo.csv"',
}


def run_world(folder, semantic="logits", name=None, **options):
    preset = folder / f"{semantic}.toml"
    preset.write_text(PRESET.format(semantic=SEMANTIC[semantic]))
    given = {"pipeline": str(preset), "device": "cpu", "allow_plugins": True}
    out = folder / (name or f"out-{semantic}")
    return api.run([str(folder / "images")], out, **given | options).out


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The folders of both worlds, the first with category 0, each with a run."""
    base = tmp_path_factory.mktemp("worlds")
    found = [write_world(base / name, shift) for shift, name in enumerate(("zero", "one"))]
    for folder in found:
        run_world(folder, keep_predictions=True, gt=folder / "gt.json", pictures=True)
    return found


def assert_same_maps(zero, one):
    """Two outputs whose PNGs are the same and whose category ids differ by one."""
    pngs = sorted(p.relative_to(zero) for p in (zero / "panoptic").rglob("*.png"))
    assert len(pngs) == len(NAMES)
    for png in pngs:
        assert (zero / png).read_bytes() == (one / png).read_bytes()
    found, wanted = (json.loads((out / "panoptic.json").read_text()) for out in (zero, one))
    assert shift_ids(found["annotations"], 1) == wanted["annotations"]
    assert [c["id"] for c in found["categories"]] == [0, 1, 4, 7]
    assert 0 in {s["category_id"] for a in found["annotations"] for s in a["segments_info"]}


@pytest.mark.parametrize("semantic", SEMANTIC)
def test_a_run_writes_the_ids_of_its_nets(worlds, semantic):
    assert_same_maps(*(run_world(folder, semantic, f"again-{semantic}") for folder in worlds))


def call(folder, *arguments):
    """The JSON that a command of the command line writes; paths are those of a world."""
    target = folder / "said.json"
    target.unlink(missing_ok=True)
    given = [str(folder / a[1:]) if a.startswith("@") else a for a in arguments]
    result = CliRunner().invoke(main, [*given, "--json", str(target)])
    assert result.exit_code == 0, result.output
    text = target.read_text().replace(str(folder), "WORLD")
    return json.loads(text)


RUN, GT = "@out-logits", "@gt.json"
CALLS = {
    "evaluate": ("evaluate", "--gt", GT, "--pred", RUN),
    "official": ("evaluate", "--gt", GT, "--pred", "@out-logits/panoptic.json", "--official"),
    "branches": ("evaluate", "--gt", GT, "--pred", RUN, "--semantic", "@labels",
                 "--instances", "@instances.json"),
    "compare": ("compare", RUN, "@out-logits/panoptic.json", "--gt", GT),
    "sweep": ("sweep", "--predictions", RUN, "--gt", GT, "--grid", "stuff_area=1:9:4"),
    "diagnose": ("diagnose", "--predictions", RUN, "--gt", GT),
    "disagree": ("disagree", "--predictions", RUN),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_command_says_the_same(worlds, name):
    found, wanted = (call(folder, *CALLS[name]) for folder in worlds)
    for one in (found, wanted):
        for key in ("seconds", "peak_memory", "runs"):  # what differs from run to run
            one.pop(key, None)
    text = json.dumps(found)
    assert "16777215" not in text
    assert shift_ids(rename_confusions(found, 1), 1) == rename_confusions(wanted, 0)


def rename_confusions(said, shift):
    for confusion in said.get("counts", {}).get("confusions", []):
        confusion["truth"] += shift
        confusion["prediction"] += shift
    return said


def test_the_official_score_is_that_of_another_scorer(worlds):
    gt, pred = worlds[0] / "gt.json", worlds[0] / "out-logits" / "panoptic.json"
    scorer = PanopticEval(str(gt), str(pred))
    scorer.evaluate()
    wanted, said = scorer.results(), call(worlds[0], *CALLS["official"])
    for split, group in (("All", "all"), ("Things", "things"), ("Stuff", "stuff")):
        assert said["pq"][group]["pq"] == pytest.approx(wanted[split]["pq"], abs=1e-12)
    for category_id, one in wanted["per_class"].items():
        ours = said["per_class"][str(category_id)]
        assert (ours["tp"], ours["fp"], ours["fn"]) == (one["tp"], one["fp"], one["fn"])
    assert "0" in said["per_class"]


def test_combine_fuses_both_kinds_of_files(worlds, tmp_path):
    for kind in ("run", "files"):
        outs = []
        for folder in worlds:
            out = tmp_path / kind / folder.name
            if kind == "run":
                api.combine(out, predictions=folder / "out-logits", score_threshold=0.4)
            else:
                api.combine(
                    out,
                    instances=folder / "instances.json",
                    semantic=folder / "labels",
                    images=folder / "gt.json",
                    stuff_area=1,
                )
            outs.append(out)
        assert_same_maps(*outs)


def test_disagreements_are_written_with_the_ids_of_files(worlds, tmp_path):
    written = []
    for folder in worlds:
        target = tmp_path / f"{folder.name}.json"
        api.disagree(folder / "out-logits").write_coco(target)
        written.append(json.loads(target.read_text()))
    found, wanted = written
    assert found["annotations"]
    assert shift_ids(found["annotations"], 1) == wanted["annotations"]
    assert [c["id"] + 1 for c in found["categories"]] == [c["id"] for c in wanted["categories"]]


def test_a_report_shows_the_same(worlds):
    pages = []
    for folder in worlds:
        api.report(folder / "out-logits", gt=folder / "gt.json")
        pages.append((folder / "out-logits" / "report.html").read_text())
    assert "16777215" not in pages[0]
    assert '"0":{"name":"sky"' in pages[0]
    assert '"category":0,' in pages[0]
    assert pages[0].count('"category":') == pages[1].count('"category":')


def test_shards_are_merged(worlds, tmp_path):
    folder = worlds[0]
    preset = folder / "logits.toml"
    shards = [
        api.run([str(folder / "images")], tmp_path / str(i), pipeline=str(preset), device="cpu",
                allow_plugins=True, shard=(i, 2)).out
        for i in (1, 2)
    ]  # fmt: skip
    api.merge(shards, tmp_path / "whole")
    whole = (tmp_path / "whole" / "panoptic.json").read_bytes()
    assert (
        json.loads(whole)["annotations"]
        == json.loads((folder / "out-logits" / "panoptic.json").read_text())["annotations"]
    )
