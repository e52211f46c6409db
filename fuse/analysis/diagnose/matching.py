"""Which detection means which true object, and which of two objects is in front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fuse.ops.borders import measure_border_distance
from fuse.ops.masks import paste_mask
from fuse.ops.matching import MATCH_IOU
from fuse.types import Float64Array, Instances, Int32Array, LabelSpace, PanopticPrediction

BoolArray = npt.NDArray[np.bool_]
Int64Array = npt.NDArray[np.int64]

Place = tuple[slice, slice]  # an index into a map

LINK_IOU = 0.1  # below it a detection means no object: TIDE's border to the background (2020)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A mask cut out around its pixels.

    Attributes:
        mask: bool (h, w).
        top, left: where the cut lies in the image.
    """

    mask: BoolArray
    top: int
    left: int

    @property
    def place(self) -> Place:
        """The cut as an index into a map of the image."""
        height, width = self.mask.shape
        return np.s_[self.top : self.top + height], np.s_[self.left : self.left + width]

    def grow(self, bbox: tuple[int, int, int, int]) -> Window:
        """The same mask in a cut that holds a COCO xywh box too."""
        x, y, width, height = bbox
        top, left = min(self.top, y), min(self.left, x)
        bottom = max(self.top + self.mask.shape[0], y + height)
        right = max(self.left + self.mask.shape[1], x + width)
        grown = Window(np.zeros((bottom - top, right - left), dtype=np.bool_), top, left)
        _, here, _ = meet(grown, self)
        grown.mask[here] = self.mask
        return grown


@dataclass(frozen=True, slots=True, eq=False)
class TrueSegments:
    """Ground truth of an image with its segments numbered 1..S in their order.

    Attributes:
        index_map: int32 (H, W), the number per pixel, 0 = void.
        category_ids: int32 (S + 1,), 0 for void.
        is_object: bool (S + 1,), true for things that are no crowd.
        isthing: bool (S + 1,), true for things, crowds too.
        areas: int64 (S + 1,), pixels.
        bboxes: COCO xywh around each segment, of void all 0.
    """

    index_map: Int32Array
    category_ids: Int32Array
    is_object: BoolArray
    isthing: BoolArray
    areas: Int64Array
    bboxes: tuple[tuple[int, int, int, int], ...]

    @classmethod
    def of(cls, truth: PanopticPrediction, space: LabelSpace) -> TrueSegments:
        """Number the segments of a panoptic map."""
        segments = truth.segments_info
        ids = np.array([0, *(s.segment_id for s in segments)], dtype=np.int32)
        order = np.argsort(ids)
        index_map = order[np.searchsorted(ids[order], truth.panoptic_map)].astype(np.int32)
        isthing = np.array([False, *(space.by_id[s.category_id].isthing for s in segments)])
        iscrowd = np.array([False, *(s.iscrowd for s in segments)])
        return cls(
            index_map,
            np.array([0, *(s.category_id for s in segments)], dtype=np.int32),
            isthing & ~iscrowd,
            isthing,
            np.bincount(index_map.ravel(), minlength=len(ids)),
            ((0, 0, 0, 0), *(segment.bbox for segment in segments)),
        )

    def cut(self, number: int) -> Window:
        """The mask of one segment."""
        x, y, width, height = self.bboxes[number]
        return Window(self.index_map[y : y + height, x : x + width] == number, y, x)


def cut_masks(instances: Instances) -> list[Window]:
    """The mask of each instance, whole as the net gave it."""
    pasted = (paste_mask(instances, index) for index in range(len(instances)))
    return [Window(mask, top, left) for mask, (top, left) in pasted]


def link_instances(
    windows: list[Window], category_ids: Int32Array, truth: TrueSegments
) -> Int32Array:
    """Which true object each detection means, each object at most one.

    First those that are right in themselves: the same category and IoU > 0.5. Then, whatever
    their category, those of IoU >= 0.1. In each round the largest IoU comes first, of equal
    ones the earlier detection. Void leaves the union, as in PQ.

    Args:
        windows: masks of N detections.
        category_ids: int32 (N,).
        truth: of the same image.

    Returns:
        int32 (N,), numbers of true segments, 0 = none.
    """
    iou = measure_iou(windows, truth)
    same = category_ids[:, np.newaxis] == truth.category_ids
    links = np.zeros(len(windows), dtype=np.int32)
    for candidates in (
        np.where(same & (iou > MATCH_IOU), iou, 0),
        np.where(iou >= LINK_IOU, iou, 0),
    ):
        candidates[links > 0] = 0
        candidates[:, links[links > 0]] = 0
        order = np.argsort(-candidates, axis=None, kind="stable")
        for place in order[: np.count_nonzero(candidates)].tolist():
            row, column = divmod(place, len(truth.areas))
            if not links[row] and column not in links:
                links[row] = column
    return links


def measure_iou(windows: list[Window], truth: TrueSegments) -> Float64Array:
    """IoU (N, S + 1) of each detection with each true object, 0 for all else."""
    shared = np.zeros((len(windows), len(truth.areas)))
    for row, window in zip(shared, windows, strict=True):
        below = truth.index_map[window.place][window.mask]
        row[:] = np.bincount(below, minlength=len(row))
    labelled = shared[:, 1:].sum(axis=1, keepdims=True)  # without the void below it
    union = labelled + truth.areas - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.where(truth.is_object, iou, 0)


def count_fronts(
    windows: list[Window], links: Int32Array, truth: TrueSegments, is_rim: BoolArray
) -> Int64Array:
    """By how many pixels the truth shows one detection's object in front of another's.

    Where the masks of two linked detections overlap, each pixel that belongs to one of the two
    objects speaks for it. Those at the rim of an object, where any mask may spill over, speak
    only where no other does.

    Args:
        windows: masks of N detections.
        links: int32 (N,), see `link_instances`.
        truth: of the same image.
        is_rim: bool (H, W).

    Returns:
        int64 (N, N), fronts[a, b] pixels of a's object in the overlap of a and b.
    """
    fronts = np.zeros((len(windows), len(windows)), dtype=np.int64)
    linked = np.flatnonzero(links).tolist()
    for position, a in enumerate(linked):
        for b in linked[position + 1 :]:
            everywhere, in_a, in_b = meet(windows[a], windows[b])
            both = windows[a].mask[in_a] & windows[b].mask[in_b]
            shared = truth.index_map[everywhere]
            of_either = both & ((shared == links[a]) | (shared == links[b]))
            deep = of_either & ~is_rim[everywhere]
            speaking = shared[deep if deep.any() else of_either]
            fronts[a, b] = np.count_nonzero(speaking == links[a])
            fronts[b, a] = np.count_nonzero(speaking == links[b])
    return fronts


def measure_depths(window: Window, number: int, truth: TrueSegments) -> Int64Array:
    """How far from its border a true object's mask is wrong, by the segment below.

    Distances are in pixels, along rows, columns and diagonals.

    Args:
        window: the mask.
        number: of the true object.
        truth: of the same image.

    Returns:
        int64 (S + 1,), the largest distance of a pixel that the mask claims of each segment; of
        the object itself, the largest of a pixel that the mask leaves out.
    """
    x, y, width, height = truth.bboxes[number]
    rows, columns = truth.index_map.shape
    # One pixel more, where there is one, so that the object ends inside the cut.
    x, y = max(x - 1, 0), max(y - 1, 0)
    width, height = min(width + 2, columns - x), min(height + 2, rows - y)
    grown = window.grow((x, y, width, height))
    below = truth.index_map[grown.place]
    own = below == number
    wrong = grown.mask != own
    depths = np.zeros(len(truth.areas), dtype=np.int64)
    np.maximum.at(depths, below[wrong], measure_border_distance(own)[wrong])
    return depths


def meet(a: Window, b: Window) -> tuple[Place, Place, Place]:
    """Where two cuts overlap: as an index into a map of the image, into a and into b."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    bottom = max(top, min(a.top + a.mask.shape[0], b.top + b.mask.shape[0]))
    right = max(left, min(a.left + a.mask.shape[1], b.left + b.mask.shape[1]))

    def seen_from(first_row: int, first_column: int) -> Place:
        return (
            slice(top - first_row, bottom - first_row),
            slice(left - first_column, right - first_column),
        )

    return seen_from(0, 0), seen_from(a.top, a.left), seen_from(b.top, b.left)


def order_by_occlusion(fronts: Int64Array) -> list[int]:
    """The detections from front to back, as the truth shows them.

    Of those that nothing left is in front of, the first comes next. Where all are behind
    another one in a ring, the one that the fewest pixels speak against comes next.

    Args:
        fronts: int64 (N, N), see `count_fronts`.

    >>> order_by_occlusion(np.array([[0, 0, 0], [9, 0, 0], [0, 5, 0]]))
    [2, 1, 0]
    """
    against = np.maximum(fronts - fronts.T, 0)
    left = list(range(len(fronts)))
    order = []
    while left:
        behind = against[np.ix_(left, left)].sum(axis=0)
        order.append(left.pop(int(behind.argmin())))
    return order
