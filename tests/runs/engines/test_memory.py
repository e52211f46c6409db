"""The bytes of images in flight: who waits, for whom, and who never does."""

import subprocess
import sys
import threading

import pytest
from flat_nets import FLAT_NETS, PRESET
from PIL import Image

from fuse.runs.engines.memory import MemoryBudget
from fuse.runs.tasks import ImageTask

TASKS = [ImageTask(None, f"{n}.jpg", f"{n}.png", n) for n in range(4)]


class Line:
    """Images that ask on threads of their own."""

    def __init__(self, limit, count=3):
        self.budget = MemoryBudget(limit)
        self.waited, self.served = [], [threading.Event() for _ in range(count)]
        for task in TASKS[:count]:
            self.budget.join(task)

    def ask(self, number, size):
        """Whether an image has its bytes at once."""
        served = self.served[number] = threading.Event()

        def take():
            self.budget.take(TASKS[number], size, lambda: self.waited.append(number))
            served.set()

        threading.Thread(target=take, daemon=True).start()
        return served.wait(0.2)

    def is_served(self, number):
        return self.served[number].wait(5)


def test_images_wait_for_those_before_them_to_finish():
    line = Line(100)
    assert line.ask(0, 60)
    assert not line.ask(1, 60)
    assert line.budget.is_short(TASKS[1])
    assert line.waited == [1]
    line.budget.leave(TASKS[0])
    assert line.is_served(1)
    assert not line.budget.is_short(TASKS[1])


def test_the_first_in_line_has_whatever_it_asks_for():
    line = Line(100)
    assert line.ask(0, 1000)
    assert not line.ask(1, 1)
    assert line.ask(0, 5000)
    line.budget.leave(TASKS[0])
    assert line.is_served(1)


def test_later_images_leave_room_for_earlier_ones_that_have_not_asked():
    line = Line(100)
    assert not line.ask(1, 60)
    assert not line.budget.is_short(TASKS[0])
    assert line.ask(0, 60)
    assert not line.served[1].wait(0.2)
    line.budget.leave(TASKS[0])
    assert line.is_served(1)


@pytest.mark.parametrize("end", ["settle", "leave", "close"])
def test_nobody_waits_for_one_that_will_not_ask(end):
    line = Line(100)
    assert not line.ask(1, 60)
    line.budget.close() if end == "close" else getattr(line.budget, end)(TASKS[0])
    assert line.is_served(1)


def test_one_that_has_left_does_not_wait():
    line = Line(100)
    line.budget.leave(TASKS[2])
    assert line.ask(0, 100)
    assert line.ask(2, 100)


PEAK = """
import resource, sys
from fuse import api
api.run([sys.argv[1]], sys.argv[2], pipeline="flat.toml", device="cpu", allow_plugins=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.slow
def test_a_folder_of_large_images_takes_the_memory_of_one(tmp_path):
    """Six of 50 megapixels, 1.2 GB each by `BYTES_PER_PIXEL`: without a bound they had 5 GB."""
    pytest.importorskip("resource")
    (tmp_path / "flat.py").write_text(FLAT_NETS)
    (tmp_path / "flat.toml").write_text(PRESET)
    peaks = []
    for count, side in ((1, 64), (6, 7000)):
        images = tmp_path / f"images{side}"
        images.mkdir()
        for number in range(count):
            Image.new("RGB", (side, side)).save(images / f"{number}.png")
        command = [sys.executable, "-c", PEAK, images.name, f"out{side}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert (peaks[1] - peaks[0]) * 2**20 < 30 * 7000**2
