"""The data that flows, from an image to its panoptic map.

    image -> SemanticLogits -> SemanticPrediction --> PanopticPrediction
          -> Instances ------------------------/

All are frozen, checked once when made, and trusted afterwards. Arrays are NumPy. Sizes
are (height, width). No type holds anything of size N x H x W.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fuse.errors import describe_size
from fuse.types.arrays import (
    BoolArray,
    Float16Array,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
    UInt8Array,
    UInt64Array,
    check_array,
)
from fuse.types.label_space import ID_OF_ZERO, Category, LabelSpace
from fuse.types.logits import SemanticLogits, TargetLogits
from fuse.types.readers import InstanceReaders, SemanticReaders
from fuse.types.short_repr import ShortRepr

MAX_SEGMENT_ID = 2**24 - 1  # three bytes of a PNG pixel
MAX_PIXELS = 2 * 89_478_485  # of an image, where Pillow itself refuses; 512 MiB of RGB
ROUNDING = 1e-4  # by which resizing may carry a probability out of 0..1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NamedImage(ShortRepr):
    """An image in memory.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, EXIF orientation already resolved; H, W >= 1.
        file_name: its relative path with ``/``; models that look answers up go by it.
    """

    pixels: UInt8Array
    file_name: str = ""

    def __post_init__(self) -> None:
        check_array("pixels", self.pixels, np.uint8, ndim=3)
        if self.pixels.shape[2] != 3 or self.pixels.size == 0:
            raise ValueError(f"pixels must be (H, W, 3), not empty, got shape {self.pixels.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SemanticPrediction(ShortRepr, SemanticReaders):
    """What a semantic net says about one image.

    Attributes:
        label_map: int32 (H, W), a category_id of the target space per pixel, 0 = void.
        logits: what the label map was made of, for rules that weigh classes against masks;
            None where a net has none.
    """

    label_map: Int32Array
    logits: TargetLogits | None = None

    def __post_init__(self) -> None:
        check_array("label_map", self.label_map, np.int32, ndim=2)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        height, width = self.label_map.shape
        return height, width


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BoxMasks(ShortRepr):
    """Soft masks inside their boxes, as a Mask R-CNN makes them.

    Attributes:
        probs: float32 (N, m, m) in 0..1, stretched over the instance's box; a pixel belongs
            to the instance where the bilinear value is > 0.5 (torchvision's paste rule).
    """

    probs: Float32Array

    def __post_init__(self) -> None:
        check_array("probs", self.probs, np.float32, ndim=3)
        count, height, width = self.probs.shape
        if height != width or (count and not height):
            raise ValueError(f"probs must be (N, m, m), got shape {self.probs.shape}")
        # A NaN fails both comparisons.
        if not ((self.probs >= -ROUNDING) & (self.probs <= 1 + ROUNDING)).all():
            raise ValueError("probs must lie in 0..1; has the sigmoid been taken?")

    def __len__(self) -> int:
        return len(self.probs)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RleMasks(ShortRepr):
    """Hard masks over the whole image in COCO's run-length form, column by column.

    Attributes:
        rles: one ``{"size": [H, W], "counts": bytes}`` per instance, compressed.
    """

    rles: tuple[dict[str, Any], ...]

    def __post_init__(self) -> None:
        for index, rle in enumerate(self.rles):
            if not isinstance(rle.get("counts"), bytes) or len(rle.get("size", ())) != 2:
                raise ValueError(f"rles[{index}] must have 'size' [H, W] and 'counts' as bytes")

    def __len__(self) -> int:
        return len(self.rles)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Instances(ShortRepr, InstanceReaders):
    """What an instance net says about one image; N instances in the net's own order.

    Attributes:
        boxes: float32 (N, 4), xyxy pixel edges; may reach over the border of the image.
        scores: float64 (N,) in 0..1; float64 so that scores read from JSON and thresholds
            compare exactly.
        category_ids: int32 (N,), in the target label space; a category 0, which an instance
            may be made with, is `ID_OF_ZERO`.
        masks: one mask per instance.
        size: (height, width) of the image.
    """

    boxes: Float32Array
    scores: Float64Array
    category_ids: Int32Array
    masks: BoxMasks | RleMasks
    size: tuple[int, int]

    def __post_init__(self) -> None:
        check_array("boxes", self.boxes, np.float32, ndim=2)
        check_array("scores", self.scores, np.float64, ndim=1)
        check_array("category_ids", self.category_ids, np.int32, ndim=1)
        if not isinstance(self.masks, BoxMasks | RleMasks):
            raise TypeError(f"masks must be BoxMasks or RleMasks, got {type(self.masks).__name__}")
        count = len(self.scores)
        if self.boxes.shape != (count, 4):
            raise ValueError(f"boxes must have shape ({count}, 4), got {self.boxes.shape}")
        if len(self.category_ids) != count or len(self.masks) != count:
            raise ValueError(
                f"{count} scores need as many category_ids and masks, "
                f"got {len(self.category_ids)} and {len(self.masks)}"
            )
        if not np.isfinite(self.boxes).all():
            raise ValueError("boxes must be finite")
        # A NaN fails both comparisons.
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            low, high = self.scores.min(), self.scores.max()
            raise ValueError(f"scores must lie in 0..1, got {low:g}..{high:g}")
        if count and self.category_ids.min() < 1:
            if self.category_ids.min() < 0:
                raise ValueError("category_ids must be at least 0")
            named = np.where(self.category_ids == 0, ID_OF_ZERO, self.category_ids)
            object.__setattr__(self, "category_ids", named.astype(np.int32))
        if isinstance(self.masks, RleMasks):
            for index, rle in enumerate(self.masks.rles):
                if tuple(rle["size"]) != tuple(self.size):
                    raise ValueError(
                        f"rles[{index}] is {describe_size(rle['size'])}; the image is "
                        f"{describe_size(self.size)}"
                    )

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Instances:
        """None at all, in an image of (height, width)."""
        return cls(
            boxes=np.zeros((0, 4), dtype=np.float32),
            scores=np.zeros(0),
            category_ids=np.zeros(0, dtype=np.int32),
            masks=BoxMasks(np.zeros((0, 28, 28), dtype=np.float32)),
            size=size,
        )

    def select(self, chosen: BoolArray, category_ids: Int32Array) -> Instances:
        """The chosen instances, with other categories.

        Args:
            chosen: bool (N,).
            category_ids: int32 (N,), the new ones of all.
        """
        if isinstance(self.masks, BoxMasks):
            masks: BoxMasks | RleMasks = BoxMasks(self.masks.probs[chosen])
        else:
            kept = np.flatnonzero(chosen).tolist()
            masks = RleMasks(tuple(self.masks.rles[index] for index in kept))
        return Instances(
            self.boxes[chosen], self.scores[chosen], category_ids[chosen], masks, self.size
        )


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One segment of a panoptic map.

    Attributes:
        segment_id: 1..2**24 - 1, as in the panoptic_map; ``id`` in files.
        category_id: in the label space of the map, as `fuse.types.label_space` has it in memory.
        area: pixels of the segment, at least 1.
        bbox: COCO xywh of the pixels, whole numbers.
        iscrowd: True only in ground truth.
        score: the detector's score of a thing; None for stuff and ground truth.
    """

    segment_id: int
    category_id: int
    area: int
    bbox: tuple[int, int, int, int]
    iscrowd: bool = False
    score: float | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PanopticPrediction(ShortRepr):
    """A panoptic map and what its segments are; ground truth has the same form.

    Attributes:
        panoptic_map: int32 (H, W), a segment_id per pixel, 0 = void.
        segments_info: in paint order; ids are unique and fit three bytes.
    """

    panoptic_map: Int32Array
    segments_info: tuple[SegmentInfo, ...] = field(default=())

    def __post_init__(self) -> None:
        check_array("panoptic_map", self.panoptic_map, np.int32, ndim=2)
        ids = [segment.segment_id for segment in self.segments_info]
        if len(set(ids)) != len(ids):
            raise ValueError("segment ids in segments_info must be unique")
        if ids and (min(ids) < 1 or max(ids) > MAX_SEGMENT_ID):
            raise ValueError(f"segment ids must lie in 1..{MAX_SEGMENT_ID}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        height, width = self.panoptic_map.shape
        return height, width


__all__ = [
    "BoolArray",
    "BoxMasks",
    "Category",
    "Float16Array",
    "Float32Array",
    "Float64Array",
    "Instances",
    "Int32Array",
    "Int64Array",
    "LabelSpace",
    "NamedImage",
    "PanopticPrediction",
    "RleMasks",
    "SegmentInfo",
    "SemanticLogits",
    "SemanticPrediction",
    "TargetLogits",
    "UInt8Array",
    "UInt64Array",
]
