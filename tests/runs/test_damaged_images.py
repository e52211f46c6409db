"""Images that decoders take although half is missing: done with a note, or failed if asked."""

import io
import json

import numpy as np
import pytest
from oracle_jobs import SIZE, Job
from PIL import Image

from fuse import api
from fuse.cli import main


def half_jpeg():
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    content = file.getvalue()
    return content[: len(content) // 2] + b"\xff\xd9"


@pytest.fixture
def job(tmp_path):
    job = Job(tmp_path, ["a.jpg", "b.jpg"])
    job.add("a.jpg")
    (job.images / "b.jpg").write_bytes(half_jpeg())
    return job


def test_a_damaged_image_is_done_and_named_also_when_it_was_done_earlier(job):
    for tried in (2, 0):
        result = job.run()
        assert (result.done, result.tried, result.failed) == (2, tried, ())
        ((name, damage),) = result.incomplete
        assert name == "b.jpg"
        assert "Corrupt JPEG data" in damage
        about = json.loads((job.out / "run.json").read_text())
        assert about["incomplete"] == {"b.jpg": damage}
    assert not api.verify(job.out).damages


def test_strict_images_fail_also_where_they_were_done_before(job):
    strict = job.run(job.out.with_name("strict"), strict_images=True)
    assert [name for name, _ in strict.failed] == ["b.jpg"]
    assert strict.incomplete == ()
    job.run()
    again = job.run(strict_images=True)
    assert (again.done, again.tried) == (1, 1)
    assert "b.jpg: Corrupt JPEG data" in again.failed[0][1]
    names = [
        image["file_name"]
        for image in json.loads((job.out / "panoptic.json").read_text())["images"]
    ]
    assert names == ["a.jpg"]


def test_shards_keep_what_was_damaged(job, tmp_path):
    api.merge(job.run_shards(tmp_path), job.out)
    assert list(json.loads((job.out / "run.json").read_text())["incomplete"]) == ["b.jpg"]


@pytest.mark.ray
def test_the_ray_engine_says_the_same(job):
    result = job.run(engine="ray", workers=1)
    assert [name for name, _ in result.incomplete] == ["b.jpg"]


def test_the_command_says_what_is_damaged_in_one_line(job, capfd):
    command = ["run", str(job.images), "-o", str(job.out), "--pipeline", str(job.preset)]
    assert main(command, standalone_mode=False) in (None, 0)
    lines = capfd.readouterr().err.splitlines()
    (note,) = [line for line in lines if "damaged" in line]
    assert note.startswith("note: 1 images are damaged and were read as far as they go: b.jpg (")
    assert note.endswith("--strict-images lets them fail")
    with pytest.raises(SystemExit) as failure:
        main([*command, "--strict-images"], standalone_mode=False)
    assert failure.value.code == 3


def test_an_image_whose_damage_is_no_text_is_done_again(job):
    job.run()
    journal = job.out / "records.jsonl"
    text = journal.read_text()
    start = text.index('"damage":') + len('"damage":')
    stop = text.index(',"size"', start)
    journal.write_text(text[:start] + "7" + text[stop:])
    result = job.run()
    assert (result.done, result.tried) == (2, 1)
    ((name, damage),) = result.incomplete
    assert name == "b.jpg"
    assert "Corrupt JPEG data" in damage
