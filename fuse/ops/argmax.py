"""From a semantic net's logits at its own stride to a label map of the image's size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuse.ops._jit import jit
from fuse.types import BoolArray, Float32Array, Int32Array, Int64Array, UInt8Array, UInt64Array

WORD = 8  # flags looked at together


def upsample_argmax(
    logits: npt.NDArray[np.float32] | npt.NDArray[np.float16],
    size: tuple[int, int],
    category_ids: Int32Array,
    *,
    scale: tuple[float, float] | None = None,
    offset: tuple[float, float] | None = None,
) -> Int32Array:
    """Upsample bilinearly, take the best class of each pixel and write its category.

    Between four logit cells that agree on their best class no other class can win, so only
    the other places are interpolated, and there only the classes that can still win: exact
    up to rounding. Ties go to the lowest class_index.

    Args:
        logits: (C, h, w), finite.
        size: (H, W) of the label map.
        category_ids: int32 (C,), what each class_index is written as; 0 = void.
        scale: logit cells per pixel along (y, x). By default the logits cover the image edge
            to edge: h/H and w/W. Places beyond the grid take its border.
        offset: where on the grid the first pixel's centre lies along (y, x), by default
            0.5 * scale - 0.5.

    Returns:
        label_map int32 (H, W).

    Raises:
        ValueError: the logits are not (C, h, w) with at least one value, or category_ids
            has another length.

    >>> logits = np.array([[[2, 0]], [[0, 3]]], dtype=np.float32)
    >>> ids = np.array([7, 9], dtype=np.int32)
    >>> upsample_argmax(logits, (1, 6), ids).tolist()
    [[7, 7, 7, 9, 9, 9]]
    """
    if logits.ndim != 3 or logits.size == 0:
        raise ValueError(f"logits must be (C, h, w) with C, h, w >= 1, got {logits.shape}")
    if category_ids.shape != logits.shape[:1]:
        raise ValueError(f"{logits.shape[0]} classes need as many ids, got {category_ids.shape}")
    height, width = logits.shape[1:]
    scale = scale or (height / size[0], width / size[1])
    offset = offset or (0.5 * scale[0] - 0.5, 0.5 * scale[1] - 0.5)
    rows, row_weight = axis_cells(size[0], height, scale[0], offset[0])
    columns, column_weight = axis_cells(size[1], width, scale[1], offset[1])
    return _upsample_argmax(
        np.ascontiguousarray(logits, dtype=np.float32),
        rows,
        row_weight,
        np.searchsorted(columns, np.arange(max(width - 1, 1) + 1)),
        column_weight,
        np.ascontiguousarray(category_ids, dtype=np.int32),
        *_make_flags(width),
    )


def merge_classes(
    logits: npt.NDArray[np.float32] | npt.NDArray[np.float16], target_index: Int32Array
) -> Float32Array:
    """Add up the softmax scores of source classes that fall into one target class.

    The result is the logarithm of the summed scores, up to a number that all classes of a
    cell share: the logsumexp of a target's members. It stays at the net's own stride, so
    upsample_argmax of it interpolates these values linearly, as it does single logits.

    Args:
        logits: (C, h, w).
        target_index: int32 (C,), the class_index of the target each source class falls
            into; a target without members gets minus infinity.

    Returns:
        float32 (T, h, w) with T = the largest target_index + 1.

    Raises:
        ValueError: target_index has another length than C, or an entry below 0.

    >>> logits = np.log(np.array([[[0.2]], [[0.5]], [[0.3]]], dtype=np.float32))
    >>> np.exp(merge_classes(logits, np.array([0, 1, 0], dtype=np.int32))).round(6).tolist()
    [[[0.5]], [[0.5]]]
    """
    if target_index.shape != logits.shape[:1] or not len(target_index) or target_index.min() < 0:
        raise ValueError(
            f"target_index must hold {logits.shape[0]} indices >= 0, got {target_index}"
        )
    merged = np.full((target_index.max() + 1, *logits.shape[1:]), -np.inf, dtype=np.float32)
    for target in range(len(merged)):
        members = logits[target_index == target].astype(np.float32, copy=False)
        if len(members) == 1:
            merged[target] = members[0]
        elif len(members):
            top = members.max(axis=0)
            merged[target] = top + np.log(np.exp(members - top).sum(axis=0))
    return merged


def axis_cells(
    pixels: int, grid: int, scale: float, offset: float
) -> tuple[Int64Array, Float32Array]:
    """The cell between two grid points that each pixel falls in, and the second one's weight.

    Both along one axis, with float32 roundings as in torch.
    """
    place = np.float64(np.float32(scale)) * np.arange(pixels) + offset
    place = place.astype(np.float32).astype(np.float64).clip(0, grid - 1)
    cell = place.astype(np.int64).clip(max=max(grid - 2, 0))
    return cell, (place - cell).astype(np.float32)


@jit
def _upsample_argmax(
    logits: Float32Array,
    rows: Int64Array,
    row_weight: Float32Array,
    column_start: Int64Array,
    column_weight: Float32Array,
    category_ids: Int32Array,
    flags: UInt8Array,
    flags_by_word: UInt64Array,
) -> Int32Array:
    """The label map, one row of cells after the other.

    rows holds the cell of each pixel row; the pixels of cell j are column_start[j] up to
    column_start[j + 1].
    """
    classes, height, width = logits.shape
    cells = max(width - 1, 1)
    label_map = np.empty((len(rows), len(column_weight)), np.int32)
    winner_above, winner_below = np.empty(width, np.int32), np.empty(width, np.int32)
    best = np.empty(width, np.float32)
    bound, rival_count = np.empty(cells, np.float32), np.empty(cells, np.int32)
    rivals = np.empty((cells, classes), np.int32)
    known_row = -1  # whose winners stand in winner_below
    start = 0
    while start < len(rows):
        above = rows[start]
        below = min(above + 1, height - 1)
        stop = start + 1
        while stop < len(rows) and rows[stop] == above:
            stop += 1
        if known_row == above:
            winner_above, winner_below = winner_below, winner_above
        else:
            _find_winners(logits, above, best, winner_above)
        _find_winners(logits, below, best, winner_below)
        known_row = below
        _bound_cells(logits, above, below, winner_above, winner_below, bound)
        _find_rivals(logits, above, below, bound, flags, flags_by_word, rivals, rival_count)
        _fill_agreed(label_map[start], column_start, winner_above, rival_count, category_ids)
        for y in range(start + 1, stop):
            for x in range(label_map.shape[1]):
                label_map[y, x] = label_map[start, x]
        for j in range(cells):
            if rival_count[j]:
                _fill_disputed(
                    label_map[start:stop, column_start[j] : column_start[j + 1]],
                    logits[:, above : below + 1, j : j + 2],
                    rivals[j, : rival_count[j]],
                    row_weight[start:stop],
                    column_weight[column_start[j] : column_start[j + 1]],
                    category_ids,
                )
        start = stop
    return label_map


@jit
def _find_winners(logits: Float32Array, row: int, best: Float32Array, winner: Int32Array) -> None:
    """The best class of each cell of one row of logits; best is room to work in."""
    for x in range(len(best)):
        best[x], winner[x] = logits[0, row, x], 0
    for c in range(1, len(logits)):
        values = logits[c, row]
        for x in range(len(values)):
            is_better = values[x] > best[x]
            best[x] = values[x] if is_better else best[x]
            winner[x] = c if is_better else winner[x]


@jit
def _bound_cells(
    logits: Float32Array,
    above: int,
    below: int,
    winner_above: Int32Array,
    winner_below: Int32Array,
    bound: Float32Array,
) -> None:
    """Write what a class must reach at some corner of a cell to win inside it.

    That is the best of the corners' winners at its own worst corner. Infinity where all
    four corners have the same winner.
    """
    for j in range(len(bound)):
        right = min(j + 1, len(winner_above) - 1)
        winners = (winner_above[j], winner_above[right], winner_below[j], winner_below[right])
        if winners[0] == winners[1] and winners[0] == winners[2] and winners[0] == winners[3]:
            bound[j] = np.inf
            continue
        bound[j] = -np.inf
        for c in winners:
            worst = min(
                min(logits[c, above, j], logits[c, above, right]),
                min(logits[c, below, j], logits[c, below, right]),
            )
            bound[j] = max(bound[j], worst)


@jit
def _find_rivals(
    logits: Float32Array,
    above: int,
    below: int,
    bound: Float32Array,
    flags: UInt8Array,
    flags_by_word: UInt64Array,
    rivals: Int32Array,
    rival_count: Int32Array,
) -> None:
    """List, per cell, the classes that reach the bound at some corner, in ascending order.

    flags is room to work in: zeros, one per cell, filled up to whole words.
    """
    rival_count[:] = 0
    last = logits.shape[2] - 1
    for c in range(len(logits)):
        top, bottom = logits[c, above], logits[c, below]
        for j in range(last):
            highest = max(max(top[j], top[j + 1]), max(bottom[j], bottom[j + 1]))
            flags[j] = highest >= bound[j]
        if last == 0:
            flags[0] = max(top[0], bottom[0]) >= bound[0]
        for word in range(len(flags_by_word)):
            if flags_by_word[word] == 0:
                continue
            for j in range(word * WORD, word * WORD + WORD):
                if flags[j]:
                    rivals[j, rival_count[j]] = c
                    rival_count[j] += 1


@jit
def _fill_agreed(
    row: Int32Array,
    column_start: Int64Array,
    winner: Int32Array,
    rival_count: Int32Array,
    category_ids: Int32Array,
) -> None:
    """Write one pixel row of the cells whose corners agree."""
    for j in range(len(rival_count)):
        if rival_count[j] == 0:
            category_id = category_ids[winner[j]]
            for x in range(column_start[j], column_start[j + 1]):
                row[x] = category_id


@jit
def _fill_disputed(
    block: Int32Array,
    corners: Float32Array,
    rivals: Int32Array,
    row_weight: Float32Array,
    column_weight: Float32Array,
    category_ids: Int32Array,
) -> None:
    """Write the pixels of one cell, a block of the label map, by interpolating its rivals.

    corners is (C, 1 or 2, 1 or 2): a grid of one row or column has no second one.
    """
    bottom, right = corners.shape[1] - 1, corners.shape[2] - 1
    one = np.float32(1)
    for y in range(len(row_weight)):
        wy = row_weight[y]
        for x in range(len(column_weight)):
            wx = column_weight[x]
            best, winner = np.float32(-np.inf), rivals[0]
            for c in rivals:
                first = (one - wy) * corners[c, 0, 0] + wy * corners[c, bottom, 0]
                second = (one - wy) * corners[c, 0, right] + wy * corners[c, bottom, right]
                value = (one - wx) * first + wx * second
                if value > best:
                    best, winner = value, c
            block[y, x] = category_ids[winner]


def find_possible_winners(logits: Float32Array) -> BoolArray:
    """Where each class can win: bool (C, h, w), True for what decides the argmax.

    `upsample_argmax` gives the same label map when all other logits are made smaller.

    Args:
        logits: float32 (C, h, w), finite.

    >>> logits = np.array([[[2, 0]], [[0, 3]], [[-9, -9]]], dtype=np.float32)
    >>> find_possible_winners(logits)[:, 0].tolist()
    [[True, True], [True, True], [False, False]]
    """
    return _find_possible_winners(logits, *_make_flags(logits.shape[2]))


def _make_flags(width: int) -> tuple[UInt8Array, UInt64Array]:
    """Room for a flag per cell of a row of logits, and the same memory in words.

    It is made here, as numba compiles such views for a second.
    """
    cells = max(width - 1, 1)
    flags = np.zeros((cells + WORD - 1) // WORD * WORD, dtype=np.uint8)
    return flags, flags.view(np.uint64)


@jit
def _find_possible_winners(
    logits: Float32Array, flags: UInt8Array, flags_by_word: UInt64Array
) -> BoolArray:
    """See find_possible_winners."""
    classes, height, width = logits.shape
    cells = max(width - 1, 1)
    possible = np.zeros(logits.shape, np.bool_)
    winner_above, winner_below = np.empty(width, np.int32), np.empty(width, np.int32)
    best = np.empty(width, np.float32)
    bound, rival_count = np.empty(cells, np.float32), np.empty(cells, np.int32)
    rivals = np.empty((cells, classes), np.int32)
    for above in range(max(height - 1, 1)):
        below = min(above + 1, height - 1)
        _find_winners(logits, above, best, winner_above)
        _find_winners(logits, below, best, winner_below)
        for x in range(width):
            possible[winner_above[x], above, x] = True
            possible[winner_below[x], below, x] = True
        _bound_cells(logits, above, below, winner_above, winner_below, bound)
        _find_rivals(logits, above, below, bound, flags, flags_by_word, rivals, rival_count)
        for j in range(cells):
            right = min(j + 1, width - 1)
            for c in rivals[j, : rival_count[j]]:
                possible[c, above, j] = True
                possible[c, above, right] = True
                possible[c, below, j] = True
                possible[c, below, right] = True
    return possible
