"""A bad day: killed processes, full disks and files that go away; nothing is lost or doubled."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuse import api
from fuse.errors import DataError
from fuse.runs.engines import local

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
# A run that forks from so many images on.
COMMAND = """
import sys
from fuse.runs.engines import local
local.FEWEST = int(sys.argv.pop(1))
from fuse.__main__ import main
main()
"""
COPIES = 3
KILLS = 50


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Each example image a few times, in folders."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(COPIES):
        shutil.copytree(EXAMPLES, folder / str(number))
    return folder


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    api.run([str(images)], out, device="cpu", keep_predictions=True)
    return out


def read_lines(journal):
    """The records of a journal, behind the settings of its run."""
    return journal.read_text().splitlines()[1:]


def read_files(out):
    """Contents by path, without what holds times: the journal and run.json."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("records.jsonl", "run.json", ".lock")
    }


def run_once(images, out, fewest=local.FEWEST):
    """A run that forks from so many images on."""
    local.FEWEST = fewest
    api.run([str(images)], Path(out), device="cpu", keep_predictions=True)


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_in_the_same_bytes(images, undisturbed, tmp_path):
    rng = random.Random(20261125)
    forks = multiprocessing.get_context("forkserver")  # imports once, then forks in milliseconds
    forks.set_forkserver_preload(["fuse.api", "fuse.models.weights.tiny"])
    out = tmp_path / "out"
    kills = 0
    while kills < KILLS:
        fewest = 1 if kills % 2 else COPIES * 8 + 1  # by processes, and by threads
        child = forks.Process(target=run_once, args=(images, out, fewest))
        child.start()
        child.join(rng.uniform(0.05, 3.0))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            kills += 1
        else:
            assert child.exitcode == 0
            assert read_files(out) == read_files(undisturbed)
            shutil.rmtree(out)  # that one came through: begin again
    run_once(images, out)
    assert read_files(out) == read_files(undisturbed)
    names = [json.loads(line)["file_name"] for line in read_lines(out / "records.jsonl")]
    assert len(names) == len(set(names)) == COPIES * 8  # nothing was done twice
    assert api.verify(out).damages == ()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals there end a process at once")
@pytest.mark.parametrize(
    ("engine", "fewest", "number"),
    [
        ("local", local.FEWEST, signal.SIGINT),
        ("local", local.FEWEST, signal.SIGTERM),
        ("local", 1, signal.SIGINT),
        ("local", 1, signal.SIGTERM),
        ("ray", local.FEWEST, signal.SIGTERM),
    ],
)
def test_a_run_that_is_asked_to_stop_finishes_what_is_in_hand(
    images, undisturbed, tmp_path, engine, fewest, number
):
    if engine == "ray":
        pytest.importorskip("ray")
    out = tmp_path / "out"
    command = [sys.executable, "-c", COMMAND, str(fewest), "run", str(images), "-o", str(out)]
    command += ["--device", "cpu", "--keep-predictions", "--engine", engine]
    journal = out / "records.jsonl"
    options = {"stderr": subprocess.PIPE, "text": True, "start_new_session": fewest == 1}
    with subprocess.Popen(command, **options) as run:
        while not (journal.exists() and read_lines(journal)) and run.poll() is None:
            time.sleep(0.01)
        # A terminal, timeout(1) and job schedulers tell all processes of a command.
        os.killpg(run.pid, number) if fewest == 1 else run.send_signal(number)
        _, said = run.communicate()
    done = len(read_lines(journal))
    assert run.returncode == 130
    assert "stopping after this image; once more stops at once" in said
    assert f"stopped after {done} of {COPIES * 8} images; the same command goes on" in said
    assert "Traceback" not in said
    subprocess.run(command, capture_output=True, check=True)
    assert read_files(out) == read_files(undisturbed)
    assert len(read_lines(journal)) == COPIES * 8


def fill_up(folder):
    """Leave some kB free on the file system of a folder."""
    with (folder / "ballast").open("wb") as ballast:
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        ballast.write(b"x" * max(free - 40_000, 0))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one MiB."""
    mount = shutil.which("mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [str(mount), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not mount or os.name == "nt" or subprocess.run(command, check=False).returncode:
        pytest.skip("a small file system cannot be mounted by this user")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(images, undisturbed, small_disk):
    out = small_disk / "out"
    command = [sys.executable, "-m", "fuse", "run", str(images / "0"), "-o", str(out)]
    command += ["--device", "cpu", "--keep-predictions"]
    fill_up(small_disk)
    full = subprocess.run(command, capture_output=True, text=True, check=False)
    assert full.returncode == 1
    assert "No space left on device; make room, and give the command again" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(out.rglob("*.part"))
    (small_disk / "ballast").unlink()
    subprocess.run(command, capture_output=True, check=True)
    expected = read_files(undisturbed)
    for path, content in read_files(out).items():
        if path.endswith(".png"):
            assert expected[path.replace("panoptic/", "panoptic/0/", 1)] == content


@pytest.mark.skipif(os.name == "nt", reason="folders there cannot be made read-only")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_line(images, tmp_path):
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    with pytest.raises((DataError, PermissionError)):
        run_once(images, out)


@pytest.mark.slow
def test_a_image_that_vanishes_after_listing_fails_alone(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shutil.copy(EXAMPLES / "chelsea.jpg", tmp_path / name)

    def vanish(total, failed):
        (tmp_path / "c.jpg").unlink(missing_ok=True)

    # One image is read ahead at most per thread, so the last of many copies is still unread.
    for number in range(40):
        shutil.copy(EXAMPLES / "chelsea.jpg", tmp_path / f"b{number:02}.jpg")
    result = api.run([str(tmp_path)], tmp_path / "out", device="cpu", on_progress=vanish)
    assert result.done == 42
    ((name, reason),) = result.failed
    assert name == "c.jpg"
    assert "there is no such file" in reason


@pytest.mark.slow
def test_failed_images_are_tried_again_only_when_asked(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(EXAMPLES / "chelsea.jpg", images / "a.jpg")
    (images / "b.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    assert len(api.run([str(images)], out, device="cpu").failed) == 1
    again = api.run([str(images)], out, device="cpu")
    assert (again.done, again.earlier, again.tried, len(again.failed)) == (1, 1, 0, 1)
    retried = api.run([str(images)], out, device="cpu", retry_failed=True)
    assert (retried.done, retried.earlier, retried.tried, len(retried.failed)) == (1, 1, 1, 1)


def test_a_folder_that_is_being_written_to_cannot_be_verified_with_redo(tmp_path):
    shutil.copy(EXAMPLES / "chelsea.jpg", tmp_path / "a.jpg")
    out = tmp_path / "out"
    api.run([str(tmp_path / "a.jpg")], out, device="cpu")
    (out / "panoptic" / "a.png").unlink()
    code = (
        "import sys, time; from pathlib import Path; from filelock import FileLock;"
        "lock = FileLock(Path(sys.argv[1]) / '.lock'); lock.acquire(); print('locked', flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(DataError, match="another process is writing to"):
            api.verify(out, redo=True)
        other.kill()
    assert len(api.verify(out, redo=True).damages) == 1
