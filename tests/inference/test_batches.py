"""How many images the nets get at a time, where memory is short."""

import threading
import time

import numpy as np
import pytest
import torch

from fuse.clock import StageClock
from fuse.errors import ModelError
from fuse.inference.batches import LANE_CORES, MAX_AUTO_BATCH, BatchPredictor, plan_lanes
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import LoadedImage
from fuse.types import NamedImage


class SmallDevice:
    """Nets on a device that holds `room` images; says so as CUDA does, behind our own error."""

    def __init__(self, room):
        self.room = room
        self.calls = []

    def predict(self, images, *, score_threshold):
        self.calls.append(len(images))
        if len(images) > self.room:
            try:
                raise torch.OutOfMemoryError("CUDA out of memory")
            except torch.OutOfMemoryError as err:
                raise ModelError("instance model 'x' failed") from err
        return [image.file_name for image in images]


def read_images(count):
    image = np.zeros((2, 2, 3), np.uint8)
    for number in range(count):
        name = f"{number}.jpg"
        yield LoadedImage(ImageTask(None, name, f"{number}.png", number), NamedImage(image, name))


def predict(nets, count, batch_size):
    predictor = BatchPredictor(nets, StageClock(), batch_size=batch_size, score_threshold=None)
    pairs = list(predictor.predict_all(read_images(count)))
    assert [read.task.file_name for read, _ in pairs] == [f"{n}.jpg" for n in range(count)]
    return pairs


@pytest.mark.parametrize("batch_size", [None, 1, 5, 16])
@pytest.mark.parametrize("room", [1, 3, 8, 100])
def test_every_image_is_answered_whatever_fits(batch_size, room):
    pairs = predict(SmallDevice(room), 50, batch_size)
    assert [answer for _, answer in pairs] == [f"{n}.jpg" for n in range(50)]


def test_auto_doubles_until_memory_is_full_and_stays_below():
    nets = SmallDevice(room=11)
    predict(nets, 60, None)
    assert nets.calls == [1, 2, 4, 8, 16, 8, 8, 8, 8, 8, 5]


class Picky:
    """Nets that take a few images at most, and say so in their own way."""

    def __init__(self, most, error):
        self.most, self.error, self.calls = most, error, []

    def predict(self, images, *, score_threshold):
        self.calls.append(len(images))
        if len(images) > self.most:
            raise self.error
        return [image.file_name for image in images]


def test_a_batch_that_the_nets_refuse_is_not_tried_again():
    nets = Picky(4, ValueError("at most four"))
    pairs = predict(nets, 40, None)
    assert [answer for _, answer in pairs] == [f"{n}.jpg" for n in range(40)]
    assert nets.calls == [1, 2, 4, 8, *[1] * 8, *[4] * 6, 1]


@pytest.mark.parametrize(
    "message", ["CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"]
)
def test_full_memory_is_known_by_its_words(message):
    nets = Picky(4, RuntimeError(message))
    predict(nets, 31, None)
    assert nets.calls == [1, 2, 4, 8, 4, 4, 4, 4, 4, 4]


def test_one_bad_image_does_not_make_batches_small():
    class Nets(Picky):
        def predict(self, images, *, score_threshold):
            answers = super().predict(images, score_threshold=score_threshold)
            if "2.jpg" in answers:
                raise ValueError("bad")
            return answers

    nets = Nets(100, None)
    predict(nets, 31, None)
    assert nets.calls == [1, 2, 1, 1, 4, 8, 16]


def test_auto_ends_at_a_most():
    nets = SmallDevice(room=10**6)
    predict(nets, 400, None)
    assert max(nets.calls) == MAX_AUTO_BATCH


def test_a_given_size_never_grows():
    nets = SmallDevice(room=100)
    predict(nets, 10, 3)
    assert nets.calls == [3, 3, 3, 1]


def test_a_image_that_does_not_fit_alone_fails_alone():
    pairs = predict(SmallDevice(room=0), 3, 2)
    assert [answer for _, answer in pairs] == [None] * 3
    assert pairs[0][0].error == "instance model 'x' failed"


class CountingNets:
    """Nets that know how many threads are inside; the earlier of two images takes longer."""

    def __init__(self):
        self.inside, self.most_inside = 0, 0
        self.lock = threading.Lock()

    def predict(self, images, *, score_threshold):
        with self.lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        time.sleep(0.02 if int(images[0].file_name.partition(".")[0]) % 2 == 0 else 0.002)
        with self.lock:
            self.inside -= 1
        return [image.file_name for image in images]


@pytest.mark.parametrize(("lanes", "batch_size"), [(1, 1), (1, None), (2, 1), (3, 2)])
def test_as_many_batches_at_once_as_there_are_lanes_and_in_order(lanes, batch_size):
    nets = CountingNets()
    predictor = BatchPredictor(
        nets, StageClock(), batch_size=batch_size, score_threshold=None, lanes=lanes
    )
    pairs = list(predictor.predict_all(read_images(24)))
    assert [answer for _, answer in pairs] == [f"{n}.jpg" for n in range(24)]
    assert nets.most_inside == lanes


def test_few_images_are_in_memory_with_several_lanes():
    read, most = [], 0
    images = (read.append(image) or image for image in read_images(60))
    predictor = BatchPredictor(
        CountingNets(), StageClock(), batch_size=1, score_threshold=None, lanes=3
    )
    for done, _ in enumerate(predictor.predict_all(images), start=1):
        most = max(most, len(read) - done)
    assert most <= 2 * 3


def test_who_stops_listening_stops_the_nets():
    nets = CountingNets()
    predictor = BatchPredictor(nets, StageClock(), batch_size=1, score_threshold=None, lanes=2)
    pairs = predictor.predict_all(read_images(1000))
    next(pairs)
    pairs.close()
    assert nets.inside == 0


@pytest.mark.parametrize(
    ("device", "is_thread_safe", "threads", "plan"),
    [
        ("cpu", True, 1, (1, 1)),
        ("cpu", True, 2, (2, 1)),
        ("cpu", True, LANE_CORES, (LANE_CORES, 1)),
        ("cpu", True, 2 * LANE_CORES + 1, (LANE_CORES, 2)),
        ("cpu", True, 64, (16, 4)),
        ("cpu", False, 4, (1, 4)),
        ("cuda:0", True, 4, (1, 4)),
    ],
)
def test_lanes(device, is_thread_safe, threads, plan, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert plan_lanes(device, is_thread_safe=is_thread_safe) == plan
