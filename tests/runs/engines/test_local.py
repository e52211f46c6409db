"""The local engine: order, bounds, and one image's failure."""

import gc
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fuse import Pipeline, api
from fuse.clock import StageClock
from fuse.inference.batches import BatchPredictor
from fuse.runs.engines.local import run_local
from fuse.runs.engines.memory import IN_FLIGHT_BYTES
from fuse.runs.journal import JournalRecord
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import FinishedImage, ImageWorker, LoadedImage
from fuse.types import NamedImage

EXAMPLES = Path(__file__).parents[3] / "examples" / "images"


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
