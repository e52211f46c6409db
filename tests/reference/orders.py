"""Orders of instances the slow way: every pair of full-frame masks by itself."""

from collections.abc import Callable

import numpy as np
from reference.masks import full_frame_masks

from fuse.types import Instances

Above = Callable[[int, int, np.ndarray, np.ndarray], bool]


def order_slowly(instances: Instances, score_threshold: float, is_above: Above) -> list[int]:
    """Indices in paint order; is_above is asked of two instances and their masks."""
    masks = full_frame_masks(instances)
    left = [i for i in range(len(instances)) if instances.scores[i] >= score_threshold]
    left.sort(key=lambda i: (-instances.scores[i], i))
    ranks = {i: rank for rank, i in enumerate(left)}

    def comes_first(i: int, j: int) -> bool:
        both = (masks[i] & masks[j]).sum()
        if i == j or both == 0:
            return False
        is_alike = both / (masks[i] | masks[j]).sum() > 0.5
        of_one_class = instances.category_ids[i] == instances.category_ids[j]
        one_way, other_way = is_above(i, j, masks[i], masks[j]), is_above(j, i, masks[j], masks[i])
        if is_alike or of_one_class or one_way == other_way:
            return ranks[i] < ranks[j]
        return one_way

    order = []
    while left:
        free = [i for i in left if not any(comes_first(j, i) for j in left)]
        order.append((free or left)[0])
        left.remove(order[-1])
    return order
