"""What changed, came back or lies beside the images between two calls of one run."""

import json
import os
from errno import ENAMETOOLONG

import pytest
from oracle_jobs import SIZE, Job
from PIL import Image

from fuse import api
from fuse.errors import DataError
from fuse.io.png import write_id_map


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])


def repaint(path, colour, *, keep_time=False):
    """Other pixels in a file of the same size, with the same time where that is asked for."""
    about = path.stat()
    Image.new("RGB", SIZE[::-1], colour).save(path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + (0 if keep_time else 10**9)))


def test_changed_images_are_done_again_and_counted(job):
    job.add("a.jpg", "b.jpg", "c.jpg")
    options = {"pictures": True, "keep_predictions": True}
    assert job.run(**options).changed == 0
    before = {path: path.stat().st_mtime_ns for path in job.out.rglob("*.*") if path.is_file()}
    repaint(job.images / "b.jpg", "red")
    result = job.run(**options)
    assert (result.done, result.tried, result.changed) == (3, 1, 1)
    written = {
        p.relative_to(job.out).as_posix() for p, t in before.items() if p.stat().st_mtime_ns > t
    }
    assert {name for name in written if "/" in name} == {
        *("panoptic/b.png", "pictures/b.jpg", "predictions/b.npz"),
    }
    assert job.run(**options).tried == 0
    assert json.loads((job.out / "run.json").read_text())["changed"] == 0


def test_a_new_time_alone_is_no_change_and_contents_are_looked_at_when_asked(job):
    job.add("a.jpg", "b.jpg", "c.jpg")
    job.run()
    os.utime(job.images / "a.jpg", ns=(1, 1))
    assert job.run().tried == 0
    Image.new("RGB", SIZE[::-1], "red").save(job.images / "b.jpg")
    red = (job.images / "b.jpg").stat()
    assert job.run().changed == 1
    Image.new("RGB", SIZE[::-1], "lime").save(job.images / "b.jpg")
    lime = (job.images / "b.jpg").stat()
    os.utime(job.images / "b.jpg", ns=(red.st_atime_ns, red.st_mtime_ns))
    assert job.run().changed == (red.st_size != lime.st_size)
    assert job.run(check_images=True).changed == (red.st_size == lime.st_size)


def test_failed_images_that_changed_are_tried_again(job):
    job.add("a.jpg", "b.jpg", "c.jpg")
    whole = (job.images / "a.jpg").read_bytes()
    (job.images / "a.jpg").write_bytes(whole[:100])
    assert len(job.run().failed) == 1
    assert job.run().tried == 0
    (job.images / "a.jpg").write_bytes(whole)
    result = job.run()
    assert (result.failed, result.tried, result.changed) == ((), 1, 1)


@pytest.mark.parametrize("before", ["empty", "missing", "locked"])
def test_images_that_could_not_be_read_are_tried_again_once_they_can_be(job, before):
    job.add("a.jpg", "b.jpg", "c.jpg")
    path = job.images / "a.jpg"
    whole = path.read_bytes()
    path.unlink()
    if before == "empty":
        path.touch()
    elif before == "missing":
        path.symlink_to(job.images / "nowhere")
    elif os.name == "nt" or os.geteuid() == 0:
        pytest.skip("root may read every file")
    else:
        path.write_bytes(whole)
        path.chmod(0)
    for tried in (3, 0):
        result = job.run()
        assert (len(result.failed), result.tried, result.changed) == (1, tried, 0)
    if before == "locked":
        path.chmod(0o600)
    else:
        path.unlink()
        path.write_bytes(whole)
    result = job.run()
    assert (result.failed, result.tried, result.changed) == ((), 1, 1)


def test_shards_keep_what_their_images_were(job, tmp_path):
    job.add("a.jpg", "b.jpg", "c.jpg")
    shards = job.run_shards(tmp_path)
    api.merge(shards, job.out)
    assert job.run().tried == 0
    repaint(job.images / "c.jpg", "red")
    assert job.run().changed == 1


def test_a_map_of_another_image_is_not_taken_for_that_of_one_that_came_back(tmp_path):
    job = Job(tmp_path, ["a.jpg", "a.png", "b.jpg"])
    job.add("a.jpg", "b.jpg")
    job.run()
    kept = (job.images / "a.jpg").rename(tmp_path / "kept.jpg")
    job.add("a.png")
    job.run()
    (job.images / "a.png").unlink()
    kept.rename(job.images / "a.jpg")
    assert job.run().tried == 1
    (score,) = (s for s in api.evaluate(job.gt, job.out).images if s.file_name == "a.jpg")
    assert score.stats.fn[score.stats.category_ids < 13].sum() == 0  # its things


def test_merge_checks_hashes_and_replaces_links(job, tmp_path):
    job.add("a.jpg", "b.jpg", "c.jpg")
    shards = job.run_shards(tmp_path)
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("mine")
    api.merge(shards, job.out)
    (job.out / "panoptic/a.png").unlink()
    (job.out / "panoptic/a.png").symlink_to(elsewhere)
    api.merge(shards, job.out)
    assert elsewhere.read_text() == "mine"
    assert not (job.out / "panoptic/a.png").is_symlink()
    (shards[0] / "panoptic/a.png").write_bytes(b"other")
    with pytest.raises(DataError, match=r"is not the file that was written.*verify .* --redo"):
        api.merge(shards, tmp_path / "again")


def test_a_map_path_that_is_too_long_fails_alone(job, monkeypatch):
    job.add("a.jpg", "b.jpg", "c.jpg")

    def refuse(path, panoptic_map):
        if path.name == "b.png":
            raise OSError(ENAMETOOLONG, "File name too long", str(path))
        return write_id_map(path, panoptic_map)

    monkeypatch.setattr("fuse.runs.worker.write_id_map", refuse)
    result = job.run()
    assert [name for name, _ in result.failed] == ["b.jpg"]
    assert "too long" in result.failed[0][1]


def test_what_lies_beside_the_images_is_counted(job):
    job.add("a.jpg", "b.jpg", "c.jpg")
    (job.images / "list.csv").touch()
    assert job.run().unread == {".csv": 1}
