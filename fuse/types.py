"""The data that flows, from an image to its panoptic map.

    image -> SemanticLogits -> SemanticPrediction --> PanopticPrediction
          -> Instances ------------------------/

All are frozen, checked once when made, and trusted afterwards. Arrays are NumPy. Sizes
are (height, width). No type holds anything of size N x H x W.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fuse.errors import LabelSpaceError

MAX_SEGMENT_ID = 2**24 - 1  # three bytes of a PNG pixel
MAX_PIXELS = 2 * 89_478_485  # of an image, where Pillow itself refuses; 512 MiB of RGB
MAX_CATEGORY_ID = 2**24 - 1  # label maps are counted in pairs as maps of segment ids are
MAX_PLACE = 2**24  # logit cells; float32 counts no further
ROUNDING = 1e-4  # by which resizing may carry a probability out of 0..1

BoolArray = npt.NDArray[np.bool_]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float16Array = npt.NDArray[np.float16]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, order=True)
class Category:
    """One class of a label space.

    Attributes:
        category_id: the dataset's own id, at least 1 (0 is void).
        name: unique within its space.
        isthing: True for countable objects, False for stuff.
        supercategory: the group the dataset files it under.
        color: red, green, blue, 0..255 each, for pictures only.
    """

    category_id: int
    name: str
    isthing: bool
    supercategory: str = ""
    color: tuple[int, int, int] = (128, 128, 128)


@dataclass(frozen=True)
class LabelSpace:
    """A named, ordered set of categories; the order is the class_index of nets that speak it.

    Raises:
        LabelSpaceError: there are no categories, an id is below 1 or does not fit int32, or an
            id or a name stands twice.

    >>> space = LabelSpace("toy", (Category(7, "cat", True), Category(9, "sky", False)))
    >>> space.by_id[9].name, space.thing_ids, space.stuff_ids
    ('sky', (7,), (9,))
    """

    name: str
    categories: tuple[Category, ...]

    def __post_init__(self) -> None:
        ids = [category.category_id for category in self.categories]
        names = [category.name for category in self.categories]
        if not ids:
            raise LabelSpaceError(f"label space {self.name!r} has no categories")
        for category_id in ids:
            if not 1 <= category_id <= MAX_CATEGORY_ID:
                fault = "below 1 (0 is void)" if category_id < 1 else f"above {MAX_CATEGORY_ID}"
                raise LabelSpaceError(
                    f"label space {self.name!r}: category id {category_id} is {fault}"
                )
        columns: tuple[tuple[str, list[Any]], ...] = (("category id", ids), ("name", names))
        for what, values in columns:
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise LabelSpaceError(f"label space {self.name!r}: {what} {twice!r} stands twice")

    @cached_property
    def by_id(self) -> dict[int, Category]:
        """Categories by category_id, in class_index order."""
        return {category.category_id: category for category in self.categories}

    @cached_property
    def by_name(self) -> dict[str, Category]:
        """Categories by name, in class_index order."""
        return {category.name: category for category in self.categories}

    @cached_property
    def thing_ids(self) -> tuple[int, ...]:
        """Category ids of things, ascending."""
        return tuple(sorted(c.category_id for c in self.categories if c.isthing))

    @cached_property
    def stuff_ids(self) -> tuple[int, ...]:
        """Category ids of stuff, ascending."""
        return tuple(sorted(c.category_id for c in self.categories if not c.isthing))


@dataclass(frozen=True, slots=True, eq=False)
class NamedImage:
    """An image in memory.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, EXIF orientation already resolved; H, W >= 1.
        file_name: its relative path with ``/``; models that look answers up go by it.
    """

    pixels: UInt8Array
    file_name: str = ""

    def __post_init__(self) -> None:
        _check_array("pixels", self.pixels, np.uint8, ndim=3)
        if self.pixels.shape[2] != 3 or self.pixels.size == 0:
            raise ValueError(f"pixels must be (H, W, 3), not empty, got shape {self.pixels.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class SemanticLogits:
    """What a semantic net answers for one image, at the net's own stride.

    Pixel (y, x) of the image reads the logits at (y * scale_y + offset_y,
    x * scale_x + offset_x), bilinear, clamped to the grid; so any resizing, padding and
    corner convention of a net is four numbers. `half_pixel` gives them for logits that
    cover just the image.

    Attributes:
        logits: float16 (C, h, w), scores before the softmax; C as in the net's label space.
        size: (height, width) of the image.
        scale: logit cells per image pixel, (y, x).
        offset: where the centre of the image's first pixel lies on the grid, (y, x).
    """

    logits: Float16Array
    size: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]

    def __post_init__(self) -> None:
        _check_array("logits", self.logits, np.float16, ndim=3)
        if 0 in self.logits.shape or min(self.size) < 1:
            raise ValueError(f"empty logits {self.logits.shape} for an image of {self.size}")
        if not np.isfinite(self.logits).all():
            raise ValueError("logits must be finite and fit float16")
        # A kernel trusts the places that these give.
        for name, pair, lowest in (("scale", self.scale, 0), ("offset", self.offset, -MAX_PLACE)):
            if len(pair) != 2 or not all(lowest <= number <= MAX_PLACE for number in pair):
                raise ValueError(f"{name} must be two numbers of {lowest}..{MAX_PLACE}, is {pair}")

    @classmethod
    def half_pixel(cls, logits: Float16Array, size: tuple[int, int]) -> SemanticLogits:
        """Logits that cover the image edge to edge (align_corners=False)."""
        _check_array("logits", logits, np.float16, ndim=3)
        scale = (logits.shape[1] / size[0], logits.shape[2] / size[1])
        return cls(logits, size, scale, (0.5 * scale[0] - 0.5, 0.5 * scale[1] - 0.5))


@dataclass(frozen=True, slots=True, eq=False)
class TargetLogits:
    """Logits in the target label space.

    Attributes:
        logits: of the image; classes that share a target are summed already.
        category_ids: int32 (C,), what each row of the logits is; 0 = void.
    """

    logits: SemanticLogits
    category_ids: Int32Array

    def __post_init__(self) -> None:
        if self.category_ids.shape != self.logits.logits.shape[:1]:
            raise ValueError(
                f"{len(self.logits.logits)} rows of logits, category_ids {self.category_ids.shape}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.logits.size


@dataclass(frozen=True, slots=True, eq=False)
class SemanticPrediction:
    """What a semantic net says about one image.

    Attributes:
        label_map: int32 (H, W), a category_id of the target space per pixel, 0 = void.
        logits: what the label map was made of, for rules that weigh classes against masks;
            None where a net has none.
    """

    label_map: Int32Array
    logits: TargetLogits | None = None

    def __post_init__(self) -> None:
        _check_array("label_map", self.label_map, np.int32, ndim=2)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        height, width = self.label_map.shape
        return height, width


@dataclass(frozen=True, slots=True, eq=False)
class BoxMasks:
    """Soft masks inside their boxes, as a Mask R-CNN makes them.

    Attributes:
        probs: float32 (N, m, m) in 0..1, stretched over the instance's box; a pixel belongs
            to the instance where the bilinear value is > 0.5 (torchvision's paste rule).
    """

    probs: Float32Array

    def __post_init__(self) -> None:
        _check_array("probs", self.probs, np.float32, ndim=3)
        count, height, width = self.probs.shape
        if height != width or (count and not height):
            raise ValueError(f"probs must be (N, m, m), got shape {self.probs.shape}")
        # A NaN fails both comparisons.
        if not ((self.probs >= -ROUNDING) & (self.probs <= 1 + ROUNDING)).all():
            raise ValueError("probs must lie in 0..1; has the sigmoid been taken?")

    def __len__(self) -> int:
        return len(self.probs)


@dataclass(frozen=True, slots=True, eq=False)
class RleMasks:
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


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """What an instance net says about one image; N instances in the net's own order.

    Attributes:
        boxes: float32 (N, 4), xyxy pixel edges; may reach over the border of the image.
        scores: float64 (N,) in 0..1; float64 so that scores read from JSON and thresholds
            compare exactly.
        category_ids: int32 (N,), in the target label space.
        masks: one mask per instance.
        size: (height, width) of the image.
    """

    boxes: Float32Array
    scores: Float64Array
    category_ids: Int32Array
    masks: BoxMasks | RleMasks
    size: tuple[int, int]

    def __post_init__(self) -> None:
        _check_array("boxes", self.boxes, np.float32, ndim=2)
        _check_array("scores", self.scores, np.float64, ndim=1)
        _check_array("category_ids", self.category_ids, np.int32, ndim=1)
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
            raise ValueError("scores must lie in 0..1")
        if count and self.category_ids.min() < 1:
            raise ValueError("category_ids must be at least 1")
        if isinstance(self.masks, RleMasks):
            for index, rle in enumerate(self.masks.rles):
                if tuple(rle["size"]) != tuple(self.size):
                    raise ValueError(
                        f"rles[{index}] has size {tuple(rle['size'])}, the image {self.size}"
                    )

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, chosen: npt.NDArray[np.bool_], category_ids: Int32Array) -> Instances:
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
        category_id: in the label space of the map.
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


@dataclass(frozen=True, slots=True, eq=False)
class PanopticPrediction:
    """A panoptic map and what its segments are; ground truth has the same form.

    Attributes:
        panoptic_map: int32 (H, W), a segment_id per pixel, 0 = void.
        segments_info: in paint order; ids are unique and fit three bytes.
    """

    panoptic_map: Int32Array
    segments_info: tuple[SegmentInfo, ...] = field(default=())

    def __post_init__(self) -> None:
        _check_array("panoptic_map", self.panoptic_map, np.int32, ndim=2)
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


def _check_array(name: str, array: object, dtype: type[np.generic], *, ndim: int) -> None:
    """Raise TypeError unless array is a NumPy array of that dtype, ValueError unless of ndim."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be a NumPy array of {np.dtype(dtype)}, got {got}")
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {array.shape}")


__all__ = [
    "BoxMasks",
    "Category",
    "Instances",
    "LabelSpace",
    "NamedImage",
    "PanopticPrediction",
    "RleMasks",
    "SegmentInfo",
    "SemanticLogits",
    "SemanticPrediction",
    "TargetLogits",
]
