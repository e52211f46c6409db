"""Logits of a semantic net: scores per class at the net's own stride."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuse.errors import describe_size
from fuse.types.arrays import Float16Array, Int32Array, check_array
from fuse.types.short_repr import ShortRepr

MAX_PLACE = 2**24  # logit cells; float32 counts no further


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SemanticLogits(ShortRepr):
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
        check_array("logits", self.logits, np.float16, ndim=3)
        if 0 in self.logits.shape or min(self.size) < 1:
            raise ValueError(
                f"empty logits {self.logits.shape} for an image {describe_size(self.size)}"
            )
        if not np.isfinite(self.logits).all():
            raise ValueError("logits must be finite and fit float16")
        # A kernel trusts the places that these give.
        for name, pair, lowest in (("scale", self.scale, 0), ("offset", self.offset, -MAX_PLACE)):
            if len(pair) != 2 or not all(lowest <= number <= MAX_PLACE for number in pair):
                raise ValueError(f"{name} must be two numbers of {lowest}..{MAX_PLACE}, is {pair}")

    @classmethod
    def half_pixel(cls, logits: Float16Array, size: tuple[int, int]) -> SemanticLogits:
        """Logits that cover the image edge to edge (align_corners=False)."""
        check_array("logits", logits, np.float16, ndim=3)
        scale = (logits.shape[1] / size[0], logits.shape[2] / size[1])
        return cls(logits, size, scale, (0.5 * scale[0] - 0.5, 0.5 * scale[1] - 0.5))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TargetLogits(ShortRepr):
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
