"""What the C library does with the memory of arrays that are no longer needed."""

from __future__ import annotations

import numpy as np

KEPT_BYTES = 24 * 2**20  # glibc looks at blocks of at most 32 MiB, headers included


def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed arrays up to image size, for the next image.

    By default it hands blocks from 128 KiB on back to the system, and the first touch of
    each fresh page then costs more than the work on it: over a quarter of the time of scoring.
    glibc keeps what is no larger than the largest block it has handed back, so handing back
    one that was never touched is enough (mallopt(3), M_MMAP_THRESHOLD). Other C libraries
    take no notice.
    """
    np.empty(KEPT_BYTES, dtype=np.uint8)
