"""Kernels, as they are before and after their first call."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from fuse.ops import row_deltas
from fuse.ops._jit import jit


@jit
def _double(values):
    return 2 * values.sum()


@jit
def add_doubles(values, more=0):
    return _double(values) + _double(values) + more


def test_threads_that_call_first_at_once_get_the_same():
    values = np.arange(4)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: int(add_doubles(values)), range(4))) == {24}


def test_arguments_may_be_named_and_left_out():
    assert add_doubles(np.arange(4), more=1) == 25


def test_a_kernel_keeps_its_name_and_words():
    assert row_deltas._find_deltas.__name__ == "_find_deltas"
    assert row_deltas._find_deltas.__doc__


def test_numba_is_loaded_with_the_first_call_only():
    code = (
        "import sys, numpy as np; from fuse.ops.row_deltas import RowDeltas;"
        "assert 'numba' not in sys.modules;"
        "RowDeltas.from_map(np.zeros((2, 2), dtype=np.int32)); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


COUNT = """
import sys, numpy as np
from fuse.ops.matching import SegmentPairs, SegmentTable, count_matches
ids, counts = np.array([1, 2], dtype=np.int32), np.array([3, 4])
table = SegmentTable(ids, ids, np.zeros(2, dtype=bool), np.zeros(2))
pairs = SegmentPairs.locate(ids, ids, counts, table, table)
print(*(c.tolist() for c in count_matches(pairs, table, table, False, 0.5, np.ones(2))))
print(sorted({"numba.np.arraymath", "scipy.linalg"} & set(sys.modules)), file=sys.stderr)
"""


def test_a_compiled_kernel_is_loaded_without_what_compiles():
    first, second = (
        subprocess.run([sys.executable, "-c", COUNT], check=True, capture_output=True, text=True)
        for _ in range(2)
    )
    assert first.stdout == second.stdout == "[1, 2] [1.0, 1.0] [1, 1] [0, 0] [0, 0]\n"
    assert second.stderr == "[]\n"


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels are functions")
def test_a_numba_that_is_built_otherwise_loads_by_itself(monkeypatch):
    from numba.core.caching import FunctionCache

    from fuse.ops import _numba

    asked, load = [], FunctionCache.load_overload
    monkeypatch.setattr(
        FunctionCache, "load_overload", lambda *given: asked.append(given) or load(*given)
    )
    monkeypatch.setattr(_numba, "rtsys", object())
    kernel = _numba.build_kernel(_double.__wrapped__, nogil=True)
    assert kernel(np.arange(4)) == 12
    assert asked


def test_compiling_is_said_once(capsys):
    from fuse.ops._jit import announce_compiling
    from fuse.ops._numba import _CompileNotice

    announce_compiling.cache_clear()
    notice = _CompileNotice()
    for _ in range(2):
        kernel = SimpleNamespace(py_func=row_deltas.RowDeltas.from_map)
        notice.on_start(SimpleNamespace(data={"dispatcher": kernel}))
    assert capsys.readouterr().err.count("compiling kernels") == 1
