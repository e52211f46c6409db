"""Downloads from a server on this machine: cut, wrong, missing, twice at once."""

import hashlib
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from web_server import serve

from fuse.errors import DataError
from fuse.models.weights.download import check_hash, download

CONTENT = np.random.default_rng(0).bytes(3_000_000)  # a few pieces
HASH = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def server():
    with serve() as running:
        running.files["/net.pth"] = CONTENT
        yield running


def names_in(folder):
    """What a user would see there; the lock of a download stays, hidden."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_file_comes_whole_with_its_folder_and_tells_how_far_it_is(server, tmp_path):
    path, steps = tmp_path / "new" / "net.pth", []
    download(f"{server.url}/net.pth", path, HASH, lambda *step: steps.append(step))
    assert path.read_bytes() == CONTENT
    assert names_in(path.parent) == ["net.pth"]
    assert steps == sorted(steps)
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in steps} == {len(CONTENT)}


@pytest.mark.parametrize("known_hash", [HASH[:15], f"md5:{hashlib.md5(CONTENT).hexdigest()[:6]}"])
def test_the_start_of_a_hash_will_do(server, tmp_path, known_hash):
    download(f"{server.url}/net.pth", tmp_path / "net.pth", known_hash)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_cut_connection_is_taken_up_where_it_was_cut(server, tmp_path):
    server.cut_after = [1_000_000, 500_000]
    download(f"{server.url}/net.pth", tmp_path / "net.pth", HASH)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [
        None,
        "bytes=1000000-",
        "bytes=1500000-",
    ]


def test_the_next_call_takes_up_what_a_killed_one_left(server, tmp_path):
    server.cut_after = [1_000_000, 0]
    with pytest.raises(OSError, match="cut"):
        download(f"{server.url}/net.pth", tmp_path / "net.pth", HASH)
    assert names_in(tmp_path) == [".net.pth.part"]
    download(f"{server.url}/net.pth", tmp_path / "net.pth", HASH)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert server.requests[-1] == ("/net.pth", "bytes=1000000-")
    assert names_in(tmp_path) == ["net.pth"]


def test_a_server_without_ranges_starts_from_the_beginning(server, tmp_path):
    server.cut_after = [1_000_000]
    server.has_ranges = False
    download(f"{server.url}/net.pth", tmp_path / "net.pth", HASH)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_partial_file_that_is_whole_is_only_checked(server, tmp_path):
    (tmp_path / ".net.pth.part").write_bytes(CONTENT)
    download(f"{server.url}/net.pth", tmp_path / "net.pth", HASH)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(server, tmp_path):
    server.files["/net.pth"] = CONTENT[:-1] + b"?"
    message = rf"net\.pth: the sha256 of its content is [0-9a-f]{{64}}, not {HASH[7:]}$"
    with pytest.raises(DataError, match=message):
        download(f"{server.url}/net.pth", tmp_path / "net.pth", HASH)
    assert names_in(tmp_path) == []


def test_what_is_not_there_is_an_error_at_once(server, tmp_path):
    with pytest.raises(OSError, match="404"):
        download(f"{server.url}/none.pth", tmp_path / "none.pth", HASH)
    assert names_in(tmp_path) == []


def test_no_network_is_an_error_at_once(server, tmp_path):
    server.server_close()
    server.socket.close()
    with pytest.raises(OSError, match="refused"):
        download("http://127.0.0.1:9/net.pth", tmp_path / "net.pth", HASH)


def test_a_file_that_is_there_is_kept(server, tmp_path):
    (tmp_path / "net.pth").write_bytes(b"mine")
    download(f"{server.url}/net.pth", tmp_path / "net.pth", HASH)
    assert (tmp_path / "net.pth").read_bytes() == b"mine"
    assert server.requests == []


def test_two_at_once_fetch_it_once(server, tmp_path):
    paths = [tmp_path / "net.pth"] * 4
    threads = [
        threading.Thread(target=download, args=(f"{server.url}/net.pth", path, HASH))
        for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert len(server.requests) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_at_once(server, tmp_path):
    (tmp_path / ".net.pth.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        download(f"{server.url}/net.pth", tmp_path / "net.pth", HASH)
    assert len(server.requests) == 1


@pytest.mark.parametrize("known_hash", ["sha256:00", "md5:00"])
def test_a_hash_that_differs_is_told_in_full(tmp_path, known_hash):
    (tmp_path / "net.pth").write_bytes(b"net")
    algorithm = known_hash.partition(":")[0]
    found = hashlib.new(algorithm, b"net").hexdigest()
    with pytest.raises(
        DataError, match=re.escape(f"{algorithm} of its content is {found}, not 00...")
    ):
        check_hash(tmp_path / "net.pth", known_hash)
