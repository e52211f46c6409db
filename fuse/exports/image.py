"""What a format gets of each image, and what it says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fuse.findings import Fault, Note
from fuse.io.coco.panoptic import ImageId
from fuse.types import BoolArray, Category, LabelSpace, PanopticPrediction, SegmentInfo

FAULTS = {
    "stuff-left-out": Fault(
        "segments of stuff", "left out, as the form is of objects; --stuff exports them too"
    ),
    "crowd-as-object": Fault("crowds", "exported as one object, as the form knows no crowds"),
    "polygon-loss": Fault(
        "segments whose polygon is not exactly its mask",
        "exported; exact are --shapes masks, where the form has them, coco-instances and label-png",
    ),
    "polygon-poor": Fault(
        "segments over 100 pixels whose polygon agrees with less than 98 % of the mask",
        "exported; they are of many parts, so take an exact form for them",
    ),
    "colors-shared": Fault(
        "classes that share a colour with another", "given colours of PASCAL VOC instead"
    ),
    "background-as-void": Fault(
        "classes called as the form calls void", "painted black, as void is, and read as it"
    ),
    "no-scores": Fault("objects without a score", "exported with score 1"),
}


@dataclass(frozen=True, slots=True, eq=False)
class ExportImage:
    """One image of a run or a panoptic JSON.

    Attributes:
        image_id: its own.
        file_name: of the image, with ``/``.
        stem: of the files that are made of it, unique among all; a relative path with ``/``.
        prediction: its map.
        space: the categories.
    """

    image_id: ImageId
    file_name: str
    stem: str
    prediction: PanopticPrediction
    space: LabelSpace

    def category(self, segment: SegmentInfo) -> Category:
        """The category of a segment."""
        return self.space.by_id[segment.category_id]

    def crop(self, segment: SegmentInfo) -> BoolArray:
        """The mask of a segment in its box: bool (h, w)."""
        x, y, width, height = segment.bbox
        found: BoolArray = (
            self.prediction.panoptic_map[y : y + height, x : x + width] == segment.segment_id
        )
        return found

    def choose(
        self, stuff: bool, *, has_crowds: bool = False
    ) -> tuple[list[SegmentInfo], list[Note]]:
        """The segments to export, and notes on those that are not or not as what they are.

        Args:
            stuff: whether stuff is exported.
            has_crowds: whether the form can say that a segment is a crowd.
        """
        chosen = [s for s in self.prediction.segments_info if stuff or self.category(s).isthing]
        left = len(self.prediction.segments_info) - len(chosen)
        notes = [Note("stuff-left-out", self.file_name, left)] if left else []
        return chosen, notes if has_crowds else notes + self.note_crowds(chosen)

    def note_crowds(self, segments: Iterable[SegmentInfo]) -> list[Note]:
        """A note where a form cannot say that segments are crowds."""
        crowds = sum(segment.iscrowd for segment in segments)
        return [Note("crowd-as-object", self.file_name, crowds)] if crowds else []


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One image in a form, ready to be written.

    Attributes:
        content: whatever the form's `write` takes.
        segments: how many segments it holds.
        notes: what is to be known of it.
    """

    content: Any
    segments: int
    notes: list[Note] = field(default_factory=list)


class Form(Protocol):
    """A form that maps are exported in."""

    def encode(self, image: ExportImage) -> Encoded:
        """One image; any number of threads may call it."""

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """Write all images, as they come, to a file or into an empty folder."""

    def check(self, space: LabelSpace) -> list[Note]:
        """Raise LabelSpaceError where the categories do not fit; notes on them else."""
        return []
