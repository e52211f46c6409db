"""The local engine: order, bounds, and one photo's failure."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fuse.clock import StageClock
from fuse.engines.local import map_ahead, run_local
from fuse.photo import FinishedPhoto, ReadPhoto
from fuse.records import PhotoRecord, PhotoTask
from fuse.types import Photo


def test_map_ahead_keeps_the_order_whatever_the_timing():
    def work(number):
        time.sleep(0.002 * (number % 3))
        return number * number

    with ThreadPoolExecutor(4) as pool:
        assert list(map_ahead(pool, work, range(50), ahead=8)) == [n * n for n in range(50)]


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_map_ahead_takes_no_more_than_it_may(ahead):
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(4) as pool:
        for given, _ in enumerate(map_ahead(pool, abs, items(), ahead=ahead)):
            assert len(taken) - given <= ahead


class Nets:
    """Stands for two nets; fails on photos whose first pixel is 255."""

    def __init__(self):
        self.calls = []

    def predict(self, photos, *, score_floor):
        self.calls.append([photo.file_name for photo in photos])
        if any(photo.image[0, 0, 0] == 255 for photo in photos):
            raise RuntimeError("no memory left")
        return [photo.file_name for photo in photos]


class Worker:
    """Makes photos up instead of reading files, and counts those in memory."""

    def __init__(self, unreadable=(), poisoned=()):
        self.unreadable = unreadable
        self.poisoned = poisoned
        self.in_memory = 0
        self.most_in_memory = 0
        self.lock = threading.Lock()

    def read(self, task):
        with self.lock:
            self.in_memory += 1
            self.most_in_memory = max(self.most_in_memory, self.in_memory)
        if task.file_name in self.unreadable:
            return ReadPhoto(task, error="cut short")
        value = 255 if task.file_name in self.poisoned else 0
        return ReadPhoto(task, Photo(np.full((2, 2, 3), value, np.uint8), task.file_name))

    def finish(self, read, raw):
        with self.lock:
            self.in_memory -= 1
        assert raw in (None, read.task.file_name)
        return FinishedPhoto(read.task, PhotoRecord(read.task.file_name, error=read.error))


def make_tasks(count):
    return [PhotoTask(None, f"{number}.jpg", f"{number}.png", number) for number in range(count)]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_every_photo_comes_out_once_and_in_order(batch_size):
    nets, worker = Nets(), Worker()
    done = run_local(make_tasks(40), nets, worker, StageClock(), batch_size=batch_size, threads=3)
    assert [photo.task.image_id for photo in done] == list(range(40))
    assert all(len(call) <= batch_size for call in nets.calls)


def test_memory_does_not_grow_with_the_number_of_photos():
    worker = Worker()
    for _ in run_local(make_tasks(300), Nets(), worker, StageClock(), batch_size=2, threads=2):
        pass
    assert worker.most_in_memory <= 2 * (2 * 2 + 2) + 2


def test_a_photo_that_cannot_be_read_fails_alone():
    worker = Worker(unreadable={"1.jpg", "3.jpg"})
    done = list(run_local(make_tasks(5), Nets(), worker, StageClock(), batch_size=2, threads=2))
    assert [photo.record.error for photo in done] == [None, "cut short", None, "cut short", None]


def test_a_photo_the_nets_fail_on_does_not_take_its_batch_along():
    nets, worker = Nets(), Worker(poisoned={"2.jpg"})
    done = list(run_local(make_tasks(6), nets, worker, StageClock(), batch_size=4, threads=2))
    errors = [photo.record.error for photo in done]
    assert errors[2] == "RuntimeError: no memory left"
    assert [error for index, error in enumerate(errors) if index != 2] == [None] * 5


def test_an_error_in_finishing_ends_the_run():
    worker = Worker()
    worker.finish = lambda read, raw: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(run_local(make_tasks(9), Nets(), worker, StageClock(), batch_size=2, threads=2))
