"""The Ray engine: the bytes of the local one, whatever becomes of its workers."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fuse import api
from fuse.errors import ConfigError, EngineError, RunStoppedError
from fuse.inference.batches import LANE_CORES

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "images"
TRUTH = ROOT / "examples" / "annotations.json"

# Nets that cost nothing. The semantic one kills its process at images that are called so: each
# time, or once. It knows images by name, so it works in whichever process it is.
NETS = """
import os, signal
from pathlib import Path
import numpy as np
from fuse import BoxMasks, Instances, SemanticLogits, load_space

class Sky:
    def __init__(self, device, *, marks: str = ""):
        self.label_space = load_space("coco_super")
        names = self.label_space.by_name
        ids = [names["sky"].category_id, names["ground"].category_id]
        self.category_ids = np.array(ids, dtype=np.int32)
        self.weights_hash = ""
        self.marks = marks

    def predict(self, images):
        return [self.label(image) for image in images]

    def label(self, image):
        mark = Path(self.marks, "killed")
        if self.marks and "once" in image.file_name and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.marks and "always" in image.file_name:
            os.kill(os.getpid(), signal.SIGKILL)
        rows = np.linspace(-1, 1, 32, dtype=np.float16) * image.pixels[0, 0, 0]
        ground = np.repeat(rows[:, None], 32, axis=1)
        return SemanticLogits.half_pixel(np.stack([-ground, ground]), image.size)

class Nobody:
    def __init__(self, device):
        self.label_space = load_space("coco_super")
        self.weights_hash = ""

    def predict(self, images, *, score_threshold):
        masks = BoxMasks(np.zeros((0, 28, 28), np.float32))
        boxes, scores, ids = np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.int32)
        return [Instances(boxes, scores, ids, masks, image.size) for image in images]
"""
PRESET = """
label_space = "coco_super"
[semantic]
model = "{nets}:Sky"
[instance]
model = "{nets}:Nobody"
[fusion]
stuff_area = 1
"""


@pytest.fixture(scope="module")
def cluster():
    """A small Ray on this machine, which all runs of this file share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else other work on the machine starves them
        ray = pytest.importorskip("ray")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 << 20,
            log_to_driver=False,
        )
        yield ray
        ray.shutdown()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Small images, one of them broken."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(1, 255, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (folder / "17.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    nets = tmp_path_factory.mktemp("nets") / "nets.py"
    nets.write_text(NETS)
    path = nets.with_name("sky.toml")
    path.write_text(PRESET.format(nets=nets.as_posix()))
    return str(path)


def run(images, out, preset, **options):
    return api.run([str(images)], out, pipeline=preset, allow_plugins=True, **options)


def read_files(out):
    """Contents by path, without what holds times or an order of arrival."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("records.jsonl", "run.json", ".lock")
    }


def read_journal(out):
    """The journal's records in the order of images.

    The run's settings stand before them, and again where it went on with another engine.
    """
    lines = (out / "records.jsonl").read_bytes().splitlines()
    assert lines[0].startswith(b'{"settings":')
    return sorted(line for line in lines if not line.startswith(b'{"settings":'))


@pytest.fixture
def few_threads():
    """As many as there are lanes: with more, the sums of a net are split among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, LANE_CORES))
    yield
    torch.set_num_threads(threads)


@pytest.mark.ray
@pytest.mark.usefixtures("few_threads")
def test_two_workers_give_the_bytes_and_the_score_of_the_local_engine(cluster, tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(EXAMPLES, folder)
    (folder / "rocket.jpg").write_bytes(b"")
    options = {"gt": TRUTH, "pictures": True, "keep_predictions": True, "device": "cpu"}
    local = api.run([str(folder)], tmp_path / "local", **options)
    ray = api.run([str(folder)], tmp_path / "ray", engine="ray", workers=2, **options)

    assert read_files(ray.out) == read_files(local.out)
    assert read_journal(ray.out) == read_journal(local.out)
    assert ray.failed == local.failed
    assert [name for name, _ in ray.failed] == ["rocket.jpg"]
    assert ray.evaluation.to_json() == local.evaluation.to_json()
    assert [p.image_id for p in ray.evaluation.images] == [
        p.image_id for p in local.evaluation.images
    ]
    assert api.verify(ray.out).damages == ()
    said = json.loads((ray.out / "run.json").read_text())
    assert (said["engine"], said["workers"], said["cores_per_worker"]) == ("ray", 2, 1)
    assert said["seconds"]["nets"] > 0
    assert said["peak_memory_mib"]["worker"] > 0


@pytest.mark.ray
def test_a_run_that_is_stopped_goes_on_with_either_engine(cluster, images, preset, tmp_path):
    out = tmp_path / "ray"
    seen = []
    with pytest.raises(RunStoppedError, match="stopped after 7 of 40 images"):
        run(
            *(images, out, preset),
            engine="ray",
            workers=1,
            on_progress=lambda total, failed: seen.append(total),
            should_stop=lambda: len(seen) == 7,
        )
    assert len(read_journal(out)) == 7
    seen.clear()
    with pytest.raises(RunStoppedError, match="stopped after 11 of 40 images"):
        run(
            *(images, out, preset),
            on_progress=lambda total, failed: seen.append(total),
            should_stop=lambda: len(seen) == 11,
        )
    assert len(read_journal(out)) == 11
    result = run(images, out, preset, engine="ray", workers=1)
    assert (result.done, [name for name, _ in result.failed]) == (39, ["17.png"])
    run(images, tmp_path / "local", preset)
    assert read_files(out) == read_files(tmp_path / "local")
    assert read_journal(out) == read_journal(tmp_path / "local")


@pytest.mark.ray
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_workers_lose_and_double_nothing(cluster, images, preset, tmp_path, capsys):
    folder = tmp_path / "images"
    shutil.copytree(images, folder)
    for name in ("20-once.png", "30-always.png"):
        shutil.copy(images / "00.png", folder / name)
    marks = tmp_path / "marks"
    marks.mkdir()
    result = run(
        *(folder, tmp_path / "ray", preset),
        engine="ray",
        workers=2,
        overrides=[f"semantic.marks={marks.as_posix()}"],
    )
    assert (marks / "killed").exists()
    assert capsys.readouterr().out == ""  # Ray would tell of it there
    assert dict(result.failed).keys() == {"17.png", "30-always.png"}
    assert "its worker died 3 times" in dict(result.failed)["30-always.png"]
    names = [json.loads(line)["file_name"] for line in read_journal(tmp_path / "ray")]
    assert names == sorted(path.name for path in folder.iterdir())

    # It is as if that image could not be read.
    (folder / "30-always.png").write_bytes(b"")
    run(folder, tmp_path / "local", preset)
    assert read_files(tmp_path / "ray") == read_files(tmp_path / "local")


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_images_behind_a_url_give_the_same_bytes(request, images, preset, tmp_path, engine):
    options = {}
    if engine == "ray":
        request.getfixturevalue("cluster")
        options = {"engine": "ray", "workers": 1}
    run(images, tmp_path / "path", preset)
    result = run(images.as_uri(), tmp_path / "url", preset, **options)
    assert read_files(tmp_path / "url") == read_files(tmp_path / "path")
    ((name, reason),) = result.failed
    assert name == "17.png"
    assert f"{images.as_uri()}/17.png: the file is empty" in reason


@pytest.mark.ray
def test_more_workers_than_there_is_room_for_is_one_line(cluster, images, preset, tmp_path):
    with pytest.raises(EngineError, match=r"room for 2 workers, not for 3: Ray has 2 CPUs"):
        run(images, tmp_path / "out", preset, engine="ray", workers=3)


@pytest.mark.ray
def test_an_address_where_no_cluster_is_fails_at_once(images, preset, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(EngineError, match=r"no Ray cluster can be used at 127\.0\.0\.1:1: "):
        run(images, tmp_path / "out", preset, engine="ray", ray_address="127.0.0.1:1")


def test_without_ray_the_error_says_how_to_get_it(monkeypatch, images, preset, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"pip install 'panoptic-fuse\[ray\]'"):
        run(images, tmp_path / "out", preset, engine="ray")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "dask"}, "engine 'dask' is none of local, ray"),
        ({"workers": 2}, "need --engine ray"),
        ({"ray_address": "auto"}, "need --engine ray"),
        ({"gpus_per_worker": 1}, "need --engine ray"),
        ({"engine": "ray", "workers": 0}, "workers must be at least 1"),
        ({"engine": "ray", "gpus_per_worker": 2}, r"must lie in 0\.\.1, got 2"),
        ({"engine": "ray", "device": "cuda:1"}, "does not go with 0 GPUs per worker"),
        ({"engine": "ray", "device": "cpu", "gpus_per_worker": 1}, "which is cuda:0"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_say_so(images, preset, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        run(images, tmp_path / "out", preset, **options)
    assert not (tmp_path / "out").exists()
