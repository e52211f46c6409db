"""Scores by processes: the same as by threads, and none is left behind."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from panoptic_maps import panoptic, write_dataset

from fuse.errors import DataError
from fuse.evaluation import forks
from fuse.evaluation.forks import may_fork, score_images
from fuse.evaluation.image_scores import ImageScore
from fuse.findings import Note
from fuse.metrics.pq import PQStats

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")
IDS = list(range(503))


@pytest.fixture
def forking(monkeypatch):
    """The tests' own process has torch and threads of other tests."""
    monkeypatch.setattr(forks, "may_fork", lambda: True)
    monkeypatch.setattr(forks, "CHUNK", 10)


def make_score(image_id):
    stats = PQStats(*(np.array([n]) for n in (1 + image_id % 7, 0.5, 1, os.getpid(), 0)))
    notes = (Note("pred-missing", f"image {image_id}"),) if image_id % 100 == 3 else ()
    return ImageScore(image_id, f"{image_id}.jpg", stats, notes)


def list_children(pid=None):
    """The ids of processes that this one has started, or another."""
    path = Path(f"/proc/{pid or os.getpid()}/task/{pid or os.getpid()}/children")
    return set(map(int, path.read_text(encoding="ascii").split()))


@pytest.mark.usefixtures("forking")
@pytest.mark.parametrize("workers", [2, 3])
def test_scores_come_in_order_from_several_processes(workers):
    used, before = [], list_children()
    made = list(score_images(make_score, IDS, workers, on_result=lambda: used.append(1)))
    assert [score.image_id for score in made] == IDS
    assert [score.file_name for score in made] == [f"{n}.jpg" for n in IDS]
    assert [len(score.notes) for score in made] == [int(n % 100 == 3) for n in IDS]
    processes = {int(score.stats.fp[0]) for score in made}
    assert len(processes) == workers
    assert os.getpid() not in processes
    assert len(used) == len(IDS)
    assert list_children() == before


@pytest.mark.usefixtures("forking")
def test_an_error_comes_at_its_turn_and_ends_the_processes():
    class OddError(Exception):  # which cannot be pickled
        pass

    def fail(image_id):
        if image_id == 45:
            raise OddError("no such category")
        return make_score(image_id)

    before = list_children()
    with pytest.raises(OddError, match="no such category"):
        score_images(fail, IDS, 2)
    assert list_children() == before


@pytest.mark.usefixtures("forking")
def test_a_process_that_is_killed_is_told():
    own = os.getpid()

    def die(image_id):
        if image_id == 200 and os.getpid() != own:
            os.kill(os.getpid(), signal.SIGKILL)
        return make_score(image_id)

    with pytest.raises(DataError, match=r"a process was killed.*--workers 1"):
        score_images(die, IDS, 2)


@pytest.mark.usefixtures("forking")
def test_what_is_done_with_a_result_may_end_the_work():
    before = list_children()

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_images(make_score, IDS, 2, on_result=stop)
    assert list_children() == before


@pytest.mark.usefixtures("forking")
def test_a_chunk_that_failed_in_a_process_alone_is_scored_here():
    own = os.getpid()

    def fail_elsewhere(image_id):
        if image_id == 45 and os.getpid() != own:
            raise MemoryError
        return make_score(image_id)

    scores = score_images(fail_elsewhere, IDS, 2)
    assert [score.image_id for score in scores] == IDS
    assert [score.image_id for score in scores if score.stats.fp[0] == own] == IDS[40:50]


@pytest.mark.usefixtures("forking")
def test_where_no_process_can_be_started_threads_score(monkeypatch):
    def fork():
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(os, "fork", fork)
    scores = score_images(make_score, IDS, 2)
    assert [score.image_id for score in scores] == IDS
    assert {int(score.stats.fp[0]) for score in scores} == {os.getpid()}


@pytest.mark.usefixtures("forking")
def test_there_are_no_more_processes_than_chunks(monkeypatch):
    monkeypatch.setattr(forks, "CHUNK", 200)
    scores = score_images(make_score, IDS, 64)
    assert len({int(score.stats.fp[0]) for score in scores}) == 3


def _count_forks(connection):
    connection.send(may_fork())


def test_a_process_that_may_have_no_children_does_not_fork():
    context = multiprocessing.get_context("spawn")
    for daemon in (False, True):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_count_forks, args=(sender,), daemon=daemon)
        process.start()
        assert receiver.recv() is not daemon
        process.join()


def test_few_images_one_worker_and_other_threads_need_no_process(monkeypatch):
    for ids, workers in ((IDS[:100], 2), (IDS, 1)):
        scores = score_images(make_score, ids, workers)
        assert {int(score.stats.fp[0]) for score in scores} == {os.getpid()}
    monkeypatch.setattr(sys, "modules", {k: v for k, v in sys.modules.items() if k != "torch"})
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert not may_fork()
    done.set()
    thread.join()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """600 images, of which each takes some milliseconds."""
    folder = tmp_path_factory.mktemp("many")
    noise = np.random.default_rng(1).integers(1, 9, (500, 700))
    image = panoptic(noise, {n: 7 if n % 2 else 1 for n in range(1, 9)})
    path = write_dataset(folder, "gt", {1: image})
    content = json.loads(path.read_text(encoding="utf-8"))
    (image,), (annotation,) = content["images"], content["annotations"]
    content["images"] = [{**image, "id": n, "file_name": f"{n}.jpg"} for n in range(600)]
    content["annotations"] = [
        {**annotation, "image_id": n, "file_name": f"{n}.png"} for n in range(600)
    ]
    for n in range(600):
        if n != 1:  # which is there
            (folder / "gt" / f"{n}.png").hardlink_to(folder / "gt" / "1.png")
    path.write_text(json.dumps(content), encoding="utf-8")
    return ["evaluate", "--gt", str(path), "--pred", str(path)]


# Ctrl-C is ignored in what a shell has started in the background.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from fuse.__main__ import main
main()
"""


def start(command, **options):
    return subprocess.Popen([sys.executable, "-c", COMMAND, *command], **options)


@pytest.mark.slow
def test_the_command_says_the_same_with_one_worker(many, tmp_path):
    said = []
    for workers in ("1", "2"):
        file = tmp_path / f"{workers}.json"
        assert start([*many, "--workers", workers, "--json", str(file)]).wait() == 0
        said.append(file.read_bytes())
    assert said[0] == said[1]
    assert json.loads(said[0])["images"] == 600


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_no_process_outlives_the_command(many, number):
    with start([*many, "--workers", "2"], stderr=subprocess.PIPE, text=True) as command:
        wait_until(lambda: len(list_children(command.pid)) == 2)
        time.sleep(0.2)  # Python drops what is raised while it forks
        children = list_children(command.pid)
        command.send_signal(number)
        _, told = command.communicate(timeout=30)
    assert command.returncode
    assert "Traceback" not in told
    wait_until(lambda: not any(map(is_alive, children)))


def wait_until(holds):
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
