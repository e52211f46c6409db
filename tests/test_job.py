"""Whole runs: gone on with, stopped, and scored against a truth that fits or does not.

The nets are the ground truth itself, so that a run takes a moment and its maps are known.
"""

import json
import threading
import time

import numpy as np
import pytest
from factories import panoptic_truth
from PIL import Image
from run_folders import write_maps

from fuse import api, load_space
from fuse.errors import DataError, RunStoppedError
from fuse.io.coco import read_panoptic_json
from fuse.io.png import write_id_map
from fuse.tables.sweep import print_sweep
from fuse.types import PanopticPrediction

SUPER = load_space("coco_super")
SIZE = (30, 40)


class Job:
    """Photos, their ground truth, and a preset whose nets know it."""

    def __init__(self, folder, names):
        rng = np.random.default_rng(1)
        self.photos, self.out = folder / "photos", folder / "out"
        self.photos.mkdir()
        self.truths = {name: panoptic_truth(rng, SIZE, SUPER, crowds=False) for name in names}
        self.gt = write_maps(folder / "gt.json", self.truths, SUPER, first_id=100)
        self.preset = folder / "oracle.toml"
        self.preset.write_text(
            'label_space = "coco_super"\n'
            + "".join(
                f'[{b}]\nmodel = "oracle"\ngt = "gt.json"\n' for b in ("semantic", "instance")
            )
            + "[fusion]\nstuff_area = 0\n"
        )

    def add(self, *names):
        for name in names:
            (self.photos / name).parent.mkdir(exist_ok=True)
            Image.new("RGB", SIZE[::-1]).save(self.photos / name)

    def run(self, **options):
        given = {"pipeline": str(self.preset), "device": "cpu"} | options
        return api.run([str(self.photos)], self.out, **given)


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])


def test_a_photo_that_comes_or_goes_and_gives_another_s_map_another_name(tmp_path):
    """a.jpg beside a.png: their maps are a.jpg.png and a.png.png, but a.png of a.jpg alone."""
    job = Job(tmp_path, ["a.jpg", "a.png"])
    job.add("a.jpg")
    job.run()
    for names in (["a.jpg", "a.png"], ["a.png"]):
        job.add("a.png")
        for photo in job.photos.iterdir():
            if photo.name not in names:
                photo.unlink()
        result = job.run(gt=job.gt)
        assert result.done == len(names)
        assert result.evaluation.result.things.pq == 1
        dataset = read_panoptic_json(job.out)
        assert [image.file_name for image in dataset.images.values()] == names
        for image_id, image in dataset.images.items():
            assert {s.category_id for s in dataset.load(image_id).segments_info} == {
                s.category_id for s in job.truths[image.file_name].segments_info
            }
        assert api.verify(job.out).damages == ()


@pytest.mark.parametrize("pictures", [False, True])
def test_a_true_png_of_another_size_costs_no_map(job, tmp_path, pictures):
    job.add("a.jpg", "b.jpg", "c.jpg")
    gt = write_maps(tmp_path / "turned.json", job.truths, SUPER)
    turned = job.truths["b.jpg"].panoptic_map.T
    write_id_map(gt.with_suffix("") / "b.png", np.ascontiguousarray(turned))
    message = r"1 photos that cannot be scored.*the prediction is 30x40, the true .*b\.png is 40x30"
    for _ in range(2):  # made, then gone on with
        with pytest.raises(DataError, match=message):
            job.run(gt=gt, pictures=pictures)
        assert len(read_panoptic_json(job.out).annotations) == 3
        content = json.loads((job.out / "run.json").read_text())
        assert content["photos"]["done"] == 3
        assert "pq" not in content
        assert len(list(job.out.glob("pictures/*.jpg"))) == 3 * pictures
    assert api.verify(job.out).damages == ()


def test_the_seconds_of_a_run_are_of_the_photos_that_it_did_in_them(job):
    job.add("a.jpg")
    assert job.run().tried == 1
    job.add("b.jpg", "c.jpg")
    (job.photos / "broken.jpg").write_bytes(b"no photo")
    result = job.run()
    assert (result.done, result.tried, len(result.failed)) == (3, 3, 1)
    again = job.run()
    assert (again.done, again.tried, len(again.failed)) == (3, 0, 1)
    photos = json.loads((job.out / "run.json").read_text())["photos"]
    assert photos == {"done": 3, "failed": 1, "tried": 0}


def test_a_stopped_run_leaves_no_thread_in_its_folder(job):
    job.add(*(f"{number}/a.jpg" for number in range(40)))
    before = set(threading.enumerate())
    with pytest.raises(RunStoppedError, match="stopped after 1 of 40 photos") as stopped:
        job.run(should_stop=lambda: True)
    deadline = time.monotonic() + 10  # readers end by themselves
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()
    assert stopped.traceback  # the exception, and so the run's frames, are still held
    assert job.run().done == 40


def test_a_run_inside_its_input_is_no_photo_of_the_next(job):
    job.add("a.jpg", "b.jpg")
    job.out = job.photos / "one"
    first = job.run(pictures=True)
    job.out = job.photos / "two"
    assert job.run().done == first.done == 2
    names = [image.file_name for image in read_panoptic_json(job.out).images.values()]
    assert names == ["a.jpg", "b.jpg"]


def test_a_run_without_ground_truth_is_scored_by_the_names_of_its_photos(tmp_path):
    job = Job(tmp_path, ["a.jpg", "b.jpg", "c.jpg", "unknown.jpg"])
    job.add("a.jpg", "b.jpg", "c.jpg", "unknown.jpg")
    job.run()
    assert [*read_panoptic_json(job.out).images] == [1, 2, 3, 4]
    known = {name: job.truths[name] for name in ("c.jpg", "b.jpg", "a.jpg")}
    gt = write_maps(tmp_path / "known.json", known, SUPER, first_id=2)
    for official in (False, True):
        evaluation = api.evaluate(gt, job.out, official=official)
        assert evaluation.result.things.pq == 1
        assert [finding.code for finding in evaluation.findings] == ["run-renumbered", "pred-extra"]


def test_files_of_other_tools_are_paired_by_image_id(tmp_path):
    """As COCO does, with a warning where the names say otherwise."""
    job = Job(tmp_path, ["a.jpg", "b.jpg"])
    pred = write_maps(
        tmp_path / "pred.json", dict(reversed(job.truths.items())), SUPER, first_id=100
    )
    evaluation = api.evaluate(job.gt, pred)
    assert evaluation.result.things.pq < 1
    assert [finding.code for finding in evaluation.findings] == ["other-photo"]


def test_two_photos_that_are_one_of_the_truth_are_not_swept_twice(tmp_path):
    job = Job(tmp_path, ["day/a.jpg", "night/a.jpg"])
    job.add("day/a.jpg", "night/a.jpg")
    job.run(keep_predictions=True)
    gt = write_maps(tmp_path / "one.json", {"a.jpg": job.truths["day/a.jpg"]}, SUPER)
    for analysis in (
        lambda: api.sweep(job.out, gt, ["score_threshold=0.5"]),
        lambda: api.diagnose(job.out, gt, orders=2),
    ):
        with pytest.raises(DataError, match=r"day/a\.jpg and night/a\.jpg are both photo 1 of"):
            analysis()


def test_a_sweep_over_photos_with_nothing_to_score_has_no_interval(job, tmp_path):
    job.add("a.jpg")
    job.run(keep_predictions=True)
    void = PanopticPrediction(np.zeros(SIZE, np.int32), ())
    gt = write_maps(tmp_path / "void.json", {"a.jpg": void}, SUPER)
    result = api.sweep(job.out, gt, ["score_threshold=0.5"])
    assert result.interval is None
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["interval"] is None
    print_sweep(result)
