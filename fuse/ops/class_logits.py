"""How much a semantic net says for each class at a pixel, sampled from its coarse logits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuse.ops._jit import jit
from fuse.ops.argmax import axis_cells, upsample_argmax
from fuse.types import (
    Float16Array,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
    SemanticLogits,
)

HALF = 0.5 + 1e-5  # of two cells that are as near, but for rounding, the first counts
SUM_TOLERANCE = 1e-3  # of probabilities rounded to float16
Axis = tuple[Int64Array, Float32Array]  # the cell of each pixel, the weight of the next one


def relative_logits(logits: npt.NDArray[np.float16], reach: float) -> Float32Array:
    """Logits as their height above a floor that lies `reach` below each cell's largest.

    A softmax does not change when a number is added to all logits of a cell, so two nets may
    give the same answer with quite different numbers; this form is the same for both. It
    lies in 0..reach, and 0 says that there is next to nothing for a class.

    Args:
        logits: float16 (C, h, w), finite.
        reach: what lies further below the largest counts as nothing.

    >>> relative_logits(np.array([[[5.0]], [[3.0]], [[-9.0]]], dtype=np.float16), 4.0).ravel()
    array([4., 2., 0.], dtype=float32)
    """
    values = logits.astype(np.float32)
    values -= values.max(axis=0)
    values += np.float32(reach)
    return np.maximum(values, np.float32(0), out=values)


def image_axes(logits: SemanticLogits) -> tuple[Axis, Axis]:
    """Where the image's pixels lie on the grid of the logits, along y and along x."""
    (_, height, width), scale, offset = logits.logits.shape, logits.scale, logits.offset
    y = axis_cells(logits.size[0], height, scale[0], offset[0])
    x = axis_cells(logits.size[1], width, scale[1], offset[1])
    return y, x


def upsample_best(planes: Float32Array, logits: SemanticLogits) -> tuple[Int32Array, Float32Array]:
    """The largest of several planes at each pixel of the image.

    Args:
        planes: float32 (K, h, w), K >= 1, on the grid of the logits.
        logits: whose image and grid it is.

    Returns:
        int32 (H, W), which plane it is; float32 (H, W), its value there, bilinear.
    """
    rows = np.arange(len(planes), dtype=np.int32)
    best = upsample_argmax(planes, logits.size, rows, scale=logits.scale, offset=logits.offset)
    (row, row_weight), (column, column_weight) = image_axes(logits)
    return best, _sample(planes, best, row, row_weight, column, column_weight)


def sum_by_segment(
    planes: Float32Array, rows: Int32Array, panoptic_map: Int32Array, logits: SemanticLogits
) -> Float64Array:
    """The sum over each segment's pixels of what one plane says at the cell nearest to each.

    Args:
        planes: float32 (K, h, w), on the grid of the logits.
        rows: int32 (N,), the plane of each segment_id, below 0 for none.
        panoptic_map: int32 (H, W), segment ids 0..N - 1 of the image.
        logits: whose image and grid it is.

    Returns:
        float64 (N,), 0 for segments without a plane.
    """
    (row, row_weight), (column, column_weight) = image_axes(logits)
    nearest_row = np.minimum(row + (row_weight > HALF), planes.shape[1] - 1)
    nearest_column = np.minimum(column + (column_weight > HALF), planes.shape[2] - 1)
    return _sum_by_segment(planes, rows, panoptic_map, nearest_row, nearest_column)


@jit
def _sum_by_segment(
    planes: Float32Array,
    rows: Int32Array,
    panoptic_map: Int32Array,
    row: Int64Array,
    column: Int64Array,
) -> Float64Array:
    sums = np.zeros(len(rows), np.float64)
    for y in range(panoptic_map.shape[0]):
        for x in range(panoptic_map.shape[1]):
            segment = panoptic_map[y, x]
            if rows[segment] >= 0:
                sums[segment] += planes[rows[segment], row[y], column[x]]
    return sums


def upsample_window(
    plane: Float32Array, axes: tuple[Axis, Axis], window: tuple[slice, slice]
) -> Float32Array:
    """One plane at the pixels of a window of the image, bilinear.

    Args:
        plane: float32 (h, w).
        axes: of the whole image, from `image_axes`.
        window: rows and columns of the image.
    """
    (row, row_weight), (column, column_weight) = axes
    y, x = window
    best = np.zeros((y.stop - y.start, x.stop - x.start), dtype=np.int32)
    return _sample(plane[np.newaxis], best, row[y], row_weight[y], column[x], column_weight[x])


@jit
def _sample(
    planes: Float32Array,
    best: Int32Array,
    row: Int64Array,
    row_weight: Float32Array,
    column: Int64Array,
    column_weight: Float32Array,
) -> Float32Array:
    """The value of the plane that `best` names at each pixel."""
    values = np.empty(best.shape, np.float32)
    one = np.float32(1)
    last_row, last_column = planes.shape[1] - 1, planes.shape[2] - 1
    for y in range(len(row)):
        above, below, wy = row[y], min(row[y] + 1, last_row), row_weight[y]
        for x in range(len(column)):
            left, right, wx = column[x], min(column[x] + 1, last_column), column_weight[x]
            plane = planes[best[y, x]]
            first = (one - wy) * plane[above, left] + wy * plane[below, left]
            second = (one - wy) * plane[above, right] + wy * plane[below, right]
            values[y, x] = (one - wx) * first + wx * second
    return values


def sum_to_one(logits: Float16Array) -> bool:
    """Whether all pixels of logits (C, h, w) have values in 0..1 that sum to 1."""
    if len(logits) < 2 or logits[:, 0, 0].min() < 0:  # spares most nets the look at all values
        return False
    values = logits.astype(np.float32)
    if values.min() < 0 or values.max() > 1:
        return False
    return bool((np.abs(values.sum(axis=0) - 1) <= SUM_TOLERANCE).all())
