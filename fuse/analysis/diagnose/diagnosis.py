"""What a diagnosis says: the missing PQ by error type, by class and by image, and counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fuse.fusion import FusionConfig
from fuse.io.coco.panoptic import ImageId
from fuse.metrics.matching import SegmentMatch
from fuse.metrics.pq import PQResult, PQStats
from fuse.types import LabelSpace
from fuse.types.label_space import id_to_file
from fuse.types.short_repr import ShortRepr

TITLES = {
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


def find_title(key: str) -> str:
    """What people call an error type, a subtype or a border; an unknown one by its key.

    >>> find_title("void"), find_title("masks/far")
    ('void left over', 'farther off')
    """
    return TITLES.get(key) or BAND_TITLES.get(key.rpartition("/")[2], key)


@dataclass(frozen=True, slots=True)
class ErrorCost:
    """What an error type, or a subtype, costs; fractions of PQ.

    Attributes:
        key: of ERROR_TYPES, one of SUBTYPES, or a border.
        alone: what PQ gains when only this is fixed.
        share: what it accounts for of the missing PQ of all, a Shapley value.
        things: of the missing PQ of things.
        stuff: of the missing PQ of stuff.
        error: standard error of `share`, for the orders that were not tried.
        parts: the costs of the subtypes where there are several.
    """

    key: str
    alone: float
    share: float
    things: float
    stuff: float
    error: float
    parts: tuple[ErrorCost, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassDiagnosis:
    """The missing PQ of one class: shares by error type, and `rest`, add up to 1 - pq.

    The category_id is as in files.
    """

    category_id: int
    name: str
    isthing: bool
    pq: float
    shares: dict[str, float]
    rest: float


@dataclass(frozen=True, slots=True, eq=False)
class ImageDiagnosis:
    """The missing PQ of one image, over the classes that it has.

    Attributes:
        image_id: the ground truth's.
        file_name: of the image.
        pq: of the image alone.
        shares: by error type; with `rest` they add up to 1 - pq.
        rest: what stays missing with all errors fixed.
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
        """As plain values, without the counts."""
        values = {key: value for key, value in asdict(self).items() if key != "stats"}
        return values | {"segments": [segment.to_json() for segment in self.segments]}


@dataclass(frozen=True, slots=True)
class UnmatchedSegments:
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
                {"truth": id_to_file(true), "prediction": id_to_file(pred), "count": count}
                for true, pred, count in self.confusions
            ],
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Diagnosis(ShortRepr):
    """Where the missing PQ went.

    Attributes:
        space: the label space of the run.
        fusion: its rule.
        result: its PQ.
        errors: what each error type costs; their shares and `rest` add up to 1 - PQ of all.
        rest: what stays missing with every error fixed: the rule's own.
        borders: the cost of what lies within 2, and within 5 pixels of a true border.
        classes: those that occur.
        images: in the order of the run.
        counts: of segments without a match.
        disputed: share of an image's pixels that the two nets disagree on, on average.
        mapped: how the ground truth was carried into the run's label space, None where not.
        unknown: how many images of the run the ground truth lacks; they are left out.
        lacking: how many images of the ground truth the run lacks; they are left out, too.
        run: what the folder of the run was called.
    """

    space: LabelSpace
    fusion: FusionConfig
    result: PQResult
    errors: tuple[ErrorCost, ...]
    rest: float
    borders: tuple[ErrorCost, ...]
    classes: tuple[ClassDiagnosis, ...]
    images: tuple[ImageDiagnosis, ...]
    counts: UnmatchedSegments
    disputed: float
    mapped: str | None = None
    unknown: int = 0
    lacking: int = 0
    run: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values, fractions in 0..1."""
        return {
            "run": self.run,
            "label_space": self.space.name,
            "mapped": self.mapped,
            "images": len(self.images),
            "unknown": self.unknown,
            "lacking": self.lacking,
            **self.result.to_json(),
            "ledger": [asdict(cost) for cost in self.errors],
            "rest": self.rest,
            "borders": [asdict(cost) for cost in self.borders],
            "classes": [asdict(one) for one in self.classes],
            "counts": self.counts.to_json(),
            "disputed": self.disputed,
            "photos": [image.to_json() for image in self.images],
        }
