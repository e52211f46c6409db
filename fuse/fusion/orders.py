"""Rules that paint as the paper's does, in an order of their own.

Each says of two instances that overlap which one lies on top. Score still decides between
instances of one class, and between two whose masks are so much alike that they can only be
two answers about one object.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from fuse.fusion.checks import check_image
from fuse.fusion.overlap import fuse_in_order, order_by_score
from fuse.ops.mask_overlaps import count_shared
from fuse.ops.masks import mask_runs
from fuse.types import Instances, Int64Array, LabelSpace, PanopticPrediction, SemanticPrediction

BoolArray = npt.NDArray[np.bool_]

SAME_OBJECT_IOU = 0.5  # above it two masks can only match the same true segment


def fuse_by_area(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
) -> PanopticPrediction:
    """Fuse as `fuse_by_overlap` does, the smaller of two overlapping instances on top.

    What is wholly inside another's mask and painted after it is lost in the paper's rule,
    the case that Liu et al. 2019 (section 1) open with: a tie and its wearer.
    """
    check_image(semantic, instances, space)
    order = order_by_score(instances, score_threshold)
    shared, _ = count_overlaps(semantic, instances, order)
    areas = np.diagonal(shared)
    order = _reorder(order, instances, shared, areas[:, np.newaxis] < areas)
    return fuse_in_order(semantic, instances, space, order, overlap_threshold, stuff_area)


def fuse_by_pairs(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
    pairs: Collection[tuple[int, int]] = (),
) -> PanopticPrediction:
    """Fuse as `fuse_by_overlap` does, a table of classes saying which lies on top.

    A tie lies on a person and a fork on a table, whatever they score. `estimate_pairs` makes
    such a table from ground truth, as Yang et al. 2020 (SOGNet, section 3) read the overlaps
    that train their net.

    Args:
        pairs: (category_id above, category_id below); classes that are no pair go by score.
    """
    check_image(semantic, instances, space)
    order = order_by_score(instances, score_threshold)
    shared, _ = count_overlaps(semantic, instances, order)
    category_ids = instances.category_ids[order].tolist()
    above = np.array(
        [[(upper, lower) in pairs for lower in category_ids] for upper in category_ids],
        dtype=np.bool_,
    ).reshape(shared.shape)
    order = _reorder(order, instances, shared, above)
    return fuse_in_order(semantic, instances, space, order, overlap_threshold, stuff_area)


def fuse_by_spatial_rank(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
) -> PanopticPrediction:
    """Fuse as `fuse_by_overlap` does, the semantic net saying which instance lies on top.

    Of two overlapping instances the one whose class has more of the pixels they share in the
    semantic map is on top. Liu et al. 2019 (OANet, "Spatial Ranking Module") learn a map of
    ranks and compare its mean over each mask; here the semantic net, which was trained on what
    is visible, stands in for it, and only the disputed pixels are asked.
    """
    check_image(semantic, instances, space)
    order = order_by_score(instances, score_threshold)
    shared, own = count_overlaps(semantic, instances, order)
    order = _reorder(order, instances, shared, own > own.T)
    return fuse_in_order(semantic, instances, space, order, overlap_threshold, stuff_area)


def is_same_object(shared: Int64Array) -> BoolArray:
    """Which pairs of masks have an IoU above 0.5: bool (K, K); the diagonal where not empty.

    Args:
        shared: int64 (K, K), pixels in both masks, areas on the diagonal.
    """
    areas = np.diagonal(shared)
    return shared > SAME_OBJECT_IOU * (areas[:, np.newaxis] + areas - shared)


def sort_by_precedence(above: BoolArray) -> list[int]:
    """An order in which whatever lies above comes before what it lies on.

    Always the first that nothing left lies above is taken next. Where all have something above
    them, some run in a circle: of those circles that nothing outside lies above, the first.

    Args:
        above: bool (K, K), whether i lies above j; the diagonal is False.

    >>> above = np.zeros((3, 3), dtype=bool)
    >>> above[2, 0] = True
    >>> sort_by_precedence(above)
    [1, 2, 0]
    """
    waits_for = above.sum(axis=0)
    left = list(range(len(above)))
    order = []
    while left:
        free = (index for index in left if waits_for[index] == 0)
        chosen = next(free, None)
        if chosen is None:
            chosen = left[_first_in_circle(above[np.ix_(left, left)])]
        left.remove(chosen)
        order.append(chosen)
        waits_for -= above[chosen]
    return order


def _first_in_circle(above: BoolArray) -> int:
    """The first that lies, through others, above whatever lies above it."""
    reaches = above
    while True:
        farther = reaches | (reaches @ reaches)
        if (farther == reaches).all():
            return int(np.argmin((reaches & ~reaches.T).any(axis=0)))
        reaches = farther


def count_overlaps(
    semantic: SemanticPrediction, instances: Instances, order: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """`count_shared` of instances in some order."""
    category_ids = instances.category_ids[order]
    return count_shared(mask_runs(instances, order), category_ids, semantic.label_map)


def _reorder(
    order: Int64Array, instances: Instances, shared: Int64Array, above: BoolArray
) -> Int64Array:
    """Move instances as far from their order by score as the relation asks for.

    Args:
        order: int64 (K,), indices of instances by score.
        instances: of the image.
        shared: int64 (K, K), pixels that they share, in that order.
        above: bool (K, K), whether i should lie above j.
    """
    category_ids = instances.category_ids[order]
    by_score = np.triu(np.ones_like(above), k=1)
    goes_by_score = (
        (category_ids[:, np.newaxis] == category_ids) | is_same_object(shared) | (above == above.T)
    )
    relation = np.where(goes_by_score, by_score, above) & (shared > 0)
    return order[sort_by_precedence(relation)]
