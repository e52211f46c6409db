"""Matching of detections and true objects, and which of two objects occludes the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuse.ops.masks import paste_mask
from fuse.ops.matching import MATCH_IOU
from fuse.ops.segments import measure_border_distance
from fuse.types import (
    BoolArray,
    Float64Array,
    Instances,
    Int32Array,
    Int64Array,
    LabelSpace,
    PanopticPrediction,
)

Slices = tuple[slice, slice]  # of rows and columns

BACKGROUND_IOU = 0.1  # below it a detection is of no object, as in TIDE (Bolya et al. 2020)


@dataclass(frozen=True, slots=True, eq=False)
class MaskCrop:
    """A mask in a crop of the image.

    Attributes:
        mask: bool (h, w).
        top: the crop's first row in the image.
        left: the crop's first column.
    """

    mask: BoolArray
    top: int
    left: int

    @property
    def slices(self) -> Slices:
        """The crop as an index into a map of the image."""
        height, width = self.mask.shape
        return np.s_[self.top : self.top + height], np.s_[self.left : self.left + width]

    def extend(self, bbox: tuple[int, int, int, int]) -> MaskCrop:
        """The same mask in a crop that holds a COCO xywh box too."""
        x, y, width, height = bbox
        above, before = max(self.top - y, 0), max(self.left - x, 0)
        below = max(y + height - self.top - self.mask.shape[0], 0)
        behind = max(x + width - self.left - self.mask.shape[1], 0)
        mask = np.pad(self.mask, ((above, below), (before, behind)))
        return MaskCrop(mask, self.top - above, self.left - before)


@dataclass(frozen=True, slots=True, eq=False)
class TrueSegments:
    """Ground truth of an image with its segments numbered 1..S in their order, 0 = void.

    Attributes:
        index_map: int32 (H, W), the number per pixel.
        category_ids: int32 (S + 1,), 0 for void.
        is_object: bool (S + 1,), things that are no crowd.
        isthing: bool (S + 1,), things, crowds too.
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

    def crop(self, number: int) -> MaskCrop:
        """The mask of one segment."""
        x, y, width, height = self.bboxes[number]
        return MaskCrop(self.index_map[y : y + height, x : x + width] == number, y, x)


def crop_masks(instances: Instances) -> list[MaskCrop]:
    """The whole mask of each instance, as the net gave it."""
    pasted = (paste_mask(instances, index) for index in range(len(instances)))
    return [MaskCrop(mask, top, left) for mask, (top, left) in pasted]


def match_instances(
    crops: list[MaskCrop], category_ids: Int32Array, truth: TrueSegments
) -> Int32Array:
    """The true object of each of N detections: int32 (N,), numbers of segments, 0 = none.

    An object has at most one detection. First come pairs of one category and IoU > 0.5; then,
    whatever their category, those of IoU >= 0.1. In each round the largest IoU comes first, of
    equal ones the earlier detection. As in PQ, void leaves the union.
    """
    iou = measure_iou(crops, truth)
    same = category_ids[:, np.newaxis] == truth.category_ids
    matches = np.zeros(len(crops), dtype=np.int32)
    for candidates in (
        np.where(same & (iou > MATCH_IOU), iou, 0),
        np.where(iou >= BACKGROUND_IOU, iou, 0),
    ):
        candidates[matches > 0] = 0
        candidates[:, matches[matches > 0]] = 0
        order = np.argsort(-candidates, axis=None, kind="stable")
        for place in order[: np.count_nonzero(candidates)].tolist():
            row, column = divmod(place, len(truth.areas))
            if not matches[row] and column not in matches:
                matches[row] = column
    return matches


def measure_iou(crops: list[MaskCrop], truth: TrueSegments) -> Float64Array:
    """IoU (N, S + 1) of each detection with each true object, 0 for all else."""
    shared = np.zeros((len(crops), len(truth.areas)))
    for row, crop in zip(shared, crops, strict=True):
        row[:] = np.bincount(truth.index_map[crop.slices][crop.mask], minlength=len(row))
    labelled = shared[:, 1:].sum(axis=1, keepdims=True)  # without the void below it
    union = labelled + truth.areas - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.where(truth.is_object, iou, 0)


def count_occluding_pixels(
    crops: list[MaskCrop], matches: Int32Array, truth: TrueSegments, near_border: BoolArray
) -> Int64Array:
    """How many pixels show one detection's object in front of another's: int64 (N, N).

    At [a, b] these are the pixels of a's object in the overlap of the masks of a and b, both
    matched. Any mask may spill over near a border, so pixels there (H, W) count only where there
    are no others.
    """
    pixels = np.zeros((len(crops), len(crops)), dtype=np.int64)
    matched = np.flatnonzero(matches).tolist()
    for position, a in enumerate(matched):
        for b in matched[position + 1 :]:
            in_image, in_a, in_b = intersect(crops[a], crops[b])
            both = crops[a].mask[in_a] & crops[b].mask[in_b]
            numbers = truth.index_map[in_image]
            of_either = both & ((numbers == matches[a]) | (numbers == matches[b]))
            inner = of_either & ~near_border[in_image]
            counted = numbers[inner if inner.any() else of_either]
            pixels[a, b] = np.count_nonzero(counted == matches[a])
            pixels[b, a] = np.count_nonzero(counted == matches[b])
    return pixels


def measure_error_depths(crop: MaskCrop, number: int, truth: TrueSegments) -> Int64Array:
    """How far from the border of its true object a mask is wrong: int64 (S + 1,).

    For each segment this is the largest distance of a pixel of it that the mask covers; for the
    object itself (its number is given), of a pixel that the mask leaves out. Distances are in
    pixels, along rows, columns and diagonals.
    """
    x, y, width, height = truth.bboxes[number]
    rows, columns = truth.index_map.shape
    # One pixel more, where there is one, so that the object ends inside the crop.
    x, y = max(x - 1, 0), max(y - 1, 0)
    width, height = min(width + 2, columns - x), min(height + 2, rows - y)
    extended = crop.extend((x, y, width, height))
    numbers = truth.index_map[extended.slices]
    own = numbers == number
    wrong = extended.mask != own
    depths = np.zeros(len(truth.areas), dtype=np.int64)
    np.maximum.at(depths, numbers[wrong], measure_border_distance(own)[wrong])
    return depths


def intersect(a: MaskCrop, b: MaskCrop) -> tuple[Slices, Slices, Slices]:
    """Where two crops overlap: as an index into a map of the image, into a and into b."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    bottom = max(top, min(a.top + a.mask.shape[0], b.top + b.mask.shape[0]))
    right = max(left, min(a.left + a.mask.shape[1], b.left + b.mask.shape[1]))
    in_image, in_a, in_b = (
        (slice(top - row, bottom - row), slice(left - column, right - column))
        for row, column in ((0, 0), (a.top, a.left), (b.top, b.left))
    )
    return in_image, in_a, in_b


def order_by_occlusion(occluding: Int64Array) -> list[int]:
    """The detections from front to back, by what `count_occluding_pixels` counts.

    Next comes one that none of the others occludes. Where all are occluded in a ring, it is the
    one that is occluded by the fewest pixels.

    >>> order_by_occlusion(np.array([[0, 0, 0], [9, 0, 0], [0, 5, 0]]))
    [2, 1, 0]
    """
    net = np.maximum(occluding - occluding.T, 0)
    left = list(range(len(occluding)))
    order = []
    while left:
        occluded_by = net[np.ix_(left, left)].sum(axis=0)
        order.append(left.pop(int(occluded_by.argmin())))
    return order
