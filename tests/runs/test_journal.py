"""The journal: whose a file is, and lines that are damaged, in one process and after reopening."""

import json

import pytest

from fuse.runs.journal import Journal, JournalRecord, read_records, read_sources, remove_written

HEAD = {"settings": {}}


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    journal.open(HEAD)
    yield journal
    journal.close()


def done(file_name, *files):
    return JournalRecord(file_name, (2, 3), files=dict.fromkeys(files, "0" * 64))


def reopen(folder):
    journal = Journal(folder)
    journal.open(HEAD)
    journal.close()
    return journal


def test_an_image_whose_map_another_takes_is_not_done(tmp_path, journal):
    journal.append(done("a.jpg", "panoptic/a.png", "pictures/a.png"))
    journal.append(done("b.jpg", "panoptic/b.png"))
    journal.append(done("a.png", "panoptic/a.png"))
    for one in (journal, reopen(tmp_path)):
        assert one.count_done() == 2
        assert [one.is_done(name) for name in ("a.jpg", "b.jpg", "a.png")] == [False, True, True]
    assert [record.file_name for record in read_records(tmp_path)] == ["b.jpg", "a.png"]


def test_an_image_stays_done_when_another_takes_what_it_wrote_before(tmp_path, journal):
    journal.append(done("a.jpg", "panoptic/a.png"))
    journal.append(done("a.jpg", "panoptic/a.jpg.png"))
    journal.append(done("a.png", "panoptic/a.png"))
    journal.append(done("c.jpg", "panoptic/c.png"))
    journal.forget("c.jpg")
    journal.append(done("c.png", "panoptic/c.png"))
    for one in (journal, reopen(tmp_path)):
        assert one.count_done() == 3
        assert one.is_done("a.jpg")
        assert not one.is_done("c.jpg")


@pytest.mark.parametrize("files", [3, None, [[1]], ["panoptic/b.png"], "panoptic/b.png"])
def test_a_record_whose_files_are_none_is_a_damaged_line(tmp_path, journal, files):
    journal.append(done("a.jpg", "panoptic/a.png"))
    journal.append(done("b.jpg", "panoptic/b.png"))
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write(json.dumps(done("a.jpg").to_json() | {"files": files}) + "\n")
    again = Journal(tmp_path)
    again.open(HEAD)
    assert again.find("a.jpg") is None
    assert again.damaged == 1
    assert again.find("b.jpg") == done("b.jpg", "panoptic/b.png")
    assert again.count_done() == 1
    again.close()
    assert read_sources(tmp_path) == {}
    remove_written(tmp_path)
