"""One segment of a result."""

from __future__ import annotations

from dataclasses import dataclass, field

from fuse.types import BoolArray, Int32Array


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One segment of an image.

    Attributes:
        id: as in the panoptic map, 1..2**24 - 1.
        name: of its category.
        category_id: in the label space of the result.
        isthing: whether it is one object, or stuff.
        score: the detector's score of a thing, 0..1; None where nobody said one, as of stuff.
        area: pixels.
        bbox: COCO xywh of the pixels.
    """

    id: int
    name: str
    category_id: int
    isthing: bool
    score: float | None
    area: int
    bbox: tuple[int, int, int, int]
    _panoptic_map: Int32Array = field(repr=False)

    @property
    def mask(self) -> BoolArray:
        """Its pixels: bool (H, W), made when asked for."""
        mask: BoolArray = self._panoptic_map == self.id
        return mask

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """The box as pixel edges: left, top, right, bottom."""
        x, y, width, height = self.bbox
        return x, y, x + width, y + height
