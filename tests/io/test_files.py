"""Files that appear whole: what errors name, and what cannot be written at all."""

import errno
import os
from pathlib import Path

import pytest

from fuse.errors import DataError
from fuse.io.files import (
    PART_ENDING,
    check_writable,
    make_parent,
    mend_pair,
    open_whole,
    write_folder_aside,
    write_pair_aside,
    write_whole,
)


def test_an_error_names_the_file_asked_for(tmp_path):
    path = tmp_path / "none" / "a.json"
    with pytest.raises(FileNotFoundError) as failure:
        write_whole(path, b"")
    assert failure.value.filename == str(path)


def test_a_full_disk_names_the_file_too(tmp_path):
    with pytest.raises(OSError, match="No space") as failure, open_whole(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write has it, without a name
    assert failure.value.filename == str(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_a_pair_aside_names_its_place_in_the_end(tmp_path):
    with pytest.raises(FileNotFoundError) as failure, write_pair_aside(tmp_path / "a.json") as part:
        write_whole(part.parent / "none" / "b.png", b"")
    assert failure.value.filename == str(tmp_path / "none" / "b.png")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_aside_is_there_whole_or_not_at_all(tmp_path):
    out = tmp_path / "below" / "out"
    with pytest.raises(FileNotFoundError) as failure, write_folder_aside(out) as part:
        write_whole(part / "none" / "b.png", b"")
    assert failure.value.filename == str(out / "none" / "b.png")
    assert list(out.parent.iterdir()) == []
    killed = out.with_name(f".out.{'0' * 32}{PART_ENDING}")
    for folder in (killed, out):  # what a killed process left, and an empty folder in place
        folder.mkdir()
        os.utime(folder, (0, 0))
    with write_folder_aside(out) as part:
        (part / "a.png").touch()
        assert list(out.iterdir()) == []
    assert list(tmp_path.rglob("*")) == [out.parent, out, out / "a.png"]


def test_two_writers_of_a_file_both_come_to_their_end(tmp_path):
    path = tmp_path / "a.json"
    with open_whole(path) as slow:
        with open_whole(path) as fast:
            fast.write(b"fast")
        assert path.read_bytes() == b"fast"
        slow.write(b"slow")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.json": b"slow"}


def test_two_writers_of_a_pair_both_come_to_their_end(tmp_path):
    path = tmp_path / "a.json"
    with write_pair_aside(path) as slow:
        with write_pair_aside(path) as fast:
            fast.write_bytes(b"fast")
        slow.write_bytes(b"slow")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.json": b"slow"}


def test_what_is_aside_is_left_once_nothing_in_it_changed_for_a_day(tmp_path):
    at_work, left = (tmp_path / f".a.json.{digit * 32}{PART_ENDING}" for digit in "01")
    for folder in (at_work, left):
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "1.png").touch()
        for path in (folder / "a" / "1.png", folder / "a", folder):
            os.utime(path, (0, 0))
    os.utime(at_work / "a" / "1.png")
    with write_pair_aside(tmp_path / "a.json") as part:
        part.touch()
    assert (at_work / "a" / "1.png").exists()
    assert not left.exists()


@pytest.mark.parametrize("is_in_place", [False, True])
def test_what_a_cut_off_swap_put_aside_is_not_taken_for_that_of_a_later_one(tmp_path, is_in_place):
    """The older of two swaps was killed before its last step, or after it."""
    path = tmp_path / "a.json"
    older, newer = (tmp_path / f".a.json.{digit * 32}{PART_ENDING}" for digit in "01")
    write_whole(make_parent(older, "old/a.json"), b"1")
    if is_in_place:
        write_whole(path, b"2")
    mend_pair(path)
    assert path.read_bytes() == (b"2" if is_in_place else b"1")
    path.replace(make_parent(newer, "old/a.json"))
    mend_pair(path)
    assert path.read_bytes() == (b"2" if is_in_place else b"1")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["new", "new/below/it", "there.json", "folder"])
def test_what_can_be_written_passes(tmp_path, name, monkeypatch):
    (tmp_path / "there.json").touch()
    (tmp_path / "folder").mkdir()
    check_writable(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    check_writable(Path("relative"))


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/out cannot be written: .*file is no folder"):
        check_writable(tmp_path / "file" / "out")


def test_a_folder_without_the_right_to_write_is_named(tmp_path, monkeypatch):
    """root may write everywhere: the system is asked, and here it says no."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(DataError, match="this user may not write into") as failure:
        check_writable(tmp_path / "a" / "b.json")
    assert str(failure.value).startswith(f"{tmp_path}/a/b.json cannot be written")
