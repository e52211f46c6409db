"""`fuse draw`: a picture per image, of its size; what cannot be drawn is said."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from oracle_jobs import SIZE, Job
from PIL import Image
from run_folders import draw_predictions, write_run

from fuse.analysis.draw import draw
from fuse.analysis.opened_run import open_run
from fuse.cli import main
from fuse.errors import CocoFormatError, DataError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.images import read_image
from fuse.viz.render import render_panoptic

NAMES = ("a.jpg", "trip/b.jpg")


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path, draw_predictions(NAMES))


def test_each_image_is_drawn_at_its_size(run, tmp_path):
    result = draw(run, tmp_path / "out")
    assert (result.images, result.findings) == (2, ())
    dataset = read_panoptic_json(run)
    for image_id in dataset.annotations:
        name = dataset.image_name(image_id)
        drawn = np.asarray(Image.open(tmp_path / "out" / name)).astype(int)
        image = read_image(tmp_path / "images" / name)
        expected = render_panoptic(image, dataset.load(image_id), dataset.space)
        assert drawn.shape == expected.shape
        assert np.abs(drawn - expected).mean() < 12  # JPEG


def test_what_cannot_be_drawn_is_counted(run, tmp_path):
    (tmp_path / "images" / "a.jpg").unlink()
    Image.new("RGB", (5, 5)).save(tmp_path / "images" / "trip" / "b.jpg")
    with pytest.raises(DataError, match=r"images are not where it found them"):
        draw(run / "panoptic.json", tmp_path / "gone")  # a JSON alone knows no folder
    result = draw(run, tmp_path / "out")
    assert result.images == 0
    assert [finding.code for finding in result.findings] == ["image-missing", "image-other"]


def test_an_image_that_changed_since_the_run_is_not_drawn(tmp_path):
    job = Job(tmp_path, ["a.jpg", "b.jpg"])
    job.add("a.jpg", "b.jpg")
    job.run()
    Image.new("RGB", SIZE[::-1], "red").save(job.images / "b.jpg")
    result = draw(job.out, tmp_path / "pictures")
    assert result.images == 1
    assert [(found.code, found.first) for found in result.findings] == [("image-changed", "b.jpg")]
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["a.jpg"]


def test_names_that_lead_out_of_the_folder_and_runs_without_images_are_refused(run, tmp_path):
    path = run / "panoptic.json"
    listed = json.loads(path.read_text())
    listed["images"][0]["file_name"] = "../a.jpg"
    path.write_text(json.dumps(listed))
    with pytest.raises(DataError, match=r"image '\.\./a\.jpg': "):
        draw(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    path.write_text(json.dumps(listed | {"images": [], "annotations": []}))
    known = read_panoptic_json(path, default_space=None)
    with pytest.raises(DataError, match="has no images"):
        open_run(path, known=known)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(run, tmp_path):
    (run / "panoptic.json").write_text("no JSON")
    with pytest.raises(DataError, match=r"cannot be written: .*run\.json is no folder"):
        draw(run, run / "run.json" / "out")


def test_a_damaged_map_leaves_no_picture(run, tmp_path):
    (run / "panoptic" / "trip" / "b.png").write_bytes(b"no PNG")
    with pytest.raises(CocoFormatError, match=r"trip/b\.png"):
        draw(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not [*tmp_path.glob("**/*.part")]


def test_the_command(run, tmp_path):
    command = ["draw", str(run), "-o", str(tmp_path / "out")]
    shown = CliRunner().invoke(main, command)
    assert shown.exit_code == 0, shown.output
    assert "2 images ->" in shown.stdout
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 1
    assert "exists; give another name" in again.stderr
