"""The local engine: order, bounds, and one image's failure."""

import gc
import json
import shutil
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fuse import Pipeline, api
from fuse.clock import StageClock
from fuse.inference.batches import LANE_CORES, BatchPredictor
from fuse.io.json_toml import parse_object
from fuse.runs.engines.local import run_local
from fuse.runs.engines.memory import IN_FLIGHT_BYTES
from fuse.runs.journal import JournalRecord
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import FinishedImage, ImageWorker, LoadedImage
from fuse.types import NamedImage

EXAMPLES = Path(__file__).parents[3] / "examples" / "images"
TRUTH = EXAMPLES.parent / "annotations.json"


class Nets:
    """Stands for two nets; fails on images whose first pixel is 255."""

    def __init__(self):
        self.calls = []

    def predict(self, images, *, score_threshold):
        self.calls.append([image.file_name for image in images])
        if any(image.pixels[0, 0, 0] == 255 for image in images):
            raise RuntimeError("no memory left")
        return [image.file_name for image in images]


class Worker:
    """Makes images up instead of reading files, and counts those in memory."""

    def __init__(self, unreadable=(), poisoned=()):
        self.unreadable = unreadable
        self.poisoned = poisoned
        self.size = 1  # bytes of an image
        self.in_memory = 0
        self.most_in_memory = 0
        self.lock = threading.Lock()

    def read(self, task, reserve):
        reserve(self.size)
        with self.lock:
            self.in_memory += 1
            self.most_in_memory = max(self.most_in_memory, self.in_memory)
        if task.file_name in self.unreadable:
            return LoadedImage(task, error="cut short")
        value = 255 if task.file_name in self.poisoned else 0
        return LoadedImage(task, NamedImage(np.full((2, 2, 3), value, np.uint8), task.file_name))

    def finish(self, read, raw):
        with self.lock:
            self.in_memory -= 1
        assert raw in (None, read.task.file_name)
        return FinishedImage(read.task, JournalRecord(read.task.file_name, error=read.error))


def make_tasks(count):
    return [ImageTask(None, f"{number}.jpg", f"{number}.png", number) for number in range(count)]


def do(tasks, nets, worker, *, batch_size, threads, timeout=60.0):
    predictor = BatchPredictor(nets, StageClock(), batch_size=batch_size, score_threshold=None)
    return run_local(tasks, predictor, worker, threads=threads, timeout=timeout)


@pytest.mark.parametrize("batch_size", [1, 3, 8, None])
def test_every_image_comes_out_once_and_in_order(batch_size):
    nets, worker = Nets(), Worker()
    done = do(make_tasks(40), nets, worker, batch_size=batch_size, threads=3)
    assert [image.task.image_id for image in done] == list(range(40))
    assert all(len(call) <= (batch_size or 64) for call in nets.calls)


def test_memory_does_not_grow_with_the_number_of_images():
    worker = Worker()
    for _ in do(make_tasks(300), Nets(), worker, batch_size=2, threads=2):
        pass
    assert worker.most_in_memory <= 2 * (2 * 2 + 2) + 2


@pytest.mark.parametrize("batch_size", [1, 4, 64, None])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("share", "most"), [(0.3, 3), (0.6, 1), (5, 1)])
def test_large_images_are_fewer_at_a_time_and_none_is_left_waiting(
    batch_size, threads, share, most
):
    """Also where a batch wants more images than there is room for, or one alone is too large."""
    worker = Worker(unreadable={"7.jpg"}, poisoned={"9.jpg"})
    worker.size = int(share * IN_FLIGHT_BYTES)
    done = list(do(make_tasks(30), Nets(), worker, batch_size=batch_size, threads=threads))
    assert [image.task.image_id for image in done] == list(range(30))
    assert worker.most_in_memory <= most


def test_an_image_that_hangs_leaves_its_room_to_the_others():
    release = threading.Event()

    class Hanging(Worker):
        def read(self, task, reserve):
            if task.image_id == 2:
                release.wait(300)  # longer than a machine may stop this process
            return super().read(task, reserve)

    worker = Hanging()
    worker.size = int(0.6 * IN_FLIGHT_BYTES)
    done = list(do(make_tasks(9), Nets(), worker, batch_size=2, threads=2, timeout=1.0))
    release.set()
    assert [image.record.error is None for image in done] == [n != 2 for n in range(9)]


def test_a_run_that_is_stopped_leaves_no_reader_waiting_for_room():
    worker = Worker()
    worker.size = IN_FLIGHT_BYTES
    before = threading.active_count()
    images = do(make_tasks(9), Nets(), worker, batch_size=1, threads=3)
    next(images)
    images.close()
    for _ in range(100):
        if threading.active_count() <= before:
            break
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_a_image_that_cannot_be_read_fails_alone():
    worker = Worker(unreadable={"1.jpg", "3.jpg"})
    done = list(do(make_tasks(5), Nets(), worker, batch_size=2, threads=2))
    assert [image.record.error for image in done] == [None, "cut short", None, "cut short", None]


def test_a_image_the_nets_fail_on_does_not_take_its_batch_along():
    nets, worker = Nets(), Worker(poisoned={"2.jpg"})
    done = list(do(make_tasks(6), nets, worker, batch_size=4, threads=2))
    errors = [image.record.error for image in done]
    assert errors[2] == "RuntimeError: no memory left"
    assert [error for index, error in enumerate(errors) if index != 2] == [None] * 5


def test_an_error_in_finishing_ends_the_run():
    worker = Worker()
    worker.finish = lambda read, raw: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(do(make_tasks(9), Nets(), worker, batch_size=2, threads=2))


def test_a_image_that_hangs_fails_after_the_timeout_and_holds_up_nobody():
    release = threading.Event()

    class Hanging(Worker):
        def read(self, task, reserve):
            if task.image_id in (2, 5):
                release.wait(300)  # longer than a machine may stop this process
            return super().read(task, reserve)

    tasks = [ImageTask(f"{n}.jpg", f"{n}.jpg", f"{n}.png", n) for n in range(20)]
    done = list(do(tasks, Nets(), Hanging(), batch_size=2, threads=1, timeout=1.0))
    release.set()
    errors = [image.record.error for image in done]
    assert errors[2] == "2.jpg: not read within 1 s"
    assert errors[5] == "5.jpg: not read within 1 s"
    assert [error for n, error in enumerate(errors) if n not in (2, 5)] == [None] * 18


def test_an_error_of_a_reader_is_not_taken_for_a_timeout():
    class Broken(Worker):
        def read(self, task, reserve):
            raise TimeoutError("the reader's own")

    with pytest.raises(TimeoutError, match="the reader's own"):
        list(do(make_tasks(2), Nets(), Broken(), batch_size=1, threads=1, timeout=9.0))


@pytest.mark.slow
def test_two_lanes_give_the_bytes_of_one_and_the_threads_are_given_back(tmp_path, monkeypatch):
    threads = torch.get_num_threads()
    written = []
    for lanes in (1, 2):
        torch.set_num_threads(lanes)
        try:
            out = tmp_path / str(lanes)
            api.run([str(EXAMPLES)], out, device="cpu", keep_predictions=True)
            assert torch.get_num_threads() == lanes
        finally:
            torch.set_num_threads(threads)
        written.append((out / "records.jsonl").read_bytes())  # has the hash of every file
    assert written[0] == written[1]


@pytest.mark.slow
def test_the_nets_of_tiny_may_be_asked_by_several_threads():
    assert Pipeline.load("tiny", device="cpu").is_thread_safe


def test_a_reader_holds_no_net(tmp_path):
    """It may outlive its run, and at the end of a process no tensor can be freed on its thread."""

    class Nets:
        pass

    nets = Nets()
    options = SimpleNamespace(strict_images=False, config=SimpleNamespace(as_stored=False))
    read = ImageWorker(nets, options, StageClock(), None).read
    alive = weakref.ref(nets)
    del nets
    gc.collect()
    assert alive() is None
    path = tmp_path / "none.jpg"
    assert "none.jpg" in read(ImageTask(path, "none.jpg", "none.png", 1), lambda _: None).error


# Runs the command line by processes from the first image on; one of them may die at an image.
BY_FORKS = """
import os, sys
from fuse.runs import worker
from fuse.runs.engines import local
local.FEWEST, deadly, finish, parent = 1, sys.argv.pop(1), worker.ImageWorker.finish, os.getpid()
def finish_or_die(self, loaded, raw):
    assert os.getpid() != parent
    if loaded.task.file_name == deadly:
        os.kill(os.getpid(), 9)
    return finish(self, loaded, raw)
worker.ImageWorker.finish = finish_or_die
from fuse.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The examples, two animations and one that is no image."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    frames = [Image.new("RGB", (90, 60), color) for color in ("red", "blue")]
    for name in ("animation.gif", "chelsea2.gif"):  # of which each lane has one
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def by_threads(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("threads") / "out"
    result = api.run(inputs, out, device="cpu", gt=TRUTH, keep_predictions=True, pictures=True)
    return out, result


def run_by_forks(inputs, out, deadly="none", script=BY_FORKS):
    command = [sys.executable, "-c", script, deadly, "run", str(inputs), "-o", str(out)]
    command += ["--device", "cpu", "--gt", str(TRUTH), "--keep-predictions", "--pictures"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def read_outputs(out):
    """Contents by path, without what holds times."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("records.jsonl", "run.json", ".lock")
    }


forks_only = pytest.mark.skipif(
    sys.platform != "linux" or not 1 < torch.get_num_threads() <= LANE_CORES,
    reason="lanes are forked on Linux, where each has a core",
)


@forks_only
@pytest.mark.slow
def test_lanes_that_are_processes_make_the_same_files_and_scores(inputs, by_threads, tmp_path):
    out, result = by_threads
    ended = run_by_forks(inputs, tmp_path / "out")
    assert ended.returncode == 3, ended.stderr  # as one image failed
    assert read_outputs(tmp_path / "out") == read_outputs(out)
    before, now = (
        parse_object((folder / "run.json").read_bytes(), "run.json")
        for folder in (out, tmp_path / "out")
    )
    for key in ("evaluation", "failed", "done"):
        assert now.get(key) == before.get(key)
    assert before["seconds"].keys() == now["seconds"].keys() > {"read", "nets", "fuse", "write"}
    assert min(now["seconds"].values()) > 0
    assert now["peak_memory_mib"]["worker"] > 100
    assert len(result.failed) == 1
    assert ended.stderr.count("the first of each is read") == 1
    names = [json.loads(line)["file_name"] for line in read_lines(tmp_path / "out")]
    assert names == sorted(path.name for path in inputs.iterdir())


def read_lines(out):
    return (out / "records.jsonl").read_text().splitlines()[1:]


@forks_only
@pytest.mark.slow
def test_where_no_process_can_be_started_threads_do_the_run(inputs, by_threads, tmp_path):
    refuse = "import os\ndef fork():\n    raise OSError('no memory')\nos.fork = fork\n"
    script = refuse + BY_FORKS.replace(
        "assert os.getpid() != parent", "assert os.getpid() == parent"
    )
    ended = run_by_forks(inputs, tmp_path / "out", script=script)
    assert ended.returncode == 3, ended.stderr
    assert read_outputs(tmp_path / "out") == read_outputs(by_threads[0])


@forks_only
@pytest.mark.slow
def test_a_lane_that_is_killed_ends_the_run_which_goes_on_later(inputs, by_threads, tmp_path):
    out = tmp_path / "out"
    ended = run_by_forks(inputs, out, deadly="flower.jpg")
    assert ended.returncode == 1
    assert "Error: a process was killed, as where memory runs out; the same" in ended.stderr
    assert "Traceback" not in ended.stderr
    done = len(read_lines(out))
    assert 0 < done < 11
    assert run_by_forks(inputs, out).returncode == 3
    assert read_outputs(out) == read_outputs(by_threads[0])
    assert len(read_lines(out)) == 11
