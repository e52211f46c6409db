"""Verifying a run: every kind of damage is found, named, and done again."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fuse import api
from fuse.errors import CocoFormatError, DataError

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
NAMES = ("astronaut.jpg", "chelsea.jpg", "hopper.jpg")
OPTIONS = {"device": "cpu", "keep_predictions": True, "pictures": True}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name in NAMES:
        shutil.copy(EXAMPLES / name, folder)
    return folder


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "out"
    api.run([str(images)], out, **OPTIONS)
    return out


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def test_an_untouched_run_is_whole(run):
    found = api.verify(run)
    assert found.damages == ()
    assert found.files == 3 * 3 + 1  # maps, predictions and pictures, and the JSON


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a bit flipped": (flip_bit, "is not the file that was written"),
    "cut short": (
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        "is not the file that was written",
    ),
    "deleted": (Path.unlink, "is missing"),
}


FILES = (
    "panoptic/chelsea.png",
    "predictions/hopper.npz",
    "pictures/astronaut.jpg",
    "panoptic.json",
)


@pytest.mark.parametrize(("damage", "problem"), DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("path", FILES)
def test_damage_is_found(run, path, damage, problem):
    damage(run / path)
    (found,) = api.verify(run).damages
    assert (found.path, found.problem) == (path, problem)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [damage for damage, _ in DAMAGES.values()], ids=DAMAGES)
@pytest.mark.parametrize("path", FILES)
def test_damage_is_done_again(run, finished, images, path, damage):
    damage(run / path)
    api.verify(run, redo=True)
    api.run([str(images)], run, **OPTIONS)
    assert api.verify(run).damages == ()
    for file in finished.rglob("*"):
        if file.suffix in (".png", ".npz") or file.name == "panoptic.json":
            assert (run / file.relative_to(finished)).read_bytes() == file.read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_a_named_pipe_in_place_of_a_map_is_damage(run):
    path = run / "panoptic/chelsea.png"
    path.unlink()
    os.mkfifo(path)
    (found,) = api.verify(run).damages
    assert (found.path, found.problem) == (
        "panoptic/chelsea.png",
        "cannot be read (not a regular file)",
    )


def test_only_the_damaged_image_is_done_again(run, images):
    (run / "panoptic/chelsea.png").unlink()
    before = (run / "panoptic/hopper.png").stat().st_mtime_ns
    api.verify(run, redo=True)
    api.run([str(images)], run, **OPTIONS)
    assert api.verify(run).damages == ()
    assert (run / "panoptic/hopper.png").stat().st_mtime_ns == before


def test_a_journal_that_lost_records_is_damage(run, images):
    journal = run / "records.jsonl"
    head, first, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(head + bytes(len(first) - 1) + b"\n" + b"".join(rest))
    (found,) = api.verify(run).damages
    assert found.path == "records.jsonl"
    assert found.problem == "has 2 of the 3 images that were done"
    api.resume(run)
    assert api.verify(run).damages == ()


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        api.verify(tmp_path)


@pytest.mark.parametrize("path", ["../x.png", "/etc/passwd", "C:/x.png", "a/../../x", ""])
def test_a_journal_that_points_outside_is_refused(run, path):
    journal = run / "records.jsonl"
    settings, first, *rest = journal.read_text().splitlines(keepends=True)
    entry = json.loads(first)
    entry["files"] = {path: "0" * 64}
    journal.write_text(settings + json.dumps(entry) + "\n" + "".join(rest))
    with pytest.raises(CocoFormatError, match="is not a path inside the folder"):
        api.verify(run)
