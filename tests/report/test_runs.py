"""Runs opened for a report: which images they share, and where these lie."""

import json
import shutil

import numpy as np
import pytest
from run_folders import draw_predictions, write_maps, write_run

from fuse.analysis.image_files import find_images
from fuse.errors import DataError, LabelSpaceError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.image_list import read_image_list
from fuse.labels import load_space
from fuse.report.runs import open_runs
from fuse.types import PanopticPrediction, SegmentInfo

NAMES = ("a.jpg", "b.jpg", "trip/c.jpg")


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path, draw_predictions(NAMES))


def names_of(shown):
    return [shown.dataset.image_name(image_id) for image_id in shown.dataset.annotations]


def test_without_truth_every_image_is_shown(run):
    (shown,) = open_runs([run], None)
    assert names_of(shown) == list(NAMES)
    assert shown.scorer is None
    assert shown.saved is None


def test_with_truth_only_its_images_and_by_its_ids(run, tmp_path):
    truth = write_maps(tmp_path / "truth.json", draw_predictions(("b.jpg", "other.jpg", "c.jpg")))
    (shown,) = open_runs([run], read_panoptic_json(truth))
    assert shown.own_ids == {1: 2, 3: 3}
    assert names_of(shown) == ["b.jpg", "trip/c.jpg"]
    assert shown.unknown == 1


def test_the_second_run_goes_by_the_ids_of_the_first(run, tmp_path):
    second = write_maps(tmp_path / "second.json", draw_predictions(("x.jpg", "b.jpg", "a.jpg")))
    shown = open_runs([run, second], None)[1]
    assert shown.own_ids == {2: 2, 1: 3}
    assert names_of(shown) == ["b.jpg", "a.jpg"]
    assert shown.unknown == 1


def test_where_no_name_is_known_numbers_of_a_run_are_not_believed(run, tmp_path):
    second = write_maps(tmp_path / "second.json", draw_predictions(("x.jpg", "y.jpg")))
    with pytest.raises(DataError, match="numbered its images itself"):
        open_runs([run, second], None)


def test_runs_without_a_common_image(run, tmp_path):
    truth = write_maps(tmp_path / "truth.json", draw_predictions(("x.jpg",)), first_id=9)
    with pytest.raises(DataError, match=r"none of its images .* is in .*truth\.json"):
        open_runs([run], read_panoptic_json(truth))


def test_runs_of_different_classes_are_not_scored_side_by_side(tmp_path):
    person = SegmentInfo(1, 1, area=12, bbox=(0, 0, 4, 3))
    maps = {"a.jpg": PanopticPrediction(np.ones((3, 4), np.int32), (person,))}
    fine, coarse = load_space("coco_panoptic"), load_space("coco_super")
    run = write_maps(tmp_path / "run.json", maps, fine)
    other = write_maps(tmp_path / "other.json", maps, coarse)
    truth = write_maps(tmp_path / "truth.json", maps, fine)
    with pytest.raises(LabelSpaceError, match=r"different classes: only .*run\.json \(coco_panop"):
        open_runs([run, other], read_panoptic_json(truth))
    assert len(open_runs([run, other], None)) == 2


def test_two_images_that_are_one_of_the_truth(tmp_path):
    run = write_run(tmp_path, draw_predictions(("day/a.jpg", "night/a.jpg")))
    truth = write_maps(tmp_path / "truth.json", draw_predictions(("a.jpg",)))
    with pytest.raises(DataError, match=r"day/a\.jpg and night/a\.jpg are both image 1 of"):
        open_runs([run], read_panoptic_json(truth))


def test_images_are_found_where_the_run_found_them(run, tmp_path):
    found = find_images([*NAMES, "gone.jpg"], open_runs([run], None), None)
    assert found == {name: tmp_path / "images" / name for name in NAMES}


def test_images_that_were_moved_are_found_by_images(run, tmp_path):
    opened = open_runs([run], None)
    shutil.move(tmp_path / "images", tmp_path / "moved")
    assert find_images(NAMES, opened, None) == {}
    found = find_images(NAMES, opened, tmp_path / "moved")
    assert found == {name: tmp_path / "moved" / name for name in NAMES}


def test_a_bare_name_is_taken_only_where_it_is_one_image(run, tmp_path):
    images = tmp_path / "images"
    assert find_images(["elsewhere/a.jpg"], [], images) == {"elsewhere/a.jpg": images / "a.jpg"}
    for name in ("https://host/x/a.jpg?d=1", "..\\media\\a.jpg", "C:\\x\\%61.jpg"):
        assert find_images([name], [], images) == {name: images / "a.jpg"}
    shutil.copy(images / "a.jpg", images / "trip" / "a.jpg")
    assert find_images(["elsewhere/a.jpg"], [], images) == {}


def test_images_are_found_by_the_list_that_the_run_had_or_by_another(run, tmp_path):
    listed = tmp_path / "names.txt"
    listed.write_text("".join(f"images/{name}\n" for name in [*NAMES, "gone.jpg"]))
    path = run / "run.json"
    content = json.loads(path.read_text())
    content["settings"] |= {"inputs": [], "list": {"source": str(listed), "base": str(tmp_path)}}
    path.write_text(json.dumps(content))
    names = [f"images/{name}" for name in [*NAMES, "gone.jpg"]]
    found = {f"images/{name}": tmp_path / "images" / name for name in NAMES}
    assert find_images(names, open_runs([run], None), None) == found
    listed.rename(tmp_path / "moved.txt")
    assert find_images(names, open_runs([run], None), None) == {}
    image_list = read_image_list(tmp_path / "moved.txt")
    by_bare_name = find_images(NAMES, [], None, image_list)
    assert by_bare_name == {name: tmp_path / "images" / name for name in NAMES}


def test_images_behind_a_url_are_found(run, tmp_path):
    inputs = [(tmp_path / "images").as_uri()]
    path = run / "run.json"
    content = json.loads(path.read_text())
    content["settings"]["inputs"] = inputs
    path.write_text(json.dumps(content))
    found = find_images(NAMES, open_runs([run], None), None)
    assert found.keys() == set(NAMES)
    assert found["trip/c.jpg"] == f"{inputs[0]}/trip/c.jpg"
