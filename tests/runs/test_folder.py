"""The output folder: its journal, what it refuses, and what it never leaves behind."""

import json
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fuse.errors import DataError
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.labels import load_space
from fuse.runs.folder import RunFolder, read_run_file
from fuse.runs.journal import JournalRecord, read_records
from fuse.runs.tasks import ImageTask
from fuse.types import SegmentInfo

SETTINGS = {"pipeline": {"name": "tiny", "fusion": {"score_threshold": 0.5}}, "fuse": "0.1.0"}
SPACE = load_space("coco_panoptic")
SEGMENT = SegmentInfo(1, 17, area=12, bbox=(0, 0, 4, 3), score=0.123456789012345678)
DONE = JournalRecord("cats/ä.jpg", (3, 4), (SEGMENT,), files={"panoptic/cats/ä.png": "0" * 64})
FAILED = JournalRecord('b\n".jpg', error="cut short")


@pytest.mark.parametrize("record", [DONE, FAILED], ids=["done", "failed"])
def test_a_record_survives_the_journal(tmp_path, record):
    with RunFolder(tmp_path / "out", SETTINGS) as folder:
        folder.journal.append(record)
        assert folder.journal.read(record.file_name) == record
    with RunFolder(tmp_path / "out", SETTINGS) as folder:
        assert folder.journal.read(record.file_name) == record
        assert folder.journal.is_done(record.file_name) == (record.error is None)


def test_a_folder_without_a_journal_is_no_run(tmp_path):
    with pytest.raises(DataError, match="holds no journal"):
        list(read_records(tmp_path))


def test_the_last_record_of_a_image_counts(tmp_path):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.journal.append(JournalRecord(DONE.file_name, error="vanished"))
        assert not folder.journal.is_done(DONE.file_name)
        folder.journal.append(DONE)
        assert folder.journal.is_done(DONE.file_name)


@pytest.mark.parametrize("kept", range(1, 30, 7))
def test_a_torn_last_line_is_forgotten(tmp_path, kept):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.journal.append(DONE)
        folder.journal.append(FAILED)
    journal = tmp_path / "records.jsonl"
    settings, first, second = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(settings + first + second[:kept])
    with RunFolder(tmp_path, SETTINGS) as folder:
        assert folder.journal.is_done(DONE.file_name)
        assert not folder.journal.is_done(FAILED.file_name)
        folder.journal.append(FAILED)
    assert journal.read_bytes() == settings + first + second


def test_other_settings_are_refused_by_name(tmp_path):
    RunFolder(tmp_path, SETTINGS).__exit__(None, None, None)
    other = {**SETTINGS, "pipeline": {"name": "tiny", "fusion": {"score_threshold": 0.3}}}
    message = r"pipeline\.fusion\.score_threshold was 0\.5, is 0\.3; .*--overwrite"
    with pytest.raises(DataError, match=message):
        RunFolder(tmp_path, other)
    with RunFolder(tmp_path, other, overwrite=True) as folder:
        assert not folder.journal.is_done(DONE.file_name)


def test_overwrite_deletes_what_the_journal_names_and_nothing_else(tmp_path):
    (written,) = (tmp_path / name for name in DONE.files)
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.journal.append(DONE)
        folder.journal.append(replace(DONE, files={"panoptic/new/ä.png": "0" * 64}))
    for path in (written, tmp_path / "panoptic/new/ä.png", tmp_path / "panoptic/cats/mine.png"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"png")
    (tmp_path / "mine.txt").write_text("keep")
    with RunFolder(tmp_path, SETTINGS, overwrite=True) as folder:
        assert not folder.journal.is_done(DONE.file_name)
    assert not written.exists()
    assert not (tmp_path / "panoptic/new").exists()
    assert (tmp_path / "panoptic/cats/mine.png").read_bytes() == b"png"
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("content", ['{"lr": 0.1}', '{"settings": {"lr": 0.1}}', "[]", ""])
def test_a_run_json_of_something_else_is_no_run(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "mine.jpg").touch()
    with pytest.raises(DataError):
        RunFolder(tmp_path, SETTINGS, overwrite=True)
    assert (tmp_path / "pictures" / "mine.jpg").is_file()
    assert (tmp_path / "run.json").read_text() == content


def test_overwriting_follows_no_link_out_of_the_folder(tmp_path):
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    (elsewhere / "ä.png").write_bytes(b"png")
    with RunFolder(out, SETTINGS) as folder:
        folder.journal.append(DONE)
    (out / "panoptic" / "cats").symlink_to(elsewhere)
    with pytest.raises(DataError, match="is a link that leads out"):
        RunFolder(out, SETTINGS, overwrite=True)
    assert (elsewhere / "ä.png").read_bytes() == b"png"


@pytest.mark.parametrize("damage", ["lost", "empty", "zeros"])
def test_a_lost_run_json_is_made_again_from_the_journal(tmp_path, damage):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.journal.append(DONE)
        folder.write_summary({"photos": {"done": 1}})
    path = tmp_path / "run.json"
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else bytes(100))
    assert read_run_file(tmp_path) == {"settings": SETTINGS}
    with RunFolder(tmp_path, SETTINGS) as folder:
        assert folder.journal.is_done(DONE.file_name)
    assert json.loads(path.read_text()) == {"settings": SETTINGS}


def test_a_record_that_names_a_map_ends_the_one_that_named_it_before(tmp_path):
    files = {"panoptic/a.png": "0" * 64}
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.journal.append(JournalRecord("a.jpg", (3, 4), files=files))
        folder.journal.append(JournalRecord("a.png", (3, 4), files=files))
    with RunFolder(tmp_path, SETTINGS) as folder:
        assert not folder.journal.is_done("a.jpg")
        assert folder.journal.is_done("a.png")
    assert [record.file_name for record in read_records(tmp_path)] == ["a.png"]


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


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b"{}\n", bytes(4096) + b"\n"])
def test_damaged_lines_are_counted_and_their_images_done_again(tmp_path, line):
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.journal.append(DONE)
    with (tmp_path / "records.jsonl").open("ab") as journal:
        journal.write(line)
    with RunFolder(tmp_path, SETTINGS) as folder:
        assert folder.journal.damaged == 1
        assert folder.journal.is_done(DONE.file_name)
        folder.journal.append(FAILED)
    assert [record.file_name for record in read_records(tmp_path)] == [
        DONE.file_name,
        FAILED.file_name,
    ]


def test_the_panoptic_json_holds_what_is_done_in_the_order_of_the_tasks(tmp_path):
    tasks = [ImageTask(None, f"{n}.jpg", f"{n}.png", n) for n in (1, 2, 3)]
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.journal.append(JournalRecord("3.jpg", (3, 4), (SEGMENT,)))
        folder.journal.append(JournalRecord("2.jpg", error="cut short"))
        folder.journal.append(JournalRecord("1.jpg", (3, 4)))
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
        folder.journal.append(DONE)
        folder.journal.append(FAILED)
        assert folder.journal.find(FAILED.file_name) == FAILED
        folder.journal.forget(DONE.file_name)
        folder.journal.forget(FAILED.file_name)
    with RunFolder(tmp_path, SETTINGS) as folder:
        for record in (DONE, FAILED):
            assert folder.journal.find(record.file_name) is None
        folder.journal.append(DONE)
        assert folder.journal.is_done(DONE.file_name)
    assert [record.file_name for record in read_records(tmp_path)] == [DONE.file_name]


# What a process that was killed while it wrote "name" leaves beside it.
PART = f".{'0123456789abcdef' * 2}.part"


@pytest.mark.parametrize("record", [DONE, None], ids=["an image is done", "none is done"])
@pytest.mark.parametrize("place", [".", "panoptic/cats", "pictures", "predictions/cats"])
def test_what_a_killed_process_had_begun_is_cleared_away(tmp_path, record, place):
    with RunFolder(tmp_path, SETTINGS) as folder:
        if record:
            folder.journal.append(record)
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


def test_a_run_resumes_where_an_image_is_new_or_its_map_has_another_name(tmp_path):
    done = ImageTask(None, DONE.file_name, "cats/ä.png", 1)
    renamed = ImageTask(None, DONE.file_name, "cats/ä.jpg.png", 1)
    failed = ImageTask(None, FAILED.file_name, "b.png", 2)
    new = ImageTask(None, "new.jpg", "new.png", 3)
    with RunFolder(tmp_path, SETTINGS) as folder:
        folder.journal.append(DONE)
        folder.journal.append(FAILED)
        for retry_failed in (False, True):
            found = [
                folder.journal.find_finished(task, retry_failed=retry_failed, check_hash=False)
                for task in (done, renamed, failed, new)
            ]
            assert found == [DONE, None, None if retry_failed else FAILED, None]


@pytest.mark.parametrize("calls", range(3))
def test_overwriting_may_be_cut_off_at_any_deletion(tmp_path, monkeypatch, calls):
    out = tmp_path / "out"
    written = out / next(iter(DONE.files))
    with RunFolder(out, SETTINGS) as folder:
        folder.journal.append(DONE)
        folder.write_maps([ImageTask(None, DONE.file_name, "cats/ä.png", 1)], SPACE)
    written.parent.mkdir()
    written.write_bytes(b"png")

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
        with pytest.raises(KeyboardInterrupt):
            RunFolder(out, {**SETTINGS, "fuse": "0.2.0"}, overwrite=True)
    with RunFolder(out, SETTINGS) as folder:
        done = folder.journal.is_done(DONE.file_name)
        assert done == (calls == 0)
        assert done <= written.is_file()


def test_what_a_file_browser_leaves_is_no_content(tmp_path):
    (tmp_path / ".DS_Store").touch()
    with RunFolder(tmp_path, SETTINGS):
        assert (tmp_path / "run.json").is_file()
