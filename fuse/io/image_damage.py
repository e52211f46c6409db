"""What is missing of an image that its decoder took all the same.

Decoders read on where data is missing, and leave grey, black or torn pixels without an error. What
can be known of that is found here: of JPEG by a decoder that tells, of PNG by counting its rows, of
other compressed formats by a stretch of zeros, as a copy that was never finished leaves.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import simplejpeg
from PIL import Image
from zlib_ng import zlib_ng

from fuse.io.png import SIGNATURE, PngHeader, parse_chunks

JPEG_START = b"\xff\xd8\xff"
# WebP, JPEG 2000, and what is built of boxes as AVIF and HEIC are.
PACKED_STARTS = ((0, b"RIFF"), (0, b"\xff\x4f\xff\x51"), (4, b"jP  "), (4, b"ftyp"))
ZEROS = bytes(4096)  # a block of a file system; compressed pixels hold no such
CHANNELS = {"grey": 1, "rgb": 3, "palette": 1, "grey-alpha": 2, "rgba": 4}
# Of an interlaced PNG's passes: first column and row, and how far it is to the next ones.
ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
PIECE, INFLATED_BYTES = 1 << 16, 1 << 20  # of a stream, at a time


def find_damage(content: bytes) -> str | None:
    """What is missing of an image, None where nothing is known to be.

    Args:
        content: of a file that a decoder took.
    """
    if content.startswith(JPEG_START):
        return _find_jpeg_damage(content)
    if content.startswith(SIGNATURE):
        return _find_missing_rows(content)
    if any(content.startswith(start, place) for place, start in PACKED_STARTS):
        return "holds 4 kB of zeros where its pixels should be" if ZEROS in content else None
    return None


def _find_jpeg_damage(content: bytes) -> str | None:
    """What libjpeg warns of; asked for an eighth of the size, it takes half of the time or less."""
    small: dict[str, Any] = {"colorspace": "GRAY", "fastdct": True, "fastupsample": True}
    small |= {"min_height": 1, "min_width": 1}
    try:
        simplejpeg.decode_jpeg(content, **small)
    except ValueError as err:
        with suppress(ValueError):  # a kind that it does not read: nothing is known
            simplejpeg.decode_jpeg(content, **small, strict=False)
            return str(err)
    return None


def _find_missing_rows(content: bytes) -> str | None:
    """How many of a PNG's bytes are missing; its stream may end early and be whole otherwise."""
    try:
        header, pixels = parse_chunks(content)
        missing = count_row_bytes(header) - _count_inflated(pixels)
    except (ValueError, zlib_ng.error) as err:  # type: ignore[misc] # wrong stub
        return f"its pixels cannot be counted ({err})"
    return f"{missing:,} bytes of its pixels are missing" if missing > 0 else None


def _count_inflated(stream: bytes) -> int:
    """Bytes of a zlib stream, a piece in memory at a time."""
    inflater, size = zlib_ng.decompressobj(), 0
    for start in range(0, len(stream), PIECE):
        piece = stream[start : start + PIECE]
        while piece and not inflater.eof:
            size += len(inflater.decompress(piece, INFLATED_BYTES))
            piece = inflater.unconsumed_tail
    return size


def count_row_bytes(header: PngHeader) -> int:
    """Bytes that all rows of a PNG have, each with one for its filter.

    >>> count_row_bytes(PngHeader((2, 3), 8, "rgb", False))
    20
    """
    height, width = header.size
    passes = ADAM7 if header.is_interlaced else ((0, 0, 1, 1),)
    total = 0
    for x_first, y_first, x_step, y_step in passes:
        columns, rows = -((x_first - width) // x_step), -((y_first - height) // y_step)
        if columns > 0 and rows > 0:
            bits = columns * CHANNELS[header.color_type] * header.bit_depth
            total += rows * (1 + -(-bits // 8))
    return total


class _Collector:
    """Gathers what Pillow warns of on each thread, instead of showing it.

    Python has one list of filters and one way to show warnings for all threads: they are changed
    by the first thread that comes and put back by the last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._changed = ExitStack()
        self._own = threading.local()

    @contextmanager
    def collect(self) -> Iterator[list[str]]:
        """Yields the list that the block's warnings of Pillow come to."""
        with self._lock:
            self._threads += 1
            if self._threads == 1:
                self._change()
        self._own.found = []
        try:
            yield self._own.found
        finally:
            del self._own.found
            with self._lock:
                self._threads -= 1
                if not self._threads:
                    self._changed.close()

    def _change(self) -> None:
        self._changed.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("always", module=r"PIL\.")
        # Comes from half of what Pillow takes; images of 100 megapixels are ordinary by now.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        show = warnings.showwarning

        def keep(message: Any, *where: Any, **more: Any) -> None:  # noqa: ANN401 - as Python calls it
            found = getattr(self._own, "found", None)
            if found is None:
                show(message, *where, **more)
            else:
                found.append(" ".join(str(message).split()))

        warnings.showwarning = keep


collect_warnings = _Collector().collect
