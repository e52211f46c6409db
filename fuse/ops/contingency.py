"""How many pixels each pair of segments of two id maps has in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuse.ops._jit import jit
from fuse.ops.runs import run_starts
from fuse.types import MAX_SEGMENT_ID, Int32Array

Int64Array = npt.NDArray[np.int64]

ID_BITS = 24  # MAX_SEGMENT_ID fits
EMPTY = -1  # key of a free slot
FIRST_SLOTS = 1024  # a power of two; most photos have fewer than 100 pairs
# Knuth's multiplicative hashing: a factor of about 2**63 / phi, and the middle bits of the product.
HASH_FACTOR = 0x4F1BBCDCBFA53E0B
HASH_SHIFT = 20


def count_pairs(
    truth_map: Int32Array, pred_map: Int32Array
) -> tuple[Int32Array, Int32Array, Int64Array]:
    """Count the pixels of each (truth_id, pred_id) pair that occurs, in one pass.

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
    if truth_map.shape != pred_map.shape:
        raise ValueError(f"the maps differ in size: {truth_map.shape} and {pred_map.shape}")
    truth_map, pred_map = np.ascontiguousarray(truth_map), np.ascontiguousarray(pred_map)
    starts = run_starts(truth_map, pred_map)
    keys, counts, ids_fit = _count_keys(truth_map.ravel(), pred_map.ravel(), starts)
    if not ids_fit:
        raise ValueError(f"ids must lie in 0..{MAX_SEGMENT_ID}")
    order = np.argsort(keys)
    keys = keys[order]
    return (
        (keys >> ID_BITS).astype(np.int32),
        (keys & MAX_SEGMENT_ID).astype(np.int32),
        counts[order],
    )


@jit
def _count_keys(
    truth_ids: Int32Array, pred_ids: Int32Array, starts: Int32Array
) -> tuple[Int64Array, Int64Array, bool]:
    """Keys truth_id << 24 | pred_id and their pixel counts, unsorted; False if an id is too big."""
    keys = np.full(FIRST_SLOTS, EMPTY, np.int64)
    counts = np.zeros(FIRST_SLOTS, np.int64)
    run, used = _count_until_full(truth_ids, pred_ids, starts, 0, keys, counts, 0)
    while 0 <= run < len(starts):
        keys, counts = _grown(keys, counts)
        run, used = _count_until_full(truth_ids, pred_ids, starts, run, keys, counts, used)
    taken = keys != EMPTY
    return keys[taken], counts[taken], run >= 0


@jit
def _count_until_full(
    truth_ids: Int32Array,
    pred_ids: Int32Array,
    starts: Int32Array,
    first_run: int,
    keys: Int64Array,
    counts: Int64Array,
    used: int,
) -> tuple[int, int]:
    """Count runs into a hash table (open addressing, linear probing) until it is half full.

    Returns:
        The first run that is not counted, or -1 where an id is out of range; and the slots
        that are in use.
    """
    mask = len(keys) - 1
    for run in range(first_run, len(starts)):
        start = starts[run]
        stop = starts[run + 1] if run + 1 < len(starts) else len(truth_ids)
        truth_id, pred_id = np.int64(truth_ids[start]), np.int64(pred_ids[start])
        if (truth_id | pred_id) & ~MAX_SEGMENT_ID:  # a negative id has its high bits set
            return -1, used
        key = truth_id << ID_BITS | pred_id
        slot = ((key * HASH_FACTOR) >> HASH_SHIFT) & mask
        while keys[slot] != key and keys[slot] != EMPTY:
            slot = (slot + 1) & mask
        if keys[slot] == EMPTY:
            if 2 * used >= len(keys):
                return run, used
            used += 1
            keys[slot] = key
        counts[slot] += stop - start
    return len(starts), used


@jit
def _grown(keys: Int64Array, counts: Int64Array) -> tuple[Int64Array, Int64Array]:
    """The same table with four times the slots."""
    larger_keys = np.full(4 * len(keys), EMPTY, np.int64)
    larger_counts = np.zeros(4 * len(keys), np.int64)
    for i in range(len(keys)):
        if keys[i] != EMPTY:
            slot = ((keys[i] * HASH_FACTOR) >> HASH_SHIFT) & (len(larger_keys) - 1)
            while larger_keys[slot] != EMPTY:
                slot = (slot + 1) & (len(larger_keys) - 1)
            larger_keys[slot] = keys[i]
            larger_counts[slot] = counts[i]
    return larger_keys, larger_counts
