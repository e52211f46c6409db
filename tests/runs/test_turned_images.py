"""An image with an EXIF orientation whose ground truth is stored unturned, in every command."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from run_folders import write_maps

from fuse import Pipeline, api
from fuse.cli import main
from fuse.errors import ConfigError, DataError, FuseWarning
from fuse.labels import load_space
from fuse.types import PanopticPrediction, SegmentInfo

SPACE = load_space("coco_super")
SKY = SPACE.by_name["sky"].category_id
PERSON = SPACE.by_name["person"].category_id
ORIENTATION, TURNED = 0x0112, 6

PLUGIN = """
import numpy as np
from fuse import load_space
from fuse.types import BoxMasks, Instances, SemanticLogits

SPACE = load_space("coco_super")

class Sky:
    label_space, weights_hash = SPACE, "1"
    category_ids = np.array([SPACE.by_name["sky"].category_id], np.int32)
    def __init__(self, device): pass
    def predict(self, images):
        return [SemanticLogits.half_pixel(np.ones((1, 2, 2), np.float16), i.size) for i in images]

class Person:
    label_space, weights_hash = SPACE, "1"
    def __init__(self, device): pass
    def predict(self, images, *, score_threshold):
        ids = np.array([SPACE.by_name["person"].category_id], np.int32)
        box, mask = np.array([[5, 5, 15, 15]], np.float32), np.ones((1, 28, 28), np.float32)
        return [Instances(box, np.ones(1), ids, BoxMasks(mask), i.size) for i in images]
"""
PRESET = """
label_space = "coco_super"
[semantic]
model = "nets.py:Sky"
[instance]
model = "nets.py:Person"
[fusion]
stuff_area = 1
"""


def make_truth(height, width):
    panoptic_map = np.ones((height, width), np.int32)
    panoptic_map[5:15, 5:15] = 2
    return PanopticPrediction(
        panoptic_map,
        (
            SegmentInfo(1, SKY, height * width - 100, (0, 0, width, height)),
            SegmentInfo(2, PERSON, 100, (5, 5, 10, 10)),
        ),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two images of 40 x 30 pixels, the second turned by its EXIF, and a truth that is not."""
    folder = tmp_path_factory.mktemp("turned")
    (folder / "images").mkdir()
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    for name in ("a.jpg", "b.jpg"):
        image = Image.new("RGB", (40, 30), "navy")
        image.save(folder / "images" / name, **({"exif": exif} if name == "b.jpg" else {}))
    write_maps(folder / "gt.json", {n: make_truth(30, 40) for n in ("a.jpg", "b.jpg")}, SPACE)
    (folder / "nets.py").write_text(PLUGIN)
    (folder / "pair.toml").write_text(PRESET)
    return folder


def run(folder, out, **options):
    given = {"pipeline": folder / "pair.toml", "device": "cpu", "allow_plugins": True}
    return api.run([folder / "images"], folder / out, **given | options)


@pytest.fixture(scope="module")
def out(folder):
    return run(folder, "out", keep_predictions=True, gt=folder / "gt.json", pictures=True).out


def count(result):
    """Matches, false and missed segments: of one image there are two."""
    every = result.per_category.values()
    return tuple(sum(getattr(one, key) for one in every) for key in ("tp", "fp", "fn"))


def find_turned(evaluation):
    (finding,) = [f for f in evaluation.findings if f.code == "turned"]
    return str(finding)


SAID = (
    "warning: 1 photos turned by 90 degrees against their ground truth, as where only one of the "
    "two follows the EXIF orientation of the image, first image_id {!r}: the prediction is 30 "
    "wide, 40 high; the true {} is 40 wide, 30 high: left out; fuse run --as-stored"
)


def test_a_run_leaves_it_out_of_its_score(folder):
    result = run(folder, "scored", gt=folder / "gt.json")
    assert result.done == 2
    assert count(result.evaluation.result) == (2, 0, 0)
    assert find_turned(result.evaluation).startswith(SAID.format(2, folder / "gt" / "b.png"))


def test_evaluate_leaves_it_out_with_its_branches(folder, out):
    labels = folder / "labels"
    labels.mkdir(exist_ok=True)
    for name, size in (("a.png", (30, 40)), ("b.png", (40, 30))):
        Image.fromarray(np.full(size, SKY, np.uint8)).save(labels / name)
    evaluation = api.evaluate(folder / "gt.json", out, semantic=labels)
    assert count(evaluation.result) == (2, 0, 0)
    assert evaluation.semantic.pixel_accuracy == pytest.approx(1100 / 1200)
    assert find_turned(evaluation).startswith(SAID.format(2, folder / "gt" / "b.png"))


def test_the_official_score_stops(folder, out):
    with pytest.raises(DataError, match=r"EXIF orientation .*the official scorer stops here"):
        api.evaluate(folder / "gt.json", out, official=True)


GT = ("--gt", "gt.json")
CALLS = {
    "sweep": ("sweep", "--predictions", "out", *GT, "--grid", "stuff_area=1,9"),
    "diagnose": ("diagnose", "--predictions", "out", *GT),
    "compare": ("compare", "out", "out/panoptic.json", *GT),
    "report": ("report", "out", *GT, "-o", "report.html"),
}


@pytest.mark.parametrize("name", CALLS)
def test_other_commands_leave_it_out_and_say_so(folder, out, name, monkeypatch):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(main, CALLS[name])
    assert result.exit_code == 0, result.output
    assert (
        "note: gt.json: 1 images are turned by 90 degrees against the predictions, as where only "
        "one of the two follows the EXIF orientation, first b.jpg: left out; fuse run --as-stored"
    ) in result.output


def test_the_figures_are_of_the_others(folder, out):
    with pytest.warns(FuseWarning, match="EXIF"):
        swept = api.sweep(out, folder / "gt.json", ["stuff_area=1,9"])
    assert (swept.images, count(swept.best.result)) == (1, (2, 0, 0))
    with pytest.warns(FuseWarning, match="EXIF"):
        compared = api.compare([out, out / "panoptic.json"], folder / "gt.json")
    assert [count(one.result) for one in compared.runs] == [(2, 0, 0)] * 2


def test_another_size_is_no_turn(tmp_path):
    write_maps(tmp_path / "gt.json", {"a.jpg": make_truth(30, 40)}, SPACE)
    write_maps(tmp_path / "pred.json", {"a.jpg": make_truth(41, 30)}, SPACE)
    with pytest.raises(DataError, match=r"1 photos that cannot be scored, .* 30 wide, 41 high"):
        api.evaluate(tmp_path / "gt.json", tmp_path / "pred.json")


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_images_as_they_are_stored_are_scored_whole(folder, engine):
    result = run(folder, f"stored-{engine}", gt=folder / "gt.json", as_stored=True, engine=engine)
    assert result.evaluation.findings == ()
    assert count(result.evaluation.result) == (4, 0, 0)
    content = json.loads((result.out / "panoptic.json").read_text())
    assert [(i["width"], i["height"]) for i in content["images"]] == [(40, 30)] * 2
    said = json.loads((result.out / "run.json").read_text())["settings"]["pipeline"]
    assert said["as_stored"] is True


def test_a_run_is_not_gone_on_with_otherwise(folder):
    out = run(folder, "once", as_stored=True).out
    with pytest.raises(DataError, match=r"other settings: .*as_stored"):
        run(folder, "once")
    page = api.report(out).path.read_text()
    assert "another size" not in page


def test_a_preset_may_say_it(folder):
    (folder / "stored.toml").write_text("as_stored = true" + PRESET)
    result = run(folder, "said", pipeline=folder / "stored.toml", gt=folder / "gt.json")
    assert count(result.evaluation.result) == (4, 0, 0)
    with pytest.raises(ConfigError, match="as_stored must be true or false, got 'yes'"):
        run(folder, "wrong", overrides=["as_stored=yes"])


def test_the_pipeline_reads_images_alike(folder):
    config = (folder / "pair.toml").read_text().replace("nets.py", str(folder / "nets.py"))
    (folder / "here.toml").write_text("as_stored = true" + config)
    pipeline = Pipeline.load(str(folder / "here.toml"), device="cpu")
    given = [folder / "images" / "b.jpg", Image.open(folder / "images" / "b.jpg")]
    assert [result.size for result in pipeline(given)] == [(30, 40)] * 2
    assert pipeline(given[0]).size == (30, 40)
    (folder / "upright.toml").write_text(config)
    assert Pipeline.load(str(folder / "upright.toml"), device="cpu")(given[0]).size == (40, 30)
