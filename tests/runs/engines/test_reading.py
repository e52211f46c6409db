"""Reading ahead: what counts as time, and what a stopped process loses."""

import os
import signal
import subprocess
import sys
import time

import pytest

from fuse.clock import count_down

# A reader that needs 2 s of a timeout of 4 s; the process is stopped for longer than that.
SLOW_READER = """
import sys, time
from fuse.runs.engines.memory import MemoryBudget
from fuse.runs.engines.reading import read_ahead
from fuse.runs.tasks import ImageTask
from fuse.runs.worker import LoadedImage

def read(task, reserve):
    print("reading", flush=True)
    for _ in range(20):
        time.sleep(0.1)
    return LoadedImage(task)

task = ImageTask("a.jpg", "a.jpg", "a.png", 1)
(image,) = read_ahead(
    read, [task], ahead=lambda: 1, threads=1, timeout=float(sys.argv[1]), budget=MemoryBudget()
)
print(image.error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no signal stops a process here")
@pytest.mark.parametrize(("timeout", "error"), [(4, "None"), (0.5, "a.jpg: not read within 0.5 s")])
def test_time_in_which_the_process_is_stopped_does_not_count(timeout, error):
    command = [sys.executable, "-c", SLOW_READER, str(timeout)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "reading\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(5)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.read() == f"{error}\n"
    assert process.returncode == 0


@pytest.mark.parametrize("seconds", [0.01, 1, 7.5, 60])
def test_waits_add_up_and_none_is_a_large_part(seconds):
    parts = list(count_down(seconds))
    assert sum(parts) == pytest.approx(seconds, rel=0.11)
    assert max(parts) <= min(1, seconds / 9)


def test_for_ever_is_counted_down_for_ever():
    parts = count_down(float("inf"))
    assert [next(parts) for _ in range(3)] == [1, 1, 1]
