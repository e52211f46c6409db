"""Forked processes: what they send comes in turn, and none is left behind."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from fuse import processes
from fuse.processes import CannotForkError, ProcessKilledError, can_fork, draw_from_forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")


def list_children():
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


@pytest.fixture(autouse=True)
def none_is_left():
    before = list_children()
    yield
    assert list_children() == before


def number(first, step, stop):
    def source():
        for item in range(first, stop, step):
            yield item, os.getpid()

    return source


@pytest.mark.parametrize("stop", [0, 1, 3, 4, 1000])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_items_come_in_turn_each_source_from_a_process_of_its_own(step, stop):
    drawn = list(draw_from_forks([number(first, step, stop) for first in range(step)]))
    assert [item for item, _ in drawn] == list(range(stop))
    processes_of = [{pid for item, pid in drawn if item % step == first} for first in range(step)]
    assert all(len(pids) == (first < stop) for first, pids in enumerate(processes_of))
    assert os.getpid() not in set().union(*processes_of)
    assert len(set().union(*processes_of)) == min(step, stop)


def test_large_items_and_slow_sources():
    def slow():
        for item in range(3):
            time.sleep(0.05)
            yield bytes([item]) * 300_000

    def fast():
        yield from (bytes([10 + item]) * 300_000 for item in range(3))

    first_bytes = [item[0] for item in draw_from_forks([slow, fast])]
    assert first_bytes == [0, 10, 1, 11, 2, 12]


def test_an_error_comes_at_its_turn():
    def fail():
        yield 0
        raise ValueError("no such image")

    drawn = draw_from_forks([fail, number(1, 2, 100)])
    assert [next(drawn), next(drawn)[0]] == [0, 1]
    with pytest.raises(ValueError, match="no such image") as raised:
        next(drawn)
    assert "in fail\n" in raised.value.__notes__[0]  # where it came from


def test_an_error_that_cannot_travel_is_told_with_its_traceback():
    class OddError(Exception):
        pass

    def fail():
        yield 0
        raise OddError("of this function alone")

    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*OddError: of this function alone"):
        list(draw_from_forks([fail]))


def test_a_broken_pipe_of_a_source_is_its_error():
    def fail():
        yield 0
        raise BrokenPipeError("of something else")

    with pytest.raises(BrokenPipeError, match="of something else"):
        list(draw_from_forks([fail]))


def test_where_no_process_can_be_started_it_is_told_before_any_item(monkeypatch):
    def fork():
        if len(list_children()) > before:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return own_fork()

    own_fork, before = os.fork, len(list_children())
    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(CannotForkError, match="temporarily unavailable"):
        next(draw_from_forks([number(0, 2, 9), number(1, 2, 9)]))


def test_a_process_that_is_killed_is_told():
    def die():
        yield 0
        os.kill(os.getpid(), signal.SIGKILL)
        yield 1

    drawn = draw_from_forks([die, number(1, 2, 100)])
    assert [next(drawn), next(drawn)[0]] == [0, 1]
    with pytest.raises(ProcessKilledError, match="was killed"):
        next(drawn)


def test_one_that_is_killed_in_the_middle_of_a_message_is_told():
    def die():
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
        yield bytes(10)
        yield bytes(10_000_000)  # more than a pipe holds

    drawn = draw_from_forks([die])
    next(drawn)
    time.sleep(1)
    with pytest.raises(ProcessKilledError, match="was killed"):
        next(drawn)


def test_a_signal_to_all_leaves_the_end_to_the_parent():
    drawn = draw_from_forks([number(0, 1, 10**6)])
    pid = next(drawn)[1]
    os.kill(pid, signal.SIGTERM)
    with closing(drawn):
        assert [next(drawn)[0] for _ in range(20_000)] == list(range(1, 20_001))


def test_a_source_is_closed_where_nobody_wants_more(tmp_path):
    def source():
        try:
            yield from ((item, os.getpid()) for item in count())
        finally:
            (tmp_path / str(os.getpid())).touch()

    with closing(draw_from_forks([source, source])) as drawn:
        pids = {next(drawn)[1], next(drawn)[1]}
    assert {int(path.name) for path in tmp_path.iterdir()} == pids


def test_one_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 0.2)

    def hang():
        yield os.getpid()
        time.sleep(600)

    started = time.monotonic()
    with closing(draw_from_forks([hang])) as drawn:
        next(drawn)
    assert time.monotonic() - started < 60


PARENT = """
import os, time
from fuse.processes import draw_from_forks
def work():
    yield os.getpid()
    time.sleep(600)
drawn = draw_from_forks([work, work])
print(next(drawn), next(drawn), flush=True)
time.sleep(600)
"""


def test_none_outlives_a_parent_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


ASK = "from fuse.processes import can_fork; print(can_fork())"


def test_a_process_without_other_threads_can_fork():
    asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert asked.stdout == "True\n"


def test_one_with_other_threads_cannot(monkeypatch):
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    assert can_fork()
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert not can_fork()


def test_one_that_may_have_no_children_cannot(monkeypatch):
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    assert not can_fork()
