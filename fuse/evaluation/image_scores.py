"""The counts of each image of a set, in the memory of their numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from fuse.findings import Note
from fuse.io.coco.panoptic import ImageId
from fuse.metrics.measures import ScoredSegments
from fuse.metrics.pq import PQStats, sum_rows


@dataclass(frozen=True, slots=True, eq=False)
class ImageScore:
    """The counts of one image, and what was wrong with its files.

    Attributes:
        image_id: the ground truth's.
        file_name: the ground truth's.
        stats: matches and errors per category.
        notes: for `fuse.evaluation.file_checks.collect_findings`.
        layers: further counts by layer, see `fuse.metrics.measures`; those that were asked for.
        scored: its segments by score, where calibration was asked for.
    """

    image_id: ImageId
    file_name: str
    stats: PQStats
    notes: tuple[Note, ...] = ()
    layers: Mapping[str, PQStats] = field(default_factory=dict)
    scored: ScoredSegments | None = None


class StatsList(Sequence[PQStats]):
    """Counts of many images, in order; 36 bytes per category that an image has."""

    def __init__(self) -> None:
        self._ends = array("q")  # of each image's rows
        self._category_ids = array("i")
        self._iou_sum = array("d")
        self._tp, self._fp, self._fn = array("q"), array("q"), array("q")

    def append(self, stats: PQStats) -> None:
        """Add an image's behind the others."""
        self._category_ids.extend(stats.category_ids.tolist())
        self._iou_sum.extend(stats.iou_sum.tolist())
        self._tp.extend(stats.tp.tolist())
        self._fp.extend(stats.fp.tolist())
        self._fn.extend(stats.fn.tolist())
        self._ends.append(len(self._category_ids))

    def extend(self, others: StatsList) -> None:
        """Add those of further images behind the others."""
        rows = len(self._category_ids)
        self._ends.extend(rows + end for end in others._ends)
        self._category_ids += others._category_ids
        self._iou_sum += others._iou_sum
        self._tp += others._tp
        self._fp += others._fp
        self._fn += others._fn

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> PQStats: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[PQStats]: ...
    def __getitem__(self, place: int | slice) -> PQStats | Sequence[PQStats]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        rows = slice(self._ends[place - 1] if place else 0, self._ends[place])
        return PQStats(*(np.array(column[rows]) for column in self._columns()))

    def sum(self) -> PQStats:
        """The counts of all images, added up in their order."""
        return sum_rows(PQStats(*map(np.array, self._columns())))

    def _columns(self) -> tuple[array[int], array[float], array[int], array[int], array[int]]:
        return self._category_ids, self._iou_sum, self._tp, self._fp, self._fn


class ImageScores:
    """Scores of many images, in order.

    An image takes a quarter of the memory of the objects that come out.

    Attributes:
        stats: the counts of each image.
        layers: the further counts of each image by layer; every image has all of them or none.
        scored: the segments by score of each image; empty where nobody asked.

    >>> stats = PQStats(*(np.array([n]) for n in (17, 0.9, 1, 0, 0)))
    >>> scores = ImageScores([ImageScore(139, "139.jpg", stats)])
    >>> len(scores), [score.stats.iou_sum.tolist() for score in scores]
    (1, [[0.9]])
    """

    def __init__(self, scores: Iterable[ImageScore] = ()) -> None:
        self._image_ids: list[ImageId] = []
        self._file_names: list[str] = []
        self._notes: dict[int, tuple[Note, ...]] = {}
        self.stats = StatsList()
        self.layers: dict[str, StatsList] = {}
        self.scored: list[ScoredSegments] = []
        for score in scores:
            self.append(score)

    def append(self, score: ImageScore) -> None:
        """Add an image behind the others."""
        if score.notes:
            self._notes[len(self)] = score.notes
        self._image_ids.append(score.image_id)
        self._file_names.append(score.file_name)
        self.stats.append(score.stats)
        for layer, stats in score.layers.items():
            self.layers.setdefault(layer, StatsList()).append(stats)
        if score.scored:
            self.scored.append(score.scored)

    def extend(self, others: ImageScores) -> None:
        """Add further images behind the others."""
        self._notes.update({len(self) + place: notes for place, notes in others._notes.items()})
        self._image_ids += others._image_ids
        self._file_names += others._file_names
        self.stats.extend(others.stats)
        for layer, stats in others.layers.items():
            self.layers.setdefault(layer, StatsList()).extend(stats)
        self.scored += others.scored

    def __len__(self) -> int:
        return len(self._image_ids)

    def __iter__(self) -> Iterator[ImageScore]:
        return map(self._get, range(len(self)))

    def in_order_of(self, image_ids: Iterable[ImageId]) -> ImageScores:
        """The scores of some images, in the order given; ids without a score are passed over."""
        places = {image_id: place for place, image_id in enumerate(self._image_ids)}
        return ImageScores(self._get(places[i]) for i in image_ids if i in places)

    def sum(self) -> PQStats:
        """The counts of all images, added up in their order."""
        return self.stats.sum()

    def notes(self) -> Iterator[Note]:
        """What was wrong with the files of all images."""
        for notes in self._notes.values():
            yield from notes

    def find_noted(self, code: str) -> set[ImageId]:
        """The images that have a note of that kind."""
        return {
            self._image_ids[place]
            for place, notes in self._notes.items()
            if any(note.code == code for note in notes)
        }

    def _get(self, place: int) -> ImageScore:
        return ImageScore(
            self._image_ids[place],
            self._file_names[place],
            self.stats[place],
            self._notes.get(place, ()),
            {layer: stats[place] for layer, stats in self.layers.items()},
            self.scored[place] if self.scored else None,
        )
