"""How many photos the nets get at a time, where memory is short."""

import numpy as np
import pytest
import torch

from fuse.clock import StageClock
from fuse.engines.batches import MAX_AUTO_BATCH, BatchPredictor
from fuse.errors import ModelError
from fuse.photo import ReadPhoto
from fuse.records import PhotoTask
from fuse.types import Photo


class SmallDevice:
    """Nets on a device that holds `room` photos; says so as CUDA does, behind our own error."""

    def __init__(self, room):
        self.room = room
        self.calls = []

    def predict(self, photos, *, score_floor):
        self.calls.append(len(photos))
        if len(photos) > self.room:
            try:
                raise torch.OutOfMemoryError("CUDA out of memory")
            except torch.OutOfMemoryError as err:
                raise ModelError("instance model 'x' failed") from err
        return [photo.file_name for photo in photos]


def read_photos(count):
    image = np.zeros((2, 2, 3), np.uint8)
    for number in range(count):
        name = f"{number}.jpg"
        yield ReadPhoto(PhotoTask(None, name, f"{number}.png", number), Photo(image, name))


def predict(nets, count, batch_size):
    predictor = BatchPredictor(nets, StageClock(), batch_size=batch_size, score_floor=None)
    pairs = list(predictor.predict_all(read_photos(count)))
    assert [read.task.file_name for read, _ in pairs] == [f"{n}.jpg" for n in range(count)]
    return pairs


@pytest.mark.parametrize("batch_size", [None, 1, 5, 16])
@pytest.mark.parametrize("room", [1, 3, 8, 100])
def test_every_photo_is_answered_whatever_fits(batch_size, room):
    pairs = predict(SmallDevice(room), 50, batch_size)
    assert [answer for _, answer in pairs] == [f"{n}.jpg" for n in range(50)]


def test_auto_doubles_until_memory_is_full_and_stays_below():
    nets = SmallDevice(room=11)
    predict(nets, 60, None)
    assert nets.calls == [1, 2, 4, 8, 16, 8, 8, 8, 8, 8, 5]


def test_auto_ends_at_a_most():
    nets = SmallDevice(room=10**6)
    predict(nets, 400, None)
    assert max(nets.calls) == MAX_AUTO_BATCH


def test_a_given_size_never_grows():
    nets = SmallDevice(room=100)
    predict(nets, 10, 3)
    assert nets.calls == [3, 3, 3, 1]


def test_a_photo_that_does_not_fit_alone_fails_alone():
    pairs = predict(SmallDevice(room=0), 3, 2)
    assert [answer for _, answer in pairs] == [None] * 3
    assert pairs[0][0].error == "instance model 'x' failed"
