"""One image: read the true and the predicted map, count their pairs once, match, check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fuse.errors import CocoFormatError, describe_size
from fuse.evaluation.file_checks import check_pixels, check_png, check_segments
from fuse.evaluation.image_scores import ImageScore
from fuse.findings import Note
from fuse.io.coco.panoptic import ImageId, PanopticDataset, SegmentRecord
from fuse.io.png import read_row_deltas
from fuse.labels import LabelMap, map_panoptic
from fuse.metrics.matching import map_truth, match_pairs
from fuse.metrics.measures import (
    CALIBRATION,
    ComparedMaps,
    ScoredSegments,
    count_measures,
    list_scored,
)
from fuse.metrics.pq import PQStats, sum_stats
from fuse.ops.contingency import count_delta_pairs
from fuse.ops.matching import SegmentPairs, SegmentTable, count_areas
from fuse.ops.row_deltas import RowDeltas
from fuse.types import Float64Array, PanopticPrediction, SegmentInfo

NO_SEGMENTS = SegmentTable.from_segments(())


class TurnedImageError(CocoFormatError):
    """A map has the height of its ground truth as its width, and the other way round."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadMap:
    """One side of an image: its map and its segments.

    Attributes:
        deltas: the map, as where its rows change.
        segments: its segments, each id once and none of them 0.
        table: the columns of these.
        notes: what is wrong with its entry in the JSON and with its PNG.
    """

    deltas: RowDeltas
    segments: Sequence[SegmentRecord | SegmentInfo]
    table: SegmentTable
    notes: tuple[Note, ...] = ()


class TruthScorer:
    """Scores single images against a ground truth; may be used from several threads.

    Attributes:
        truth: the ground truth as read.
        space: the categories that are scored.
        mapped: how the ground truth is carried into that space, None where it is not.
        official: whether the official scorer's behaviour is reproduced.
        measures: what is counted besides PQ, as `expand_measures` gives them.
    """

    def __init__(
        self,
        truth: PanopticDataset,
        label_map: LabelMap | None = None,
        *,
        official: bool = False,
        measures: Sequence[str] = (),
    ) -> None:
        self.truth = truth
        self.space = label_map.target if label_map else truth.space
        self.mapped = _describe_map(label_map) if label_map else None
        self.official = official
        self.measures = tuple(measures)
        self._label_map = label_map

    def load(self, image_id: ImageId, size: tuple[int, int] | None = None) -> PanopticPrediction:
        """The ground truth of an image in the space that is scored.

        Args:
            image_id: of an image of the ground truth.
            size: (height, width) of what it is held against.

        Raises:
            CocoFormatError: the PNG cannot be read, or is of another size.
        """
        truth = self.truth.load(image_id)
        if size is not None:
            self._check_size(image_id, "image", size, truth.size)
        return map_panoptic(truth, self._label_map) if self._label_map else truth

    def score(self, image_id: ImageId, prediction: PanopticPrediction | None) -> ImageScore:
        """Score a prediction in memory; None where there is none, so all is missed.

        Raises:
            CocoFormatError: the true PNG cannot be read, or its size is not the prediction's.
        """
        truth = read_map(self.truth, image_id, "truth")
        if prediction is None:
            void = RowDeltas.from_map(np.zeros(truth.deltas.size, dtype=np.int32))
            missing = Note("pred-missing", f"image_id {image_id!r}")
            return self._score(image_id, truth, ReadMap(void, (), NO_SEGMENTS, (missing,)))
        deltas = RowDeltas.from_map(prediction.panoptic_map)
        segments = prediction.segments_info
        pred = ReadMap(deltas, segments, SegmentTable.from_segments(segments))
        return self._score(image_id, truth, pred)

    def try_score(self, image_id: ImageId, prediction: PanopticPrediction | None) -> ImageScore:
        """Score a prediction in memory; what cannot be scored has a note and no counts."""
        try:
            return self.score(image_id, prediction)
        except CocoFormatError as err:
            return self._no_score(image_id, err)

    def score_file(self, image_id: ImageId, predictions: PanopticDataset) -> ImageScore:
        """Score a prediction from a file; what cannot be scored has a note and no counts."""
        if image_id not in predictions.annotations:
            return self.try_score(image_id, None)
        try:
            pred = read_map(predictions, image_id, "pred")
            return self._score(image_id, read_map(self.truth, image_id, "truth"), pred)
        except CocoFormatError as err:
            return self._no_score(image_id, err)

    def _score(self, image_id: ImageId, truth: ReadMap, pred: ReadMap) -> ImageScore:
        """Count the pairs of both maps, match their segments and check what they claim."""
        self._check_size(image_id, "prediction", pred.deltas.size, truth.deltas.size)
        counted = count_delta_pairs(truth.deltas, pred.deltas)
        pairs = SegmentPairs.locate(*counted, truth.table, pred.table)
        true_areas, true_strange = count_areas(
            pairs.truth_ids, pairs.true_rows, pairs.counts, len(truth.table.areas)
        )
        pred_areas, pred_strange = count_areas(
            pairs.pred_ids, pairs.pred_rows, pairs.counts, len(pred.table.areas)
        )
        table = truth.table
        unclaimed = np.isnan(table.areas)
        if unclaimed.any():
            table = table._replace(areas=np.where(unclaimed, true_areas, table.areas))
        if self._label_map:
            pairs, table = map_truth(pairs, table, pred.table, self._label_map)
        try:
            stats = match_pairs(pairs, table, pred.table, official=self.official)
            layers, scored = self._measure(truth, pred, pairs, table)
        except ValueError as err:
            raise CocoFormatError(
                f"{self.truth.path}, image_id {image_id!r}: {err}; leave out --official"
            ) from err
        notes = (
            *pred.notes,
            *truth.notes,
            *check_pixels(image_id, "truth", true_strange, true_areas, truth.table),
            *check_pixels(image_id, "pred", pred_strange, pred_areas, pred.table),
        )
        return ImageScore(image_id, self.truth.image_name(image_id), stats, notes, layers, scored)

    def _measure(
        self, truth: ReadMap, pred: ReadMap, pairs: SegmentPairs, table: SegmentTable
    ) -> tuple[Mapping[str, PQStats], ScoredSegments | None]:
        """What was asked for besides PQ; pairs and the table of the truth are in `space`."""
        if not self.measures:
            return {}, None
        deltas = truth.deltas
        if self._label_map and "boundary" in self.measures:
            deltas = map_deltas(deltas, truth.table, self._label_map)
        maps = ComparedMaps(
            deltas, pred.deltas, pairs, table, pred.table, list_scores(pred.segments)
        )
        layers = count_measures(maps, self.measures, self.space, official=self.official)
        if CALIBRATION not in self.measures:
            return layers, None
        return layers, list_scored(maps, official=self.official)

    def _no_score(self, image_id: ImageId, err: CocoFormatError) -> ImageScore:
        note = Note("turned" if isinstance(err, TurnedImageError) else "cannot-score", str(err))
        return ImageScore(image_id, self.truth.image_name(image_id), sum_stats(()), (note,))

    def _check_size(
        self, image_id: ImageId, what: str, size: tuple[int, int], true_size: tuple[int, int]
    ) -> None:
        """Raise CocoFormatError where the ground truth is of another (height, width)."""
        if size != true_size:
            raise (TurnedImageError if size == true_size[::-1] else CocoFormatError)(
                f"image_id {image_id!r}: the {what} is {describe_size(size)}; the true "
                f"{self.truth.png_path(image_id)} is {describe_size(true_size)}"
            )


def read_map(dataset: PanopticDataset, image_id: ImageId, side: str) -> ReadMap:
    """Read the map and the segments of an image; of an id that stands twice the last counts.

    Args:
        dataset: the ground truth, or predictions.
        image_id: of an image that it annotates.
        side: "truth" or "pred", for the notes.

    Raises:
        CocoFormatError: the PNG cannot be read.
    """
    where = f"image_id {image_id!r}"
    listed = dataset.annotations[image_id].segments_info
    segments = tuple(dataset.annotations[image_id].segments_by_id().values())
    table = make_table(segments)
    path = dataset.png_path(image_id)
    deltas, png = read_row_deltas(path)
    notes = (
        *check_segments(where, side, listed, segments, table),
        *check_png(side, path, png, dataset.images.get(image_id)),
    )
    return ReadMap(deltas, segments, table, notes)


def list_scores(segments: Sequence[SegmentRecord | SegmentInfo]) -> Float64Array:
    """The scores of segments, NaN for those without one: float64 (N,)."""
    return np.array([np.nan if s.score is None else s.score for s in segments], dtype=np.float64)


def map_deltas(deltas: RowDeltas, table: SegmentTable, label_map: LabelMap) -> RowDeltas:
    """A true map in another label space, its segments joined and renamed as `map_truth` does."""
    segments = tuple(
        SegmentInfo(segment_id, category_id, 0, (0, 0, 0, 0), iscrowd)
        for segment_id, category_id, iscrowd in zip(
            *(column.tolist() for column in (table.segment_ids, table.category_ids, table.iscrowd)),
            strict=True,
        )
    )
    return RowDeltas.from_map(
        map_panoptic(PanopticPrediction(deltas.to_map(), segments), label_map).panoptic_map
    )


def make_table(segments: Sequence[SegmentRecord]) -> SegmentTable:
    """The columns of segments; an area that is missing is NaN, an iscrowd is no crowd."""
    return SegmentTable(
        np.array([s.segment_id for s in segments], dtype=np.int32),
        np.array([s.category_id for s in segments], dtype=np.int32),
        np.array([s.iscrowd for s in segments], dtype=np.bool_),
        np.array([s.area for s in segments], dtype=np.float64),
    )


def _describe_map(label_map: LabelMap) -> str:
    through = f" through {' and '.join(label_map.through)}" if label_map.through else ""
    return (
        f"ground truth mapped from {label_map.source.name} "
        f"({len(label_map.source.categories)} categories) to {label_map.target.name} "
        f"({len(label_map.target.categories)}){through}"
    )
