"""The one pairing of predictions with truth: by name, else by id, and what is refused."""

import json
from unicodedata import normalize

import pytest
from panoptic_maps import SPACE

from fuse.errors import DataError
from fuse.io.coco.pairing import pair_images
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.io.files import JOURNAL_FILE, RUN_FILE


def write(folder, images, *, is_run=False):
    """A dataset of void maps, ``{image_id: file_name}``; the pairing reads no PNG."""
    (folder / "panoptic").mkdir(parents=True)
    content = {
        "images": [{"id": i, "file_name": name} for i, name in images.items()],
        "annotations": [
            {"image_id": i, "file_name": f"{place}.png", "segments_info": []}
            for place, i in enumerate(images)
        ],
        "categories": [
            {"id": c.category_id, "name": c.name, "isthing": int(c.isthing)}
            for c in SPACE.categories
        ],
    }
    (folder / "panoptic.json").write_text(json.dumps(content), encoding="utf-8")
    if is_run:
        (folder / RUN_FILE).write_text("{}")
        (folder / JOURNAL_FILE).write_text("")
    return read_panoptic_json(folder / "panoptic.json")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("val/caf%C3%A9 1.jpg", id="percent-encoded"),
        pytest.param(normalize("NFD", "café 1.png"), id="NFD, as macOS writes it"),
        pytest.param("https://host/a/caf%C3%A9%201.jpg", id="URL"),
        pytest.param("http://host:8080/data/upload/café 1.jpg?d=a/b", id="URL with a query"),
        pytest.param("data/local-files/café 1.jpg?d=x", id="query"),
        pytest.param("C:\\images\\café 1.jpg", id="Windows"),
    ],
)
@pytest.mark.parametrize("is_run", [True, False], ids=["run", "JSON"])
def test_names_are_one_however_they_are_written(tmp_path, name, is_run):
    predictions = write(tmp_path / "p", {1: "b.jpg", 2: "café 1.jpg"}, is_run=is_run)
    truth = write(tmp_path / "t", {1: name, 2: "b.jpg"})
    assert pair_images(predictions, truth) == {2: 1, 1: 2}


def test_leading_zeros_do_not_matter(tmp_path):
    predictions = write(tmp_path / "p", {"x": "139.jpg"})
    assert pair_images(predictions, write(tmp_path / "t", {7: "000000000139.jpg"})) == {7: "x"}


def test_official_goes_by_id(tmp_path):
    predictions = write(tmp_path / "p", {1: "a.jpg", 2: "b.jpg"})
    truth = write(tmp_path / "t", {2: "a.jpg", 1: "b.jpg"})
    assert pair_images(predictions, truth) == {2: 1, 1: 2}
    assert pair_images(predictions, truth, by_id=True) == {1: 1, 2: 2}


def test_what_no_name_finds_is_paired_by_id_but_in_runs(tmp_path):
    images = {1: "a.jpg", 2: "new.jpg", 3: "far.jpg"}
    truth = write(tmp_path / "t", {5: "a.jpg", 2: "old.jpg", 1: "c.jpg"})
    assert pair_images(write(tmp_path / "p", images), truth) == {5: 1, 2: 2}
    assert pair_images(write(tmp_path / "r", images, is_run=True), truth) == {5: 1}


@pytest.mark.parametrize("runs", [(True, False), (False, True)], ids=["predictions", "truth"])
def test_numbers_that_a_run_gave_itself_are_not_believed(tmp_path, runs):
    predictions = write(tmp_path / "p", {1: "a.jpg", 2: "b.jpg"}, is_run=runs[0])
    truth = write(tmp_path / "t", {1: "x.jpg", 2: "y.jpg"}, is_run=runs[1])
    with pytest.raises(DataError, match=r"numbered its images itself.*'a.jpg'|'a.jpg'.*itself"):
        pair_images(predictions, truth)


def test_numbers_in_names_are_believed(tmp_path):
    predictions = write(tmp_path / "p", {139: "000000000139.jpg"}, is_run=True)
    truth = write(tmp_path / "t", {139: "COCO_val2014_000000000139.jpg"})
    assert pair_images(predictions, truth) == {139: 139}


def test_two_predictions_of_one_image_are_refused(tmp_path):
    predictions = write(tmp_path / "p", {1: "x/a.jpg", 2: "y/a.jpg"})
    with pytest.raises(DataError, match=r"x/a.jpg and y/a.jpg are both image 5"):
        pair_images(predictions, write(tmp_path / "t", {5: "a.jpg"}))


def test_no_common_image_is_refused(tmp_path):
    truth = write(tmp_path / "t", {5: "a.jpg"})
    with pytest.raises(DataError, match=r"none of its images \(image_id 1, 'b.jpg', ...\) is in"):
        pair_images(write(tmp_path / "p", {1: "b.jpg"}), truth)
