"""Whole runs: gone on with, stopped, and scored against a truth that fits or does not.

The nets are the ground truth itself, so that a run takes a moment and its maps are known.
"""

import json
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from oracle_jobs import SIZE, SUPER, Job
from run_folders import write_maps

from fuse import api
from fuse.cli import main
from fuse.cli.tables.sweep import print_sweep
from fuse.errors import CocoFormatError, ConfigError, DataError, RunStoppedError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.png import write_id_map
from fuse.types import PanopticPrediction


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])


def test_a_image_that_comes_or_goes_and_gives_another_s_map_another_name(tmp_path):
    """a.jpg beside a.png: their maps are a.jpg.png and a.png.png, but a.png of a.jpg alone."""
    job = Job(tmp_path, ["a.jpg", "a.png"])
    job.add("a.jpg")
    job.run()
    for names in (["a.jpg", "a.png"], ["a.png"]):
        job.add("a.png")
        for image in job.images.iterdir():
            if image.name not in names:
                image.unlink()
        result = job.run(gt=job.gt)
        assert result.done == len(names)
        assert result.evaluation.result.things.pq == 1
        dataset = read_panoptic_json(job.out)
        assert [pixels.file_name for pixels in dataset.images.values()] == names
        for image_id, pixels in dataset.images.items():
            assert {s.category_id for s in dataset.load(image_id).segments_info} == {
                s.category_id for s in job.truths[pixels.file_name].segments_info
            }
        assert api.verify(job.out).damages == ()


@pytest.mark.parametrize("pictures", [False, True])
def test_a_true_png_of_another_size_costs_no_map(job, tmp_path, pictures):
    job.add("a.jpg", "b.jpg", "c.jpg")
    gt = write_maps(tmp_path / "turned.json", job.truths, SUPER)
    cut = job.truths["b.jpg"].panoptic_map[:, :-5]
    write_id_map(gt.with_suffix("") / "b.png", np.ascontiguousarray(cut))
    message = r"1 photos that cannot be scored.*b\.png is 35 wide, 30 high"
    for _ in range(2):  # made, then gone on with
        with pytest.raises(DataError, match=message):
            job.run(gt=gt, pictures=pictures)
        assert len(read_panoptic_json(job.out).annotations) == 3
        content = json.loads((job.out / "run.json").read_text())
        assert content["photos"]["done"] == 3
        assert "pq" not in content
        assert len(list(job.out.glob("pictures/*.jpg"))) == 3 * pictures
    assert api.verify(job.out).damages == ()


def test_the_seconds_of_a_run_are_of_the_images_that_it_did_in_them(job):
    job.add("a.jpg")
    assert job.run().tried == 1
    job.add("b.jpg", "c.jpg")
    (job.images / "broken.jpg").write_bytes(b"no image")
    result = job.run()
    assert (result.done, result.tried, len(result.failed)) == (3, 3, 1)
    again = job.run()
    assert (again.done, again.tried, len(again.failed)) == (3, 0, 1)
    images = json.loads((job.out / "run.json").read_text())["photos"]
    assert images == {"done": 3, "failed": 1, "tried": 0}


def test_a_stopped_run_leaves_no_thread_in_its_folder(job):
    job.add(*(f"{number}/a.jpg" for number in range(40)))
    before = set(threading.enumerate())
    with pytest.raises(RunStoppedError, match="stopped after 1 of 40 images") as stopped:
        job.run(should_stop=lambda: True)
    deadline = time.monotonic() + 10  # readers end by themselves
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()
    assert stopped.traceback  # the exception, and so the run's frames, are still held
    assert job.run().done == 40


def test_a_run_inside_its_input_is_no_image_of_the_next(job):
    job.add("a.jpg", "b.jpg")
    job.out = job.images / "one"
    first = job.run(pictures=True)
    job.out = job.images / "two"
    assert job.run().done == first.done == 2
    names = [image.file_name for image in read_panoptic_json(job.out).images.values()]
    assert names == ["a.jpg", "b.jpg"]


def test_a_run_without_ground_truth_is_scored_by_the_names_of_its_images(tmp_path):
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


def test_files_of_other_tools_are_paired_by_name_and_officially_by_image_id(tmp_path):
    job = Job(tmp_path, ["a.jpg", "b.jpg"])
    pred = write_maps(
        tmp_path / "pred.json", dict(reversed(job.truths.items())), SUPER, first_id=100
    )
    evaluation = api.evaluate(job.gt, pred)
    assert evaluation.result.things.pq == 1
    assert [finding.code for finding in evaluation.findings] == ["pred-renumbered"]
    evaluation = api.evaluate(job.gt, pred, official=True)
    assert evaluation.result.things.pq < 1
    assert [finding.code for finding in evaluation.findings] == ["other-photo"]


def test_two_images_that_are_one_of_the_truth_are_not_swept_twice(tmp_path):
    job = Job(tmp_path, ["day/a.jpg", "night/a.jpg"])
    job.add("day/a.jpg", "night/a.jpg")
    job.run(keep_predictions=True)
    gt = write_maps(tmp_path / "one.json", {"a.jpg": job.truths["day/a.jpg"]}, SUPER)
    for analysis in (
        lambda: api.sweep(job.out, gt, ["score_threshold=0.5"]),
        lambda: api.diagnose(job.out, gt, orders=2),
    ):
        with pytest.raises(DataError, match=r"day/a\.jpg and night/a\.jpg are both image 1 of"):
            analysis()


def test_a_sweep_over_images_with_nothing_to_score_has_no_interval(job, tmp_path):
    job.add("a.jpg")
    job.run(keep_predictions=True)
    void = PanopticPrediction(np.zeros(SIZE, np.int32), ())
    gt = write_maps(tmp_path / "void.json", {"a.jpg": void}, SUPER)
    result = api.sweep(job.out, gt, ["score_threshold=0.5"])
    assert result.interval is None
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["interval"] is None
    print_sweep(result)


def test_a_map_that_cannot_be_read_is_named_with_what_to_do(job):
    job.add("a.jpg")
    job.run()
    (job.out / "panoptic" / "a.png").write_bytes(b"")
    with pytest.raises(CocoFormatError, match=r"fuse verify .* --redo, and fuse run --resume"):
        job.run(gt=job.gt)
    api.verify(job.out, redo=True)
    assert job.run(gt=job.gt).evaluation.result.things.pq == 1


def test_a_map_that_was_written_again_for_another_image_is_whole(tmp_path):
    job = Job(tmp_path, ["a.jpg", "a.png"])
    job.add("a.jpg")
    job.run()
    (job.images / "a.jpg").unlink()
    job.add("a.png")
    job.run()
    assert api.verify(job.out) == api.Verification(2, ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard": (0, 2)}, r"shard \(0, 2\) is not"),
        ({"shard": (3, 2)}, r"shard \(3, 2\) is not"),
        ({"shard": (1, 0)}, r"shard \(1, 0\) is not"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"timeout": float("nan")}, "timeout must be above 0"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(job, options, message):
    job.add("a.jpg")
    with pytest.raises(ConfigError, match=message):
        job.run(**options)
    assert not job.out.exists()


def test_without_a_timeout_a_image_is_waited_for(job):
    job.add("a.jpg")
    assert job.run(timeout=float("inf")).done == 1


def test_nothing_is_written_to_a_url(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job.add("a.jpg")
    with pytest.raises(DataError, match="s3://bucket/out is a URL"):
        job.run("s3://bucket/out")
    result = CliRunner().invoke(main, ["run", str(job.images), "-o", "s3://bucket/out"])
    assert result.exit_code == 2
    assert "is a URL" in result.stderr
    assert not (tmp_path / "s3:").exists()


def test_images_that_all_lie_in_the_output_folder_are_said_to(job):
    job.add("a.jpg", "b.jpg")
    with pytest.raises(DataError, match=r"all 2 images of .* lie in the output folder"):
        job.run(job.images)


def test_a_difference_between_long_lists_is_short(job):
    job.add("a.jpg", "b.jpg", "c.jpg")
    names = [str(job.images / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    options = {"pipeline": str(job.preset), "device": "cpu"}
    api.run(names[:2], job.out, **options)
    with pytest.raises(DataError, match=r"inputs \(2 before, 3 now\) was None, is \S*c\.jpg; give"):
        api.run(names, job.out, **options)


def test_shards_of_different_lists_of_images_are_not_joined(job, tmp_path):
    job.add("a.jpg", "b.jpg")
    first = tmp_path / "part1"
    job.run(first, shard=(1, 2))
    job.add("c.jpg")
    job.run(tmp_path / "part2", shard=(2, 2))
    with pytest.raises(DataError, match=r"listed was 2 images \(\w+\), is 3 images"):
        api.merge([first, tmp_path / "part2"], job.out)
    with pytest.raises(DataError, match="other settings: listed was"):
        job.run(first, shard=(1, 2))


def test_a_whole_run_is_no_shard(job, tmp_path):
    job.add("a.jpg", "b.jpg")
    job.run(tmp_path / "part1", shard=(1, 2))
    whole = tmp_path / "whole"
    job.run(whole)
    with pytest.raises(DataError, match=r"whole is a whole run, no shard; fuse run --shard I/N"):
        api.merge([tmp_path / "part1", whole], job.out)


def test_a_folder_with_a_run_of_another_pipeline_says_which(job):
    job.add("a.jpg")
    job.run(overrides=["description=The truth, twice"])
    message = r'run of another pipeline \("The truth, twice", not "Guesses, many"\); give another'
    with pytest.raises(DataError, match=message):
        job.run(overrides=["description=Guesses, many", "fusion.stuff_area=9"])


def test_a_joined_run_goes_on_with_more_images(job, tmp_path):
    job.add("a.jpg", "b.jpg")
    api.merge(job.run_shards(tmp_path), job.out)
    job.add("c.jpg")
    assert (job.run().done, job.run().tried) == (3, 0)


def test_shards_are_not_joined_into_one_of_them(job, tmp_path):
    job.add("a.jpg", "b.jpg")
    parts = job.run_shards(tmp_path)
    before = (parts[0] / "run.json").read_bytes()
    with pytest.raises(DataError, match="part1 is one of the shards"):
        api.merge(parts, parts[0])
    assert (parts[0] / "run.json").read_bytes() == before


def test_what_two_shards_both_have_is_named(job, tmp_path):
    job.add("a.jpg", "b.jpg")
    parts = job.run_shards(tmp_path)
    path = parts[1] / "panoptic.json"
    content = json.loads(path.read_text())
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="image_id 1 is both in"):
        api.merge(parts, job.out)


def test_failed_images_of_shards_are_told(job, tmp_path):
    job.add("a.jpg", "b.jpg")
    (job.images / "c.jpg").write_bytes(b"no image")
    parts = job.run_shards(tmp_path)
    result = CliRunner().invoke(main, ["merge", *map(str, parts), "-o", str(job.out)])
    assert result.exit_code == 3
    assert result.stdout.startswith("2 images -> ")
    assert "failed: c.jpg: " in result.stderr
    assert json.loads((job.out / "run.json").read_text())["photos"] == {"done": 2, "failed": 1}


def test_images_that_the_journal_knows_of_earlier_are_not_joined(job, tmp_path):
    job.add("a.jpg", "b.jpg")
    parts = job.run_shards(tmp_path)
    journal = parts[0] / "records.jsonl"
    line = journal.read_text()
    journal.write_text(line.replace("a.jpg", "gone.jpg") + line)
    assert api.merge(parts, job.out).done == 2
    journal.write_text("")
    with pytest.raises(
        CocoFormatError, match=r"1 images are done, panoptic\.json has 1 and the jou"
    ):
        api.merge(parts, tmp_path / "again")


def test_ctrl_c_ends_any_command_with_the_shells_number(monkeypatch):
    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "list_models", stop)
    result = CliRunner().invoke(main, ["models"])
    assert (result.exit_code, result.stderr) == (130, "stopped\n")
