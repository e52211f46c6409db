"""RoIAlign (He et al. 2017, *Mask R-CNN*) with the bits of torchvision's kernel, channels last.

torchvision's kernel reads one channel after the other. Where the channels of a cell lie side by
side in memory, as convolutions leave them, the four cells of a sample are read as vectors.
"""

from __future__ import annotations

import numpy as np

from fuse.ops._jit import jit
from fuse.types import Float32Array, Int64Array


@jit
def align_regions(
    features: Float32Array,
    regions: Float32Array,
    rows: Int64Array,
    scale: np.float32,
    shift: np.float32,
    samples: int,
    pooled: Float32Array,
) -> None:
    """Write what one level has inside regions into their rows of an array.

    A bin is the mean of its samples, all sums those of torchvision in float32, term by term;
    samples more than a cell outside the level count as 0.

    Args:
        features: float32 (N, H, W, C), C-contiguous.
        regions: float32 (K, 5), the index of the image, then xyxy in pixels of the input.
        rows: int64 (L,), which of the K regions to take.
        scale: cells per pixel.
        shift: 0.5 where pixel centres lie on halves (aligned), and regions may be smaller than
            a cell; else 0.
        samples: per bin along each axis; 0 for as many as the bin has cells.
        pooled: float32 (K, C, P, Q), C-contiguous.
    """
    images, height, width, channels = features.shape
    bins = pooled.shape[2] * pooled.shape[3]
    cells = features.reshape(images * height * width, channels)
    answers = pooled.reshape(len(pooled), channels * bins)
    sums = np.empty((bins, channels), np.float32)
    for k in rows:
        image, sides = int(regions[k, 0]), np.empty((2, 2), np.float32)  # (y, x), (start, length)
        for axis in range(2):
            start = regions[k, 2 - axis] * scale - shift
            length = regions[k, 4 - axis] * scale - shift - start
            sides[axis, 0] = start
            sides[axis, 1] = length if shift > 0 else max(length, np.float32(1))
        count = _sum_samples(
            cells, image * height, (height, width), sides, pooled.shape[2:], samples, sums
        )
        for i in range(bins):  # in a loop of its own, as that over channels is one of vectors
            for channel in range(channels):
                sums[i, channel] /= count
        for channel in range(channels):
            for i in range(bins):
                answers[k, channel * bins + i] = sums[i, channel]


@jit
def _sum_samples(
    cells: Float32Array,
    first_row: int,
    size: tuple[int, int],
    sides: Float32Array,
    bins: tuple[int, int],
    samples: int,
    sums: Float32Array,
) -> np.float32:
    """Sum up the samples of each bin of a region.

    Args:
        cells: float32 (M, C), the rows of all images, one after the other.
        first_row: of the image.
        size: (height, width) of a level in cells.
        sides: float32 (2, 2), where the region starts along (y, x), and how long it is.
        bins: along (y, x).
        samples: see `align_regions`.
        sums: float32 (bins, C), written.

    Returns:
        How many samples a bin has, at least 1.
    """
    height, width = size
    step_y, step_x = sides[0, 1] / np.float32(bins[0]), sides[1, 1] / np.float32(bins[1])
    count_y = samples if samples > 0 else int(np.ceil(step_y))
    count_x = samples if samples > 0 else int(np.ceil(step_x))
    for row in range(len(sums)):
        for channel in range(sums.shape[1]):
            sums[row, channel] = 0
        for i in range(count_y):
            y = _place(sides[0, 0], row // bins[1], step_y, i, count_y)
            if not -1 <= y <= height:  # nor where it is no number
                continue
            above, below, up, down = _neighbours(y, height)
            above, below = (first_row + above) * width, (first_row + below) * width
            for j in range(count_x):
                x = _place(sides[1, 0], row % bins[1], step_x, j, count_x)
                if not -1 <= x <= width:
                    continue
                before, behind, left, right = _neighbours(x, width)
                four = (above + before, above + behind, below + before, below + behind)
                weights = (up * left, up * right, down * left, down * right)
                _add(cells, four, weights, sums, row)
    return np.float32(max(count_y * count_x, 1))


@jit
def _place(
    start: np.float32, bin_index: int, step: np.float32, sample: int, count: int
) -> np.float32:
    """Where along an axis a sample of a bin lies, in cells."""
    inside = (np.float32(sample) + np.float32(0.5)) * step / np.float32(count)
    return start + np.float32(bin_index) * step + inside


@jit
def _neighbours(place: np.float32, length: int) -> tuple[int, int, np.float32, np.float32]:
    """The cells on both sides of a place, and the weights of the first and of the second."""
    place = max(place, np.float32(0))
    first = int(place)
    if first >= length - 1:
        return length - 1, length - 1, np.float32(1), np.float32(0)
    second_weight = place - np.float32(first)
    return first, first + 1, np.float32(1.0 - np.float64(second_weight)), second_weight


@jit
def _add(
    cells: Float32Array,
    four: tuple[int, int, int, int],
    weights: tuple[np.float32, np.float32, np.float32, np.float32],
    sums: Float32Array,
    row: int,
) -> None:
    """Add four rows of cells, each times its weight, to a row of sums."""
    i, j, k, m = four
    a, b, c, d = weights
    for channel in range(sums.shape[1]):
        sums[row, channel] += (
            a * cells[i, channel]
            + b * cells[j, channel]
            + c * cells[k, channel]
            + d * cells[m, channel]
        )
