"""Masks as runs of pixels along rows, decoded from COCO's RLE; and RLE encoded from crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from fuse.ops._jit import jit
from fuse.types import BoolArray, Int32Array, Int64Array, UInt8Array

FIRST_RUNS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class MaskRuns:
    """Masks of K instances as runs of pixels along rows.

    Attributes:
        runs: int32 (R, 3), columns y, x_first, x_stop: the pixels x_first <= x < x_stop of
            row y, all inside the image. Runs of one mask do not overlap; their order is free.
        offsets: int64 (K + 1,); mask k has the runs offsets[k]:offsets[k + 1].
    """

    runs: Int32Array
    offsets: Int64Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def areas(self) -> Int64Array:
        """Pixels of each mask: int64 (K,)."""
        lengths = self.runs[:, 2] - self.runs[:, 1]
        ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return np.diff(ends[self.offsets])


def decode_rles(codes: Sequence[bytes], size: tuple[int, int]) -> MaskRuns:
    """The masks of K compressed ``counts`` over an image of (height, width).

    Counts that end early leave the rest of the image as background, as in pycocotools.

    Raises:
        ValueError: a code is cut short or describes more pixels than the image has; the
            message names its place in the sequence.
    """
    ends = np.cumsum([0, *map(len, codes)], dtype=np.int64)
    code = np.frombuffer(b"".join(codes), dtype=np.uint8)
    longest = max(map(len, codes), default=0)
    runs, offsets, bad = _runs_of_rles(code, ends, longest, *size)
    if bad >= 0:
        raise ValueError(f"rles[{bad}] is cut short or has more pixels than the image {size}")
    return MaskRuns(runs, offsets)


def count_rle_pixels(code: bytes, size: tuple[int, int]) -> int:
    """How many pixels compressed ``counts`` describe, background included; up to all.

    Raises:
        ValueError: the code is cut short or describes more pixels than the image has.
    """
    pixels = int(_count_pixels(np.frombuffer(code, dtype=np.uint8), size[0] * size[1]))
    if pixels < 0:
        raise ValueError(f"the RLE is cut short or has more pixels than the image {size}")
    return pixels


def encode_crop(crop: BoolArray, corner: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    """COCO's compressed RLE of a mask given as a crop and the crop's (y, x) in the image."""
    (top, left), (height, width) = corner, size
    # Down each column of the crop, the mask changes at y: starts and stops alternate.
    x, y = np.nonzero(np.diff(np.pad(crop.T, ((0, 0), (1, 1))), axis=1))
    changes = (left + x) * height + top + y
    # A run that reaches the bottom goes on at the top of the next column: no change there.
    goes_on = np.flatnonzero(changes[1:] == changes[:-1])
    changes = np.delete(changes, [goes_on, goes_on + 1])
    counts = np.diff(changes, prepend=0, append=height * width)
    if len(changes) and changes[-1] == height * width:
        counts = counts[:-1]
    code = coco_mask.frPyObjects({"size": list(size), "counts": counts.tolist()}, height, width)
    return {"size": list(size), "counts": code["counts"]}


@jit
def _runs_of_rles(
    code: UInt8Array, ends: Int64Array, longest: int, height: int, width: int
) -> tuple[Int32Array, Int64Array, int]:
    """Runs and offsets (see MaskRuns) of RLE codes, and the place of the first bad one or -1."""
    runs = np.empty((FIRST_RUNS, 3), np.int32)
    offsets = np.zeros(len(ends), np.int64)
    run_start = np.full(height, -1, np.int32)
    changes = np.empty(longest + 1, np.int64)
    edges = np.empty(2 * len(changes), np.int64)
    count = 0
    for k in range(len(ends) - 1):
        size = _decode_changes(code[ends[k] : ends[k + 1]], height * width, changes)
        if size < 0:
            return runs[:0], offsets, k
        size -= size % 2  # the last background ends nothing
        needed = _find_edges(changes[:size], height, edges)
        while count + needed > len(runs):
            runs = np.concatenate((runs, np.empty_like(runs)))
        _trace_rows(edges[: 2 * size], height, run_start, runs[count:])
        count += needed
        offsets[k + 1] = count
    return runs[:count].copy(), offsets, -1


@jit
def _count_pixels(code: UInt8Array, pixels: int) -> int:
    """Where the last run of a code ends, at most at that many pixels; -1 for a bad code."""
    changes = np.empty(len(code) + 1, np.int64)
    size = _decode_changes(code, pixels, changes)
    return changes[size - 1] if size > 0 else size


@jit
def _decode_changes(code: UInt8Array, pixels: int, changes: Int64Array) -> int:
    """Write where a mask begins and ends in turn, column by column, as one flat count.

    A code is a series of run lengths, background first. Each is stored in bytes of
    48 + 5 bits, lowest first, plus a bit that says that more follow; from the fourth on it
    is the difference to the length two before.

    Returns:
        How many changes were written, one per run; -1 for a code that is cut short, has
        other bytes, or describes more than that many pixels.
    """
    size, shift = 0, 0
    position, length = np.int64(0), np.int64(0)
    before, two_before = np.int64(0), np.int64(0)
    for i in range(len(code)):
        bits = np.int64(code[i]) - 48
        if bits < 0 or bits > 63 or shift > 55:
            return -1
        length |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # negative
            length |= np.int64(-1) << shift
        if size > 2:
            length += two_before
        position += length
        if length < 0 or position > pixels:
            return -1
        changes[size] = position
        size += 1
        before, two_before = length, before
        length, shift = np.int64(0), 0
    if shift != 0:
        return -1
    return size


@jit
def _find_edges(changes: Int64Array, height: int, edges: Int64Array) -> int:
    """Write where a mask differs from itself shifted by one column, as first and stop in turn.

    That is the merge of its changes with the same changes one column later. A row's run
    begins or ends at just these pixels; half their number is returned, the number of runs.
    """
    pixels, i, j = 0, 0, 0
    for e in range(2 * len(changes)):
        if i < len(changes) and changes[i] <= changes[j] + height:
            edges[e] = changes[i]
            i += 1
        else:
            edges[e] = changes[j] + height
            j += 1
        pixels += edges[e] if e % 2 else -edges[e]
    return pixels // 2


@jit
def _trace_rows(edges: Int64Array, height: int, run_start: Int32Array, runs: Int32Array) -> None:
    """Write the runs that begin and end at the pixels between edges.

    run_start is room to work in: per row where its open run began, -1 before and after.
    """
    count = 0
    for e in range(0, len(edges), 2):
        x, y = edges[e] // height, edges[e] % height
        for _ in range(edges[e + 1] - edges[e]):
            if run_start[y] < 0:
                run_start[y] = x
            else:
                runs[count, 0], runs[count, 1], runs[count, 2] = y, run_start[y], x
                run_start[y] = -1
                count += 1
            y += 1
            if y == height:
                x, y = x + 1, 0
