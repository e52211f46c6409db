"""Work by threads: in order, bounded, and over when its block is."""

import gc
import platform
import subprocess
import sys
import threading
import time

import pytest

from fuse.threads import count_steps, map_ahead, map_threads, search_no_cycles


@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_results_come_in_order_though_early_items_take_longest(workers):
    def wait(number):
        time.sleep(0.002 * (number % 3 == 0))
        return number * number

    with map_threads(wait, range(50), workers, ahead=2) as results:
        assert list(results) == [number * number for number in range(50)]


@pytest.mark.parametrize(("workers", "most"), [(1, 0), (2, 5), (3, 8)])
def test_items_are_taken_as_they_are_needed(workers, most):
    """At most `ahead` per thread are under way, the one that is taken among them."""
    drawn = []

    def items():
        for number in range(100):
            drawn.append(number)
            yield number

    with map_threads(abs, items(), workers, ahead=3) as results:
        for taken in results:
            assert len(drawn) - 1 - taken <= most
    assert len(drawn) == 100


@pytest.mark.parametrize("workers", [1, 4])
def test_an_error_comes_at_its_items_turn_and_no_thread_works_on(workers):
    begun, before = [], set(threading.enumerate())

    def divide(number):
        begun.append(number)
        return 6 // (3 - number)

    seen = []

    def take_all():
        with map_threads(divide, range(1000), workers, ahead=5) as results:
            for result in results:
                seen.append(result)

    with pytest.raises(ZeroDivisionError) as raised:
        take_all()
    assert seen == [2, 3, 6]
    assert raised.traceback  # and with it the frames that took the results
    assert len(begun) <= 4 + 5 * 4
    assert set(threading.enumerate()) == before


def test_leaving_early_ends_the_work():
    begun = []
    with map_threads(begun.append, range(1000), 2, ahead=4) as results:
        next(results)
    count = len(begun)
    assert count <= 9
    time.sleep(0.02)
    assert len(begun) == count


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_is_told_when_a_result_was_used(workers):
    told = []
    step = count_steps(lambda *progress: told.append(progress), 3)
    with map_threads(abs, [-1, 2, -3], workers, on_result=step) as results:
        assert next(results) == 1
        assert told == []
        assert list(results) == [2, 3]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert count_steps(None, 3) is None


def test_the_limit_may_change_and_one_thread_is_not_the_callers_own():
    drawn, limit, seen = [], 1, []
    own = threading.get_ident()

    def items():
        for number in range(12):
            drawn.append(number)
            yield number

    results = map_ahead(lambda number: (number, threading.get_ident()), items(), 1, lambda: limit)
    for taken, (number, thread) in enumerate(results):
        assert (number, thread != own) == (taken, True)
        seen.append(len(drawn))
        limit = 4 if 3 <= number < 6 else 1
    assert seen == [1, 2, 3, 4, 8, 9, 10, 10, 10, 10, 11, 12]


# Six maps of an image live and die together; a page is touched for the first time in each
# round unless the C library has kept them. Prints the page faults of a round.
ROUNDS = """
import resource
import numpy as np
from fuse.threads import map_threads

def faults(_):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    maps = [np.ones(700_000, np.int32) for _ in range(6)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with map_threads(faults, range(5), 1) as counts:
    print(list(counts)[-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again():
    done = subprocess.run([sys.executable, "-c", ROUNDS], check=True, capture_output=True)
    assert int(done.stdout) < 100


@pytest.mark.parametrize("is_enabled", [True, False])
def test_cycles_are_searched_as_before_after_a_block_without(is_enabled, monkeypatch):
    monkeypatch.setattr(gc, "isenabled", lambda: is_enabled)
    called = []
    monkeypatch.setattr(gc, "disable", lambda: called.append("off"))
    monkeypatch.setattr(gc, "enable", lambda: called.append("on"))
    with pytest.raises(ValueError, match="wrong"), search_no_cycles():
        raise ValueError("wrong")
    assert called == ["off", "on"][: 1 + is_enabled]
