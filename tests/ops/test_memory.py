import platform
import subprocess
import sys

import pytest

# Six maps of an image live and die together; a page is touched for the first time in each
# round unless the C library has kept them. Prints the page faults of a round.
ROUNDS = """
import resource
import numpy as np
from fuse.ops.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    maps = [np.ones(700_000, np.int32) for _ in range(6)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
print([faults() for _ in range(5)][-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again():
    done = subprocess.run([sys.executable, "-c", ROUNDS], check=True, capture_output=True)
    assert int(done.stdout) < 100
