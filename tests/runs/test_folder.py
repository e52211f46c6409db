"""The output folder: its journal, what it refuses, and what it never leaves behind."""

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from fuse.errors import CocoFormatError, DataError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import load_space
from fuse.runs.folder import RunFolder, read_records
from fuse.runs.records import ImageTask, JournalRecord
from fuse.types import SegmentInfo

SETTINGS = {"pipeline": {"name": "tiny", "fusion": {"score_threshold": 0.5}}, "fuse": "0.1.0"}
SPACE = load_space("coco_panoptic")
SEGMENT = SegmentInfo(1, 17, area=12, bbox=(0, 0, 4, 3), score=0.123456789012345678)
DONE = JournalRecord("cats/ä.jpg", (3, 4), (SEGMENT,), files={"panoptic/cats/ä.png": "0" * 64})
FAILED = JournalRecord('b\n".jpg', error="cut short")


@pytest.mark.parametrize("record", [DONE, FAILED], ids=["done", "failed"])
def test_a_record_survives_the_journal(tmp_path, record):
    with RunFolder(tmp_path / "out", SETTINGS) as folder:
        folder.append(record)
        assert folder.read_record(record.file_name) == record
    with RunFolder(tmp_path / "out", SETTINGS) as folder:
        assert folder.read_record(record.file_name) == record
        assert folder.is_done(record.file_name) == (record.error is None)


def test_a_folder_without_a_journal_is_no_run(tmp_path):
    with pytest.raises(DataError, match="holds no journal"):
        list(read_records(tmp_path))


def test_the_last_record_of_a_image_counts(tmp_path):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(JournalRecord(DONE.file_name, error="vanished"))
        assert not folder.is_done(DONE.file_name)
        folder.append(DONE)
        assert folder.is_done(DONE.file_name)


@pytest.mark.parametrize("kept", range(1, 30, 7))
def test_a_torn_last_line_is_forgotten(tmp_path, kept):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(DONE)
        folder.append(FAILED)
    journal = tmp_path / "records.jsonl"
    first, second = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first + second[:kept])
    with RunFolder(tmp_path, SETTINGS) as folder:
        assert folder.is_done(DONE.file_name)
        assert not folder.is_done(FAILED.file_name)
        folder.append(FAILED)
    assert journal.read_bytes() == first + second


def test_other_settings_are_refused_by_name(tmp_path):
    RunFolder(tmp_path, SETTINGS).__exit__(None, None, None)
    other = {**SETTINGS, "pipeline": {"name": "tiny", "fusion": {"score_threshold": 0.3}}}
    message = r"pipeline\.fusion\.score_threshold was 0\.5, is 0\.3; .*--overwrite"
    with pytest.raises(DataError, match=message):
        RunFolder(tmp_path, other)
    with RunFolder(tmp_path, other, overwrite=True) as folder:
        assert not folder.is_done(DONE.file_name)


def test_overwrite_deletes_a_run_and_nothing_else(tmp_path):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(DONE)
    (tmp_path / "panoptic" / "old.png").write_bytes(b"png")
    (tmp_path / "mine.txt").write_text("keep")
    with RunFolder(tmp_path, SETTINGS, overwrite=True) as folder:
        assert not folder.is_done(DONE.file_name)
    assert not (tmp_path / "panoptic" / "old.png").exists()
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="is not empty and holds no run"):
            RunFolder(tmp_path, SETTINGS, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_second_process_is_refused(tmp_path):
    code = (
        "import sys, json; from pathlib import Path; from fuse.runs.folder import RunFolder;"
        "RunFolder(Path(sys.argv[1]), json.loads(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), json.dumps(SETTINGS)]
    with RunFolder(tmp_path, SETTINGS):
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "DataError: another process is writing to" in second.stderr
    subprocess.run(command, check=True)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="is a file"):
        RunFolder(tmp_path / "out", SETTINGS)


def test_a_broken_journal_names_the_line(tmp_path):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(DONE)
    with (tmp_path / "records.jsonl").open("a") as journal:
        journal.write("nonsense\n")
    with pytest.raises(CocoFormatError, match=r"records\.jsonl, line 2"):
        RunFolder(tmp_path, SETTINGS)


def test_the_panoptic_json_holds_what_is_done_in_the_order_of_the_tasks(tmp_path):
    tasks = [ImageTask(None, f"{n}.jpg", f"{n}.png", n) for n in (1, 2, 3)]
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(JournalRecord("3.jpg", (3, 4), (SEGMENT,)))
        folder.append(JournalRecord("2.jpg", error="cut short"))
        folder.append(JournalRecord("1.jpg", (3, 4)))
        folder.write_maps(tasks, SPACE)
        folder.write_summary({"photos": 2})
    dataset = read_panoptic_json(tmp_path)
    assert list(dataset.annotations) == [1, 3]
    assert dataset.space == SPACE
    written = json.loads((tmp_path / "panoptic.json").read_text())
    assert written["annotations"][1]["segments_info"][0]["score"] == SEGMENT.score
    assert json.loads((tmp_path / "run.json").read_text()) == {
        "settings": SETTINGS,
        "files": {"panoptic.json": sha256((tmp_path / "panoptic.json").read_bytes()).hexdigest()},
        "photos": 2,
    }


def test_a_forgotten_image_is_neither_done_nor_failed(tmp_path):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(DONE)
        folder.append(FAILED)
        assert folder.find_record(FAILED.file_name) == FAILED
        folder.forget(DONE.file_name)
        folder.forget(FAILED.file_name)
    with RunFolder(tmp_path, SETTINGS) as folder:
        for record in (DONE, FAILED):
            assert folder.find_record(record.file_name) is None
        folder.append(DONE)
        assert folder.is_done(DONE.file_name)
    assert [record.file_name for record in read_records(tmp_path)] == [DONE.file_name]


# What a process that was killed while it wrote "name" leaves beside it.
PART = f".{'0123456789abcdef' * 2}.part"


@pytest.mark.parametrize("record", [DONE, None], ids=["an image is done", "none is done"])
@pytest.mark.parametrize("place", [".", "panoptic/cats", "pictures", "predictions/cats"])
def test_what_a_killed_process_had_begun_is_cleared_away(tmp_path, record, place):
    with RunFolder(tmp_path, SETTINGS) as folder:
        if record:
            folder.append(record)
    part = tmp_path / place / PART
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"half")
    with RunFolder(tmp_path, SETTINGS):
        assert not part.exists()


def test_a_process_killed_before_it_wrote_run_json_does_not_spoil_the_folder(tmp_path):
    (tmp_path / ".lock").write_bytes(b"")
    (tmp_path / PART).write_bytes(b'{"settings"')
    with RunFolder(tmp_path, SETTINGS):
        assert {path.name for path in tmp_path.iterdir()} == {
            *(".lock", "run.json", "records.jsonl", "panoptic")
        }


def test_a_file_of_the_user_is_no_leftover(tmp_path):
    for name in (".part", ".mine.part", "notes.part"):
        (tmp_path / name).write_text("keep")
        with pytest.raises(DataError, match="is not empty and holds no run"):
            RunFolder(tmp_path, SETTINGS)
        assert (tmp_path / name).read_text() == "keep"
        (tmp_path / name).unlink()


@pytest.mark.parametrize("calls", range(5))
def test_overwriting_may_be_cut_off_at_any_deletion(tmp_path, monkeypatch, calls):
    out = tmp_path / "out"
    with RunFolder(out, SETTINGS) as folder:
        folder.append(DONE)
        folder.write_maps([ImageTask(None, DONE.file_name, "cats/ä.png", 1)], SPACE)
    for name in ("panoptic", "pictures", "predictions"):
        (out / name).mkdir(exist_ok=True)
        (out / name / "a").write_bytes(b"png")

    left = calls

    def fail_later(delete):
        def wrapped(*args, **options):
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return delete(*args, **options)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail_later(Path.unlink))
        patch.setattr(shutil, "rmtree", fail_later(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            RunFolder(out, {**SETTINGS, "fuse": "0.2.0"}, overwrite=True)
    with RunFolder(out, SETTINGS) as folder:
        done = folder.is_done(DONE.file_name)
        assert done == (calls == 0)
        assert done <= (out / "panoptic" / "a").is_file()


def test_a_damaged_journal_leaves_the_summary_of_the_run(tmp_path):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.append(DONE)
        folder.write_summary({"photos": {"done": 1}})
    before = (tmp_path / "run.json").read_bytes()
    with (tmp_path / "records.jsonl").open("a") as journal:
        journal.write("no record\n")
    with pytest.raises(CocoFormatError, match="start anew with --overwrite"):
        RunFolder(tmp_path, SETTINGS)
    assert (tmp_path / "run.json").read_bytes() == before


def test_what_a_file_browser_leaves_is_no_content(tmp_path):
    (tmp_path / ".DS_Store").touch()
    with RunFolder(tmp_path, SETTINGS):
        assert (tmp_path / "run.json").is_file()
