"""Instance masks as runs of pixels along rows: from soft box masks, from COCO RLE, and back.

A mask enters as a box with a small soft mask, or as a COCO run-length code. Both become
the same small thing, runs along rows, and whatever needs a mask (painting, areas, overlaps,
pictures) reads runs. A full-frame mask is never made on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from fuse.ops._jit import jit
from fuse.types import Float32Array, Instances, Int32Array, RleMasks, UInt8Array

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

PADDING = 1  # pixels of zeros that torchvision puts around a soft mask before it stretches it
THRESHOLD = np.float32(0.5)
# Plain float32 sums of four products err by less than this; inside the band the value is
# computed again with the roundings of torch.
ROUNDING = np.float32(1e-6)
# torch interpolates outputs with height + width up to this by another formula.
SMALL_OUTPUT = 128
FIRST_RUNS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class MaskRuns:
    """Masks of K instances as runs of pixels along rows.

    Attributes:
        runs: int32 (R, 3), columns y, x_first, x_stop: the pixels x_first <= x < x_stop of
            row y, all inside the photo. Runs of one mask do not overlap; their order is free.
        offsets: int64 (K + 1,); mask k has the runs offsets[k]:offsets[k + 1].
    """

    runs: Int32Array
    offsets: Int64Array

    def __len__(self) -> int:
        return len(self.offsets) - 1


def mask_runs(instances: Instances, indices: Int64Array) -> MaskRuns:
    """The masks of the chosen instances, in the order of indices.

    Soft masks follow torchvision's ``paste_masks_in_image`` with its padding of one pixel,
    then ``> 0.5``, bit for bit as torch computes it on a CPU with fused multiply-add. Parts
    of a box outside the photo are cut off; a box wholly outside has no runs.

    Raises:
        ValueError: an RLE is cut short or describes more pixels than the photo has.
    """
    height, width = instances.size
    indices = np.ascontiguousarray(indices, dtype=np.int64)
    if isinstance(instances.masks, RleMasks):
        codes = [instances.masks.rles[index]["counts"] for index in indices.tolist()]
        return rle_runs(codes, (height, width))
    runs, offsets = _runs_of_soft_masks(
        np.ascontiguousarray(instances.masks.probs),
        np.ascontiguousarray(instances.boxes),
        indices,
        height,
        width,
    )
    return MaskRuns(runs, offsets)


def rle_runs(codes: list[bytes], size: tuple[int, int]) -> MaskRuns:
    """The masks of COCO's compressed RLE counts over a photo of (height, width).

    Counts that end early leave the rest of the photo as background, as in pycocotools.

    Raises:
        ValueError: a code is cut short or describes more pixels than the photo has; the
            message names its place in the list.
    """
    ends = np.cumsum([0, *map(len, codes)], dtype=np.int64)
    code = np.frombuffer(b"".join(codes), dtype=np.uint8)
    runs, offsets, bad = _runs_of_rles(code, ends, *size)
    if bad >= 0:
        raise ValueError(f"rles[{bad}] is cut short or has more pixels than the photo {size}")
    return MaskRuns(runs, offsets)


def paste_mask(instances: Instances, index: int) -> tuple[BoolArray, tuple[int, int]]:
    """One instance's mask as a bool crop around its pixels, and the crop's (y, x) in the photo.

    An instance without pixels gives a (0, 0) crop at (0, 0).
    """
    runs = mask_runs(instances, np.array([index])).runs
    if not len(runs):
        return np.zeros((0, 0), dtype=np.bool_), (0, 0)
    top, left = int(runs[:, 0].min()), int(runs[:, 1].min())
    crop = np.zeros((runs[:, 0].max() + 1 - top, runs[:, 2].max() - left), dtype=np.bool_)
    for y, x_first, x_stop in runs.tolist():
        crop[y - top, x_first - left : x_stop - left] = True
    return crop, (top, left)


def mask_areas(instances: Instances) -> Int64Array:
    """Pixels of each instance inside the photo, before any overlap: int64 (N,)."""
    masks = mask_runs(instances, np.arange(len(instances)))
    ends = np.concatenate([[0], np.cumsum(masks.runs[:, 2] - masks.runs[:, 1], dtype=np.int64)])
    return np.diff(ends[masks.offsets])


def encode_rles(instances: Instances) -> Iterator[dict[str, Any]]:
    """COCO's compressed RLE of each instance, one at a time: ``{"size", "counts": bytes}``."""
    if isinstance(instances.masks, RleMasks):
        yield from instances.masks.rles
        return
    for index in range(len(instances)):
        yield _encode_crop(*paste_mask(instances, index), instances.size)


def _encode_crop(crop: BoolArray, corner: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    """COCO's compressed RLE of a mask given as a crop and the crop's (y, x) in the photo."""
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
def _runs_of_soft_masks(
    probs: Float32Array, boxes: Float32Array, indices: Int64Array, height: int, width: int
) -> tuple[Int32Array, Int64Array]:
    """Runs and offsets (see MaskRuns) of the chosen soft masks."""
    samples = probs.shape[1] + 2 * PADDING
    scale = np.float32(samples / probs.shape[1])
    padded = np.zeros((samples, samples), np.float32)
    runs = np.empty((FIRST_RUNS, 3), np.int32)
    offsets = np.zeros(len(indices) + 1, np.int64)
    count = 0
    for k in range(len(indices)):
        padded[PADDING:-PADDING, PADDING:-PADDING] = probs[indices[k]]
        x1, y1, x2, y2 = boxes[indices[k]]
        left, right = _stretch(x1, x2, scale)
        top, bottom = _stretch(y1, y2, scale)
        runs, count = _paste(padded, (top, bottom), (left, right), height, width, runs, count)
        offsets[k + 1] = count
    return runs[:count].copy(), offsets


@jit
def _stretch(low: np.float32, high: np.float32, scale: np.float32) -> tuple[int, int]:
    """First and last pixel of a box's side, grown by the padding: float32 like torchvision."""
    half = (high - low) * THRESHOLD * scale
    center = (high + low) * THRESHOLD
    # Whole numbers towards zero; the bound keeps absurd boxes inside int64.
    bound = 2.0**40
    return (
        int(min(max(np.float64(center - half), -bound), bound)),
        int(min(max(np.float64(center + half), -bound), bound)),
    )


@jit
def _axis_samples(
    first_pixel: int, last_pixel: int, length: int, samples: int
) -> tuple[int, int, Int64Array, Float32Array]:
    """Where the visible pixels along one axis fall between the mask's samples.

    Half-pixel convention, clamped, with torch's float32 roundings (one fused multiply-add).

    Returns:
        The first visible pixel, the output's full size, and per visible pixel the sample
        before it and the weight of the sample after it.
    """
    size = max(last_pixel - first_pixel + 1, 1)
    start = max(first_pixel, 0)
    visible = max(min(last_pixel + 1, length) - start, 0)
    scale = np.float64(np.float32(samples) / np.float32(size))
    sample = np.empty(visible, np.int64)
    weight = np.empty(visible, np.float32)
    for i in range(visible):
        center = np.float64(np.float32(start - first_pixel + i) + THRESHOLD)
        place = max(np.float32(scale * center - 0.5), np.float32(0))
        sample[i] = min(int(place), samples - 1)
        weight[i] = min(place - np.float32(sample[i]), np.float32(1))
    return start, size, sample, weight


@jit
def _paste(
    padded: Float32Array,
    rows: tuple[int, int],
    columns: tuple[int, int],
    height: int,
    width: int,
    runs: Int32Array,
    count: int,
) -> tuple[Int32Array, int]:
    """Append the runs of one stretched mask; rows and columns are its first and last pixel.

    Each row is blended from two rows of samples once; then only the cells between two
    samples that lie on different sides of the threshold are looked at pixel by pixel.
    """
    samples = len(padded)
    top, out_height, row_sample, row_weight = _axis_samples(rows[0], rows[1], height, samples)
    left, out_width, column_sample, column_weight = _axis_samples(
        columns[0], columns[1], width, samples
    )
    is_small = out_height + out_width <= SMALL_OUTPUT
    visible = len(column_sample)
    cell_start = np.searchsorted(column_sample, np.arange(samples + 1))
    blended = np.empty(samples + 1, np.float32)
    for i in range(len(row_sample)):
        above, below = row_sample[i], min(row_sample[i] + 1, samples - 1)
        wy = row_weight[i]
        for j in range(samples):
            blended[j] = (np.float32(1) - wy) * padded[above, j] + wy * padded[below, j]
        blended[samples] = blended[samples - 1]
        while count + visible // 2 + 1 > len(runs):
            runs = _grown(runs)
        run_start = -1
        for j in range(samples):
            a, b = blended[j], blended[j + 1]
            start, stop = cell_start[j], cell_start[j + 1]
            if start == stop:
                continue
            if min(a, b) > THRESHOLD + ROUNDING:
                if run_start < 0:
                    run_start = start
            elif max(a, b) < THRESHOLD - ROUNDING:
                if run_start >= 0:
                    count = _append(runs, count, top + i, left + run_start, left + start)
                    run_start = -1
            else:
                for c in range(start, stop):
                    wx = column_weight[c]
                    value = (np.float32(1) - wx) * a + wx * b
                    if abs(value - THRESHOLD) < ROUNDING:
                        after = min(j + 1, samples - 1)
                        value = _torch_bilinear(
                            padded[above, j],
                            padded[above, after],
                            padded[below, j],
                            padded[below, after],
                            wy,
                            wx,
                            is_small,
                        )
                    if value > THRESHOLD:
                        if run_start < 0:
                            run_start = c
                    elif run_start >= 0:
                        count = _append(runs, count, top + i, left + run_start, left + c)
                        run_start = -1
        if run_start >= 0:
            count = _append(runs, count, top + i, left + run_start, left + visible)
    return runs, count


@jit
def _grown(runs: Int32Array) -> Int32Array:
    """A copy with twice the room."""
    larger = np.empty((2 * len(runs), 3), np.int32)
    larger[: len(runs)] = runs
    return larger


@jit
def _append(runs: Int32Array, count: int, y: int, x_first: int, x_stop: int) -> int:
    """Write one run and return the new count."""
    runs[count, 0] = y
    runs[count, 1] = x_first
    runs[count, 2] = x_stop
    return count + 1


@jit
def _torch_bilinear(
    a: np.float32,
    b: np.float32,
    c: np.float32,
    d: np.float32,
    wy: np.float32,
    wx: np.float32,
    is_small: bool,
) -> np.float32:
    """One bilinear value with the roundings of torch's CPU kernels.

    a, b are the samples above, c, d below. For small outputs torch takes its channels-last
    kernel (four products of weights), else the separable one (along x, then along y).
    """
    vy, vx = np.float32(1) - wy, np.float32(1) - wx
    if is_small:
        value = _fma(vy * vx, a, (vy * wx) * b)
        value = _fma(wy * vx, c, value)
        return _fma(wy * wx, d, value)
    above = _fma(vx, a, wx * b)
    below = _fma(vx, c, wx * d)
    return _fma(vy, above, wy * below)


@jit
def _fma(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    """A * b + c rounded once: the product of two float32 is exact in float64."""
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))


@jit
def _runs_of_rles(
    code: UInt8Array, ends: Int64Array, height: int, width: int
) -> tuple[Int32Array, Int64Array, int]:
    """Runs and offsets (see MaskRuns) of RLE codes, and the place of the first bad one or -1.

    COCO's runs go down the columns. From one column to the next a row's pixel changes just
    where exactly one of the two columns has it, so a row's run opens and closes there, and
    no pixel is looked at.
    """
    runs = np.empty((FIRST_RUNS, 3), np.int32)
    offsets = np.zeros(len(ends), np.int64)
    run_start = np.full(height, -1, np.int32)  # per row: where its open run began
    # Where the mask changes down the last two columns; a column has at most height + 2.
    before = np.empty(height + 2, np.int64)
    now = np.empty(height + 2, np.int64)
    count = 0
    for k in range(len(ends) - 1):
        counts, is_valid = _decode_counts(code[ends[k] : ends[k + 1]], height * width)
        if not is_valid:
            return runs[:0], offsets, k
        column, before_size, now_size = 0, 0, 0
        position = 0
        for i in range(len(counts)):
            start, position = position, position + counts[i]
            if i % 2 == 0:  # background comes first, then mask and background in turn
                continue
            while start < position:
                x = start // height
                if x != column:
                    runs, count = _turn(
                        run_start, before, before_size, now, now_size, column, runs, count
                    )
                    before, now, before_size, now_size = now, before, now_size, 0
                    column += 1
                    if x != column:  # columns without a pixel lie between
                        runs, count = _turn(
                            run_start, before, before_size, now, 0, column, runs, count
                        )
                        before_size, column = 0, x
                y = start - x * height
                stop = min(position - start + y, height)
                if now_size and now[now_size - 1] == y:
                    now_size -= 1
                else:
                    now[now_size] = y
                    now_size += 1
                now[now_size] = stop
                now_size += 1
                start += stop - y
        runs, count = _turn(run_start, before, before_size, now, now_size, column, runs, count)
        runs, count = _turn(run_start, now, now_size, before, 0, column + 1, runs, count)
        offsets[k + 1] = count
    return runs[:count].copy(), offsets, -1


@jit
def _turn(
    run_start: Int32Array,
    before: Int64Array,
    before_size: int,
    now: Int64Array,
    now_size: int,
    x: int,
    runs: Int32Array,
    count: int,
) -> tuple[Int32Array, int]:
    """Open and close the runs of the rows where column x differs from the one before it.

    before and now hold where the mask changes down the two columns, ascending.
    """
    i, j, y, differs = 0, 0, 0, False
    while i < before_size or j < now_size:
        if j == now_size or (i < before_size and before[i] <= now[j]):
            change = before[i]
            i += 1
        else:
            change = now[j]
            j += 1
        if differs:
            while count + change - y > len(runs):
                runs = _grown(runs)
            for row in range(y, change):
                if run_start[row] < 0:
                    run_start[row] = x
                else:
                    count = _append(runs, count, row, run_start[row], x)
                    run_start[row] = -1
        y, differs = change, not differs
    return runs, count


@jit
def _decode_counts(code: UInt8Array, pixels: int) -> tuple[Int64Array, bool]:
    """COCO's compressed counts, and whether they are whole and fit that many pixels.

    Each count is stored in bytes of 48 + 5 bits, lowest first, plus a bit that says that
    more follow; from the fourth on it is the difference to the count two before.
    """
    counts = np.empty(len(code), np.int64)
    size, total, value, shift = 0, 0, 0, 0
    for i in range(len(code)):
        bits = np.int64(code[i]) - 48
        if bits < 0 or bits > 63 or shift > 55:
            return counts[:0], False
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # negative
            value |= -1 << shift
        if size > 2:
            value += counts[size - 2]
        total += value
        if value < 0 or total > pixels:
            return counts[:0], False
        counts[size] = value
        size += 1
        value, shift = 0, 0
    return counts[:size], shift == 0
