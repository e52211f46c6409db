"""Score saved or fresh predictions against a ground truth, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fuse.errors import CocoFormatError, DataError
from fuse.evaluation.components import score_instances, score_semantic
from fuse.evaluation.file_checks import (
    Finding,
    Note,
    Severity,
    check_branches,
    check_heads,
    check_pixels,
    check_truth_segments,
    collect_findings,
)
from fuse.evaluation.image_scores import ImageScore, ImageScores
from fuse.io.coco.pairing import match_images, renumber
from fuse.io.coco.panoptic import ImageId, PanopticDataset, SegmentRecord, read_panoptic_json
from fuse.io.coco.results import open_semantic, read_results
from fuse.io.files import take_text
from fuse.io.png import read_id_map_file
from fuse.io.run_files import is_run
from fuse.labels import LabelMap, find_truth_map, map_panoptic
from fuse.metrics.instances import MaskAP
from fuse.metrics.pq import (
    PQResult,
    SegmentPairs,
    SegmentTable,
    map_truth,
    match_pairs,
    sum_stats,
    summarize,
)
from fuse.metrics.semantic import SemanticResult
from fuse.ops.changes import MapChanges, find_changes
from fuse.ops.contingency import count_changed_pairs
from fuse.ops.matching import are_distinct, count_areas
from fuse.ops.memory import keep_freed_memory
from fuse.threads import map_threads
from fuse.types import LabelSpace, PanopticPrediction

NO_SEGMENTS = SegmentTable.from_segments(())


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """PQ of a set of images.

    Attributes:
        result: PQ, SQ and RQ of all, things, stuff and each category.
        images: the counts of each image, in the ground truth's order; they sum to `result`.
        findings: what is wrong with the files, and what was done about it.
        space: the categories that were scored.
        mapped: how the ground truth was carried into that space, None where it was not.
        official: True where the official scorer's behaviour was reproduced.
        semantic: mIoU of the semantic branch, where its predictions were given.
        instances: mask AP of the instance branch, where its predictions were given.
    """

    result: PQResult
    images: ImageScores
    findings: tuple[Finding, ...]
    space: LabelSpace
    mapped: str | None
    official: bool
    semantic: SemanticResult | None = None
    instances: MaskAP | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values, fractions in 0..1, None where nothing was scored."""
        return {
            **self.result.to_json(),
            "images": len(self.images),
            "official": self.official,
            "label_space": self.space.name,
            "mapped": self.mapped,
            "findings": [finding.to_json() for finding in self.findings],
            "semantic": self.semantic.to_json() if self.semantic else None,
            "instances": self.instances.to_json() if self.instances else None,
        }


class TruthScorer:
    """Scores single images against a ground truth; may be used from several threads.

    Attributes:
        truth: the ground truth as read.
        space: the categories that are scored.
        mapped: how the ground truth is carried into that space, None where it is not.
    """

    def __init__(
        self, truth: PanopticDataset, label_map: LabelMap | None = None, *, official: bool = False
    ) -> None:
        self.truth = truth
        self.space = label_map.target if label_map else truth.space
        self.mapped = _describe_map(label_map) if label_map else None
        self._label_map = label_map
        self._official = official

    def load(self, image_id: ImageId, size: tuple[int, int] | None = None) -> PanopticPrediction:
        """The ground truth of an image in the space that is scored.

        Args:
            image_id: of an image of the ground truth.
            size: (height, width) of what it is held against.

        Raises:
            CocoFormatError: the PNG cannot be read, or is of another size.
        """
        truth = self.truth.load(image_id)
        if size is not None and truth.size != size:
            raise CocoFormatError(
                f"image_id {image_id!r}: the image is {_by(size)}, "
                f"the true {self.truth.png_path(image_id)} is {_by(truth.size)}"
            )
        return map_panoptic(truth, self._label_map) if self._label_map else truth

    def score(self, image_id: ImageId, prediction: PanopticPrediction | None) -> ImageScore:
        """Score a prediction in memory; None where there is none, so all is missed.

        Raises:
            CocoFormatError: the true PNG cannot be read, or its size is not the prediction's.
        """
        if prediction is None:
            notes = [Note("pred-missing", f"image_id {image_id!r}")]
            return self._score(image_id, None, NO_SEGMENTS, notes)
        table = SegmentTable.from_segments(prediction.segments_info)
        return self._score(image_id, find_changes(prediction.panoptic_map), table, [])

    def try_score(self, image_id: ImageId, prediction: PanopticPrediction | None) -> ImageScore:
        """Score a prediction in memory; what cannot be scored has a note and no counts."""
        try:
            return self.score(image_id, prediction)
        except CocoFormatError as err:
            return self._no_score(image_id, err)

    def score_file(self, image_id: ImageId, predictions: PanopticDataset) -> ImageScore:
        """Score a prediction from a file; what cannot be scored has a note and no counts."""
        notes: list[Note] = []
        try:
            if image_id not in predictions.annotations:
                return self.score(image_id, None)
            pred_map, pred = _read_image(predictions, image_id, "pred", notes)
            return self._score(image_id, pred_map, pred, notes)
        except CocoFormatError as err:
            return self._no_score(image_id, err, notes)

    def _no_score(
        self, image_id: ImageId, err: CocoFormatError, notes: Sequence[Note] = ()
    ) -> ImageScore:
        name = self.truth.image_name(image_id)
        return ImageScore(image_id, name, sum_stats(()), (*notes, Note("cannot-score", str(err))))

    def _score(
        self,
        image_id: ImageId,
        pred_map: MapChanges | None,
        pred: SegmentTable,
        notes: list[Note],
    ) -> ImageScore:
        """Score one image; pred_map None means that all is void."""
        truth_map, truth = _read_image(self.truth, image_id, "truth", notes)
        if pred_map is None:
            pred_map = find_changes(np.zeros(truth_map.size, dtype=np.int32))
        if pred_map.size != truth_map.size:
            raise CocoFormatError(
                f"image_id {image_id!r}: the prediction is {_by(pred_map.size)}, "
                f"the true {self.truth.png_path(image_id)} is {_by(truth_map.size)}"
            )
        pairs = SegmentPairs.locate(*count_changed_pairs(truth_map, pred_map), truth, pred)
        true_areas, unlisted = count_areas(
            pairs.truth_ids, pairs.true_rows, pairs.counts, len(truth.areas)
        )
        notes += check_pixels(image_id, "truth", unlisted, true_areas, truth)
        pred_areas, unlisted = count_areas(
            pairs.pred_ids, pairs.pred_rows, pairs.counts, len(pred.areas)
        )
        notes += check_pixels(image_id, "pred", unlisted, pred_areas, pred)
        unclaimed = np.isnan(truth.areas)
        if unclaimed.any():
            truth = replace(truth, areas=np.where(unclaimed, true_areas, truth.areas))
        if self._label_map:
            pairs, truth = map_truth(pairs, truth, pred, self._label_map)
        try:
            stats = match_pairs(pairs, truth, pred, official=self._official)
        except ValueError as err:
            raise CocoFormatError(
                f"{self.truth.path}, image_id {image_id!r}: {err}; leave out --official"
            ) from err
        return ImageScore(image_id, self.truth.image_name(image_id), stats, tuple(notes))

    def evaluation(
        self,
        images: ImageScores,
        notes: Iterable[Note] = (),
        *,
        strict: bool = False,
    ) -> Evaluation:
        """Sum up images, in the order given.

        Args:
            images: what `score` and `score_file` returned.
            notes: further ones, about whole files.
            strict: make every finding an error.

        Raises:
            DataError: a finding is an error; the message lists all of them.
        """
        findings = collect_findings((*notes, *images.notes()), official=self._official)
        errors = [f for f in findings if strict or f.severity is Severity.ERROR]
        if errors:
            raise DataError("\n".join(["the files cannot be scored:", *map(str, errors)]))
        return Evaluation(
            result=summarize(images.sum(), self.space),
            images=images,
            findings=findings,
            space=self.space,
            mapped=self.mapped,
            official=self._official,
        )


@take_text
def evaluate(
    gt: Path,
    pred: Path,
    *,
    gt_dir: Path | None = None,
    pred_dir: Path | None = None,
    official: bool = False,
    strict: bool = False,
    semantic: Path | None = None,
    instances: Path | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """PQ of a COCO panoptic JSON against another, and what is wrong with the two.

    Ground truth in another label space is mapped into the predictions' where a map ships.
    Images are paired by image_id; those of a run of fuse by their names, where it has other ids.
    An image without a prediction counts as missed, predictions of other images are left out.

    Args:
        gt: ground truth: a JSON, or the output folder of a run.
        pred: predictions: the same.
        gt_dir: folder of the PNGs, by default the JSON's path without its ending.
        pred_dir: the same for the predictions.
        official: do as the official scorer where that differs (`match_segments`).
        strict: make every finding an error.
        semantic: predictions of the semantic branch, for its mIoU: a COCO result JSON, or a
            folder of PNGs with a category_id per pixel, in the predictions' label space.
        instances: a COCO result JSON of the instance branch, for its mask AP; category ids in
            the predictions' label space.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        CocoFormatError: a JSON cannot be read.
        LabelSpaceError: the categories differ and no map ships.
        DataError: images cannot be scored; the message lists all faults of the files. Or two
            images of a run are the same one of the ground truth.
    """
    keep_freed_memory()
    truth = read_panoptic_json(gt, gt_dir)
    predictions = read_panoptic_json(pred, pred_dir, default_space=truth.space)
    predictions, notes = _number_as(truth, predictions)
    used_ids = (s.category_id for a in predictions.annotations.values() for s in a.segments_info)
    label_map = find_truth_map(truth.space, predictions.space, used_ids, official=official)
    scorer = TruthScorer(truth, label_map, official=official)
    semantic_file = open_semantic(semantic, scorer.space) if semantic else None
    instance_file = read_results(instances, scorer.space) if instances else None
    notes += check_heads(truth, predictions, mapped=label_map is not None)
    notes += check_branches(truth, semantic_file, instance_file)
    image_ids = list(truth.annotations)
    images = ImageScores()
    with map_threads(lambda i: scorer.score_file(i, predictions), image_ids, workers) as scored:
        for image in scored:
            images.append(image)
            if on_progress:
                on_progress(len(images), len(image_ids))
    evaluation = scorer.evaluation(images, notes, strict=strict)
    branch = (truth, scorer.load, scorer.space)
    return replace(
        evaluation,
        semantic=score_semantic(semantic_file, *branch) if semantic_file else None,
        instances=score_instances(instance_file, *branch) if instance_file else None,
    )


def _number_as(
    truth: PanopticDataset, predictions: PanopticDataset
) -> tuple[PanopticDataset, list[Note]]:
    """The images of a run under the ground truth's image ids, and what was done about them.

    A run without ``--gt`` gave its images ids of its own. It knows their names, and by these
    they are found. Files of other tools keep their ids, which COCO's format is about.

    Raises:
        DataError: two images of the run are the same one of the ground truth.
    """
    if not is_run(predictions.path.parent):
        return predictions, []
    own_ids = match_images(predictions, truth)
    moved = [(own_id, true_id) for true_id, own_id in own_ids.items() if own_id != true_id]
    if not moved:
        return predictions, []
    own_id, true_id = moved[0]
    example = f"{predictions.image_name(own_id)!r} from {own_id!r} to {true_id!r}"
    notes = [Note("run-renumbered", example, len(moved))]
    extra = predictions.annotations.keys() - own_ids.values()
    if extra:
        names = sorted(map(predictions.image_name, extra))
        notes.append(Note("pred-extra", repr(names[0]), len(names)))
    return renumber(predictions, own_ids), notes


def _describe_map(label_map: LabelMap) -> str:
    return (
        f"ground truth mapped from {label_map.source.name} "
        f"({len(label_map.source.categories)} categories) to {label_map.target.name} "
        f"({len(label_map.target.categories)})"
    )


def _read_image(
    dataset: PanopticDataset, image_id: ImageId, side: str, notes: list[Note]
) -> tuple[MapChanges, SegmentTable]:
    """Read the map and the segments of an image; faults go to notes."""
    segments = dataset.annotations[image_id].segments_info
    table = _segment_table(segments)
    where = f"image_id {image_id!r}"
    if not (table.segment_ids.all() and are_distinct(table.segment_ids)):
        segments = tuple(dataset.annotations[image_id].segments_by_id().values())
        zeros = int((table.segment_ids == 0).sum())
        repeated = len(table.segment_ids) - zeros - len(segments)
        for code, count in (("id-zero", zeros), ("repeated-id", repeated)):
            if count:
                notes.append(Note(f"{side}-{code}", where, count))
        table = _segment_table(segments)
    if side == "truth":
        notes += check_truth_segments(where, segments, table)
    png = dataset.png_path(image_id)
    file = read_id_map_file(png)
    if (file.color_type, file.bit_depth) != ("rgb", 8):
        notes.append(Note(f"{side}-png-kind", f"{png} ({file.bit_depth}-bit {file.color_type})"))
    image = dataset.images.get(image_id)
    height, width = file.changes.size
    if image and ((image.height or height), (image.width or width)) != (height, width):
        example = f"{png} ({height}x{width}, not {image.height}x{image.width})"
        notes.append(Note(f"{side}-png-size", example))
    return file.changes, table


def _segment_table(segments: Sequence[SegmentRecord]) -> SegmentTable:
    """The columns of segments; an area that is missing is NaN, an iscrowd is no crowd."""
    return SegmentTable(
        np.array([s.segment_id for s in segments], dtype=np.int32),
        np.array([s.category_id for s in segments], dtype=np.int32),
        np.array([s.iscrowd for s in segments], dtype=np.bool_),
        np.array([s.area for s in segments], dtype=np.float64),
    )


def _by(size: tuple[int, int]) -> str:
    """Height x width in words."""
    return "{}x{}".format(*size)
