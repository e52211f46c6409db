"""How many pixels each pair of segments of two id maps has in common."""

from __future__ import annotations

import numpy as np

from fuse.ops._jit import jit
from fuse.ops.row_deltas import RowDeltas
from fuse.types import MAX_SEGMENT_ID, Int32Array, Int64Array
from fuse.types.arrays import check_same_size

ID_BITS = 24  # MAX_SEGMENT_ID fits
COLUMN = 2**32 - 1  # of a packed delta
FREE = -1  # key of a free slot
FIRST_SLOTS = 1024  # a power of two; most images have fewer than 100 pairs
# Knuth's multiplicative hashing: a factor of about 2**63 / phi, and the middle bits of the product.
HASH_FACTOR = 0x4F1BBCDCBFA53E0B
HASH_SHIFT = 20


def count_pairs(
    truth_map: Int32Array, pred_map: Int32Array
) -> tuple[Int32Array, Int32Array, Int64Array]:
    """Count the pixels of each (truth_id, pred_id) pair that occurs.

    Args:
        truth_map: int32 (H, W), ids in 0..2**24 - 1; 0 = void counts like any id.
        pred_map: the same for the prediction.

    Returns:
        truth_ids int32 (P,), pred_ids int32 (P,) and pixel counts int64 (P,), sorted by
        (truth_id, pred_id). No pixels give three empty arrays.

    Raises:
        TypeError: a map is not int32.
        ValueError: the maps differ in size, or an id is outside 0..2**24 - 1.

    >>> truth = np.array([[1, 1, 2]], dtype=np.int32)
    >>> pred = np.array([[7, 0, 7]], dtype=np.int32)
    >>> [column.tolist() for column in count_pairs(truth, pred)]
    [[1, 1, 2], [0, 7, 7], [1, 1, 1]]
    """
    if truth_map.dtype != np.int32 or pred_map.dtype != np.int32:
        raise TypeError(f"id maps must be int32, got {truth_map.dtype} and {pred_map.dtype}")
    return count_delta_pairs(RowDeltas.from_map(truth_map), RowDeltas.from_map(pred_map))


def count_delta_pairs(
    truth: RowDeltas, pred: RowDeltas
) -> tuple[Int32Array, Int32Array, Int64Array]:
    """`count_pairs` of maps that are given as row deltas.

    Raises:
        ValueError: the maps differ in size, or an id is outside 0..2**24 - 1.
    """
    check_same_size("the true map", truth.size, "the predicted one", pred.size)
    keys, counts, ids_fit = _count_keys(
        truth.packed, truth.row_ends, pred.packed, pred.row_ends, truth.width
    )
    if not ids_fit:
        raise ValueError(f"ids must lie in 0..{MAX_SEGMENT_ID}")
    return _split_keys(keys, counts, keys.argsort())


@jit
def _count_keys(
    truth_deltas: Int64Array,
    truth_ends: Int64Array,
    pred_deltas: Int64Array,
    pred_ends: Int64Array,
    width: int,
) -> tuple[Int64Array, Int64Array, bool]:
    """Keys truth_id << 24 | pred_id and their pixels, in any order; False if an id is too big.

    A column keeps its key from row to row; where one of the two maps changes, the rows since
    the last change are counted.
    """
    keys, counts = _free_slots(FIRST_SLOTS)
    column_keys, since = np.zeros(width, np.int64), np.zeros(width, np.int64)
    used, truth_at, pred_at = 0, 0, 0
    for y in range(len(truth_ends)):
        while 2 * (used + truth_ends[y] - truth_at + pred_ends[y] - pred_at) > len(keys):
            keys, counts = _grown(keys, counts)
        for index in range(truth_at, truth_ends[y]):
            x, new_id = truth_deltas[index] & COLUMN, truth_deltas[index] >> 32
            if new_id & ~MAX_SEGMENT_ID:  # a negative id has its high bits set
                return keys, counts, False
            used += _count(keys, counts, column_keys[x], y - since[x])
            column_keys[x] = new_id << ID_BITS | column_keys[x] & MAX_SEGMENT_ID
            since[x] = y
        for index in range(pred_at, pred_ends[y]):
            x, new_id = pred_deltas[index] & COLUMN, pred_deltas[index] >> 32
            if new_id & ~MAX_SEGMENT_ID:
                return keys, counts, False
            used += _count(keys, counts, column_keys[x], y - since[x])
            column_keys[x] = column_keys[x] & ~MAX_SEGMENT_ID | new_id
            since[x] = y
        truth_at, pred_at = truth_ends[y], pred_ends[y]
    while 2 * (used + width) > len(keys):
        keys, counts = _grown(keys, counts)
    for x in range(width):
        _count(keys, counts, column_keys[x], len(truth_ends) - since[x])
    found = 0
    for slot in range(len(keys)):
        if keys[slot] != FREE:
            keys[found], counts[found] = keys[slot], counts[slot]
            found += 1
    return keys[:found], counts[:found], True


@jit
def _count(keys: Int64Array, counts: Int64Array, key: int, pixels: int) -> int:
    """Add to the pixels of a key; returns how many slots that took: 1 or 0.

    Open addressing with linear probing; the caller sees to it that half the slots are free.
    """
    if pixels == 0:
        return 0
    mask = len(keys) - 1
    slot = ((key * HASH_FACTOR) >> HASH_SHIFT) & mask
    while keys[slot] != key:
        if keys[slot] == FREE:
            keys[slot], counts[slot] = key, pixels
            return 1
        slot = (slot + 1) & mask
    counts[slot] += pixels
    return 0


@jit
def _grown(keys: Int64Array, counts: Int64Array) -> tuple[Int64Array, Int64Array]:
    """The same table with twice the slots."""
    more_keys, more_counts = _free_slots(2 * len(keys))
    for slot in range(len(keys)):
        if keys[slot] != FREE:
            _count(more_keys, more_counts, keys[slot], counts[slot])
    return more_keys, more_counts


@jit
def _free_slots(count: int) -> tuple[Int64Array, Int64Array]:
    """An empty hash table: keys and counts, int64 (count,) each, count a power of two."""
    keys = np.empty(count, np.int64)
    for slot in range(count):
        keys[slot] = FREE
    return keys, np.zeros(count, np.int64)


@jit
def _split_keys(
    keys: Int64Array, counts: Int64Array, order: Int64Array
) -> tuple[Int32Array, Int32Array, Int64Array]:
    """The two ids of each key and its pixels, in that order."""
    truth_ids, pred_ids = np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
    sorted_counts = np.empty(len(keys), np.int64)
    for place, index in enumerate(order):
        truth_ids[place] = keys[index] >> ID_BITS
        pred_ids[place] = keys[index] & MAX_SEGMENT_ID
        sorted_counts[place] = counts[index]
    return truth_ids, pred_ids, sorted_counts
