"""What a diagnosis says: a ledger of the missing PQ, by class and image too, and counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fuse.inference.presets import FusionConfig
from fuse.io.coco.panoptic import ImageId
from fuse.metrics.pq import PQResult, PQStats
from fuse.metrics.segments import SegmentMatch
from fuse.types import LabelSpace

# What people call the lines of the ledger and their parts, and the bands around true borders.
LINE_TITLES = {
    "order": "instance order",
    "classes": "instance classes",
    "masks": "masks",
    "missed": "missed instances",
    "missed/low-score": "found, but scored too low",
    "missed/unseen": "not found",
    "false": "false instances",
    "false/no-context": "context: the semantic net says otherwise",
    "false/other": "the semantic net does not object",
    "stuff-labels": "stuff labels",
    "stuff-things": "stuff taken for things, or things for stuff",
    "void": "void left over",
    "void/unlabelled": "the semantic net has no label",
    "void/too-small": "right, but dropped as too small",
    "label-map": "label map: no net can say the class",
    "border/2px": "within 2 pixels of a true border",
    "border/5px": "within 5 pixels",
}
BAND_TITLES = {
    "2px": "within 2 pixels of a true border",
    "5px": "from 2 to 5 pixels",
    "far": "farther off",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the ledger, or a part of one; fractions of PQ.

    Attributes:
        key: a key of LINES, one of PARTS, or a border.
        alone: what PQ gains when only this is made right.
        share: its fair part of what PQ of all is missing.
        things: its part of what PQ of things is missing.
        stuff: its part of what PQ of stuff is missing.
        error: standard error of `share`, for the orders that were not tried.
        parts: of a line that has several.
    """

    key: str
    alone: float
    share: float
    things: float
    stuff: float
    error: float
    parts: tuple[Entry, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "key": self.key,
            "alone": self.alone,
            "share": self.share,
            "things": self.things,
            "stuff": self.stuff,
            "error": self.error,
            "parts": [part.to_json() for part in self.parts],
        }


@dataclass(frozen=True, slots=True)
class ClassLedger:
    """What the PQ of one class is missing: the shares by line and `rest` add up to 1 - pq."""

    category_id: int
    name: str
    isthing: bool
    pq: float
    shares: dict[str, float]
    rest: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "category_id": self.category_id,
            "name": self.name,
            "isthing": self.isthing,
            "pq": self.pq,
            "shares": dict(self.shares),
            "rest": self.rest,
        }


@dataclass(frozen=True, slots=True, eq=False)
class ImageLedger:
    """What the PQ of one image is missing, over the classes that it has.

    Attributes:
        image_id: the ground truth's.
        file_name: of the image.
        pq: of the image alone.
        shares: by line; with `rest` they add up to 1 - pq.
        rest: what stays missing with all made right.
        stats: the counts.
        segments: what became of each segment.
        disputed: share of the pixels that the two nets disagree on.
    """

    image_id: ImageId
    file_name: str
    pq: float
    shares: dict[str, float]
    rest: float
    stats: PQStats
    segments: tuple[SegmentMatch, ...]
    disputed: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "image_id": self.image_id,
            "file_name": self.file_name,
            "pq": self.pq,
            "shares": dict(self.shares),
            "rest": self.rest,
            "segments": [segment.to_json() for segment in self.segments],
            "disputed": self.disputed,
        }


@dataclass(frozen=True, slots=True)
class Counts:
    """Segments without a match, counted.

    Attributes:
        missed: true ones by their largest IoU with a segment of their class, in steps of 0.1
            from 0 to 0.5.
        false: predicted ones the same way.
        confusions: (true category_id, predicted category_id, how often) of true segments that
            were found under another name (IoU > 0.5), the commonest first.
    """

    missed: tuple[int, ...]
    false: tuple[int, ...]
    confusions: tuple[tuple[int, int, int], ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "missed_by_iou": list(self.missed),
            "false_by_iou": list(self.false),
            "confusions": [
                {"truth": true_id, "prediction": pred_id, "count": count}
                for true_id, pred_id, count in self.confusions
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis:
    """Where the missing PQ went.

    Attributes:
        space: the label space of the run.
        fusion: its rule.
        result: its PQ.
        lines: the ledger; their shares and `rest` add up to 1 - PQ of all.
        rest: what stays missing with every line made right: the rule's own.
        borders: of all lines what lies within 2, and within 5 pixels of a true border.
        classes: those that occur.
        images: in the order of the run.
        counts: of segments without a match.
        disputed: share of an image's pixels that the two nets disagree on, on average.
        mapped: how the ground truth was carried into the run's label space, None where not.
        unknown: how many images of the run the ground truth lacks; they are left out.
        lacking: how many images of the ground truth the run lacks; they are left out, too.
    """

    space: LabelSpace
    fusion: FusionConfig
    result: PQResult
    lines: tuple[Entry, ...]
    rest: float
    borders: tuple[Entry, ...]
    classes: tuple[ClassLedger, ...]
    images: tuple[ImageLedger, ...]
    counts: Counts
    disputed: float
    mapped: str | None
    unknown: int = 0
    lacking: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain values, fractions in 0..1."""
        return {
            "label_space": self.space.name,
            "mapped": self.mapped,
            "images": len(self.images),
            "unknown": self.unknown,
            "lacking": self.lacking,
            **self.result.to_json(),
            "ledger": [line.to_json() for line in self.lines],
            "rest": self.rest,
            "borders": [border.to_json() for border in self.borders],
            "classes": [c.to_json() for c in self.classes],
            "counts": self.counts.to_json(),
            "disputed": self.disputed,
            "photos": [image.to_json() for image in self.images],
        }
