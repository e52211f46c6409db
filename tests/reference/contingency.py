"""Pairs of ids counted pixel by pixel."""

from collections import Counter

import numpy as np


def count_pairs_slowly(truth_map: np.ndarray, pred_map: np.ndarray) -> dict[tuple[int, int], int]:
    """Pixels by (truth_id, pred_id)."""
    return Counter(zip(truth_map.ravel().tolist(), pred_map.ravel().tolist(), strict=True))
