"""The compile notice and the kernel cache, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

NOTICE = "fuse: compiling kernels for this processor (first use only)\n"
COUNT = """
import numpy as np
from fuse.ops.segments import run_starts
print(run_starts(*[np.array([[4, 4, 6]], dtype=np.int32)] * 2).tolist())
"""


def run(code: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_first_use_says_so_once_and_later_ones_start_from_the_cache(tmp_path: Path) -> None:
    first = run(COUNT + COUNT, tmp_path)
    assert (first.stdout, first.stderr) == ("[0, 2]\n" * 2, NOTICE)
    second = run(COUNT, tmp_path)
    assert (second.stdout, second.stderr) == ("[0, 2]\n", "")


def test_kernels_work_where_no_cache_folder_is_writable(tmp_path: Path) -> None:
    no_folders = "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
    result = run(no_folders + COUNT, tmp_path)
    assert (result.stdout, result.stderr) == ("[0, 2]\n", NOTICE)
    assert not list(tmp_path.iterdir())


def test_other_packages_compile_without_our_notice(tmp_path: Path) -> None:
    other = "import fuse.ops.segments, numba\nprint(numba.njit(lambda x: x + 1)(2))\n"
    result = run(other, tmp_path)
    assert (result.stdout, result.stderr) == ("3\n", "")
