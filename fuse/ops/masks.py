"""Instance masks as runs of pixels along rows: from soft box masks, from COCO RLE, and back.

A mask enters as a box with a small soft mask, or as a COCO run-length code. Both become
the same small thing, runs along rows, and whatever needs a mask (painting, areas, overlaps,
pictures) reads runs. A full-frame mask is never made on the way.
"""

from __future__ import annotations

import numpy as np

from fuse.ops._jit import jit
from fuse.ops.rle import FIRST_RUNS, MaskRuns, decode_rles
from fuse.types import BoolArray, Float32Array, Instances, Int32Array, Int64Array, RleMasks

PADDING = 1  # pixels of zeros that torchvision puts around a soft mask before it stretches it
THRESHOLD = np.float32(0.5)
# Plain float32 sums of four products err by less than this; inside the band the value is
# computed again with the roundings of torch.
ROUNDING = np.float32(1e-6)
# torch interpolates outputs with height + width up to this by another formula.
SMALL_OUTPUT = 128


def mask_runs(instances: Instances, indices: Int64Array) -> MaskRuns:
    """The masks of the chosen instances, in the order of indices.

    Soft masks follow torchvision's ``paste_masks_in_image`` with its padding of one pixel,
    then ``> 0.5``, bit for bit as torch computes it on a CPU with fused multiply-add. Parts
    of a box outside the image are cut off; a box wholly outside has no runs.

    Raises:
        ValueError: an RLE is cut short or describes more pixels than the image has.
    """
    height, width = instances.size
    indices = np.ascontiguousarray(indices, dtype=np.int64)
    if isinstance(instances.masks, RleMasks):
        rles = instances.masks.rles
        return decode_rles([rles[i]["counts"] for i in indices.tolist()], instances.size)
    runs, offsets = _runs_of_soft_masks(
        np.ascontiguousarray(instances.masks.probs),
        np.ascontiguousarray(instances.boxes),
        indices,
        height,
        width,
    )
    return MaskRuns(runs, offsets)


def paste_mask(instances: Instances, index: int) -> tuple[BoolArray, tuple[int, int]]:
    """One instance's mask as a bool crop around its pixels, and the crop's (y, x) in the image.

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


def stretch_mask(
    soft: Float32Array, box: Float32Array, size: tuple[int, int], *, outside: float
) -> tuple[Float32Array, tuple[int, int]]:
    """A soft mask as a value per pixel of its box, before it is cut at a threshold.

    The pixels are those of `mask_runs`, and so are the values: where they are above 0.5 the
    pixel is in the mask. Values of another kind, such as logits, are stretched alike.

    Args:
        soft: float32 (m, m), over the box.
        box: float32 (4,), xyxy pixel edges.
        size: (height, width) of the image.
        outside: the value beyond the box; the mask's rim fades into it.

    Returns:
        float32 (h, w) and the (y, x) of its first pixel; (0, 0) where nothing is visible.
    """
    padded = np.pad(soft, PADDING, constant_values=np.float32(outside))
    crop, top, left = _stretch_values(padded, np.float32(len(padded) / len(soft)), box, *size)
    return crop, (top, left)


@jit
def _runs_of_soft_masks(
    probs: Float32Array, boxes: Float32Array, indices: Int64Array, height: int, width: int
) -> tuple[Int32Array, Int64Array]:
    """Runs and offsets (see MaskRuns) of the chosen soft masks."""
    samples = probs.shape[1] + 2 * PADDING
    padded = np.zeros((samples, samples), np.float32)
    runs = np.empty((FIRST_RUNS, 3), np.int32)
    offsets = np.zeros(len(indices) + 1, np.int64)
    count = int(np.int64(0))  # a number in the code has a type of its own, compiled as well
    for k in range(len(indices)):
        soft, box = probs[indices[k]], boxes[indices[k]]
        scale = np.float32(samples / len(soft))
        for i in range(len(soft)):  # copied in loops: a slice takes seconds to compile
            for j in range(len(soft)):
                padded[i + PADDING, j + PADDING] = soft[i, j]
        left, right = _stretch(box[0], box[2], scale)
        top, bottom = _stretch(box[1], box[3], scale)
        runs, count = _paste(padded, (top, bottom), (left, right), height, width, runs, count)
        offsets[k + 1] = count
    return runs[:count].copy(), offsets


@jit
def _stretch_values(
    padded: Float32Array, scale: np.float32, box: Float32Array, height: int, width: int
) -> tuple[Float32Array, int, int]:
    """The stretched values of one padded mask, and the first row and column they stand for."""
    rows, columns = _stretch(box[1], box[3], scale), _stretch(box[0], box[2], scale)
    last = len(padded) - 1
    top, out_height, row_sample, row_weight = _axis_samples(rows[0], rows[1], height, last + 1)
    left, out_width, column_sample, column_weight = _axis_samples(
        columns[0], columns[1], width, last + 1
    )
    is_small = out_height + out_width <= SMALL_OUTPUT
    values = np.empty((len(row_sample), len(column_sample)), np.float32)
    blended = np.empty(last + 1, np.float32)
    for i in range(len(row_sample)):
        wy = row_weight[i]
        above, below = padded[row_sample[i]], padded[min(row_sample[i] + 1, last)]
        for j in range(len(above)):
            blended[j] = (np.float32(1) - wy) * above[j] + wy * below[j]
        for c in range(len(column_sample)):
            j, wx = column_sample[c], column_weight[c]
            right = min(j + 1, last)
            value = (np.float32(1) - wx) * blended[j] + wx * blended[right]
            if abs(value - THRESHOLD) < ROUNDING:
                value = _torch_bilinear(
                    above[j], above[right], below[j], below[right], wy, wx, is_small
                )
            values[i, c] = value
    return values, top, left


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
    """Append the runs of one stretched mask; rows and columns are its first and last pixel."""
    samples = len(padded)
    top, out_height, row_sample, row_weight = _axis_samples(rows[0], rows[1], height, samples)
    left, out_width, column_sample, column_weight = _axis_samples(
        columns[0], columns[1], width, samples
    )
    is_small = out_height + out_width <= SMALL_OUTPUT
    cell_start = _cell_starts(column_sample, samples)
    blended = np.empty(samples + 1, np.float32)
    changes = np.empty(len(column_weight) + 1, np.int64)
    for i in range(len(row_sample)):
        above, wy = row_sample[i], row_weight[i]
        corners = padded[above : above + 2]
        size = _row_changes(corners, wy, cell_start, column_weight, is_small, blended, changes)
        while count + size // 2 > len(runs):
            runs = np.concatenate((runs, np.empty_like(runs)))
        for e in range(0, size, 2):
            runs[count, 0] = top + i
            runs[count, 1] = left + changes[e]
            runs[count, 2] = left + changes[e + 1]
            count += 1
    return runs, count


@jit
def _cell_starts(column_sample: Int64Array, samples: int) -> Int64Array:
    """The first pixel at or behind each sample, and how many pixels there are."""
    starts = np.zeros(samples + 1, np.int64)
    for c in range(len(column_sample)):
        starts[column_sample[c] + 1] = c + 1
    for j in range(samples):  # a cell without pixels starts where the one before it stops
        starts[j + 1] = max(starts[j], starts[j + 1])
    return starts


@jit
def _row_changes(
    corners: Float32Array,
    wy: np.float32,
    cell_start: Int64Array,
    column_weight: Float32Array,
    is_small: bool,
    blended: Float32Array,
    changes: Int64Array,
) -> int:
    """Write where the mask begins and ends in turn along one row of pixels; return how often.

    corners holds the samples above and below (only above in the last row). Both are blended
    once; then only the cells between two samples that lie on different sides of the
    threshold are looked at pixel by pixel.
    """
    above, below = corners[0], corners[len(corners) - 1]
    last = len(above) - 1
    for j in range(len(above)):
        blended[j] = (np.float32(1) - wy) * above[j] + wy * below[j]
    blended[last + 1] = blended[last]
    size = 0
    for j in range(len(above)):
        start, stop = cell_start[j], cell_start[j + 1]
        if start == stop:
            continue
        before, after = blended[j], blended[j + 1]
        is_inside = min(before, after) > THRESHOLD + ROUNDING
        if is_inside or max(before, after) < THRESHOLD - ROUNDING:
            if is_inside != (size % 2 == 1):
                changes[size] = start
                size += 1
            continue
        right = min(j + 1, last)
        for c in range(start, stop):
            wx = column_weight[c]
            value = (np.float32(1) - wx) * before + wx * after
            if abs(value - THRESHOLD) < ROUNDING:
                value = _torch_bilinear(
                    above[j], above[right], below[j], below[right], wy, wx, is_small
                )
            if (value > THRESHOLD) != (size % 2 == 1):
                changes[size] = c
                size += 1
    if size % 2:
        changes[size] = len(column_weight)
        size += 1
    return size


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
