"""PQ of files: each image by `TruthScorer`, then the sum and what is wrong with the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fuse.errors import DataError
from fuse.evaluation.components import score_instances, score_semantic
from fuse.evaluation.file_checks import (
    check_components,
    check_heads,
    collect_findings,
)
from fuse.evaluation.forks import score_images
from fuse.evaluation.image_scores import ImageScores
from fuse.evaluation.measured import Measured, measure_images
from fuse.evaluation.scorer import TruthScorer
from fuse.findings import Finding, Note, Severity
from fuse.io.coco.pairing import pair_images, renumber
from fuse.io.coco.panoptic import PanopticDataset, read_panoptic_json
from fuse.io.coco.results import open_semantic, read_results
from fuse.io.csv_files import write_table
from fuse.io.files import StrPath, is_run, to_path
from fuse.labels import find_truth_map
from fuse.metrics.instances import MaskAP
from fuse.metrics.measures import expand_measures
from fuse.metrics.pq import PQResult, summarize
from fuse.metrics.semantic import SemanticResult
from fuse.threads import count_steps
from fuse.types import LabelSpace

CSV_COLUMNS = ("image_id", "file_name", "pq", "tp", "fp", "fn", "iou_sum")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
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
        measured: the measures beside PQ, where they were asked for.
        semantic_ids: the categories that the semantic net can say, where a run says it.
    """

    result: PQResult
    images: ImageScores
    findings: tuple[Finding, ...]
    space: LabelSpace
    mapped: str | None
    official: bool
    semantic: SemanticResult | None = None
    instances: MaskAP | None = None
    measured: Measured | None = None
    semantic_ids: frozenset[int] | None = None

    def __repr__(self) -> str:
        counts = f"{len(self.images)} images, {len(self.findings)} findings"
        return f"Evaluation({self.result!r}, {counts})"

    def to_json(self) -> dict[str, Any]:
        """As plain values, fractions in 0..1, None where nothing was scored."""
        measures = {"measures": self.measured.to_json()} if self.measured else {}
        return {
            **self.result.to_json(),
            "images": len(self.images),
            "official": self.official,
            "label_space": self.space.name,
            "mapped": self.mapped,
            "findings": [finding.to_json() for finding in self.findings],
            "semantic": self.semantic.to_json() if self.semantic else None,
            "instances": self.instances.to_json() if self.instances else None,
            **measures,
        }


def summarize_images(
    scorer: TruthScorer,
    images: ImageScores,
    notes: Iterable[Note] = (),
    *,
    strict: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Sum up the scores of images, in the order given.

    Args:
        scorer: what scored them.
        images: its scores.
        notes: further ones, about whole files.
        strict: make every finding an error.
        seed: of the bootstrap of measures beside PQ.

    Raises:
        DataError: a finding is an error; the message lists all of them.
    """
    findings = collect_findings((*notes, *images.notes()), official=scorer.official)
    errors = [f for f in findings if strict or f.severity is Severity.ERROR]
    if errors:
        raise DataError("\n".join(["the files cannot be scored:", *map(str, errors)]))
    return Evaluation(
        result=summarize(images.sum(), scorer.space),
        images=images,
        findings=findings,
        space=scorer.space,
        mapped=scorer.mapped,
        official=scorer.official,
        measured=measure_images(
            images.stats, images.layers, images.scored, scorer.space, seed=seed
        ),
    )


def evaluate(
    gt: StrPath,
    pred: StrPath,
    *,
    gt_dir: StrPath | None = None,
    pred_dir: StrPath | None = None,
    official: bool = False,
    strict: bool = False,
    semantic: StrPath | None = None,
    instances: StrPath | None = None,
    measures: Sequence[str] = (),
    seed: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """PQ of a COCO panoptic JSON against another, and what is wrong with the two.

    Ground truth in another label space is mapped into the predictions' where a map ships.
    Images are paired by their names, else by image_id; `official` pairs by image_id, as COCO's
    scorer does. An image without a prediction counts as missed, predictions of other images are
    left out.

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
        measures: what to report besides PQ, of `fuse.metrics.measures.CHOICES`.
        seed: of the bootstrap that gives them intervals.
        workers: threads, or processes where that is faster (`score_images`); by default one per
            processor.
        on_progress: called with the images done and the images in all.

    Raises:
        CocoFormatError: a JSON cannot be read.
        LabelSpaceError: the categories differ and no map ships.
        DataError: images cannot be scored; the message lists all faults of the files. Or two
            images of a run are the same one of the ground truth.
    """
    truth = read_panoptic_json(gt, gt_dir)
    predictions = read_panoptic_json(pred, pred_dir, default_space=truth.space)
    predictions, pairing_notes = _pair_images(truth, predictions, official=official)
    used_ids = (s.category_id for a in predictions.annotations.values() for s in a.segments_info)
    label_map = find_truth_map(truth.space, predictions.space, used_ids, official=official)
    scorer = TruthScorer(truth, label_map, official=official, measures=expand_measures(measures))
    given = scorer.space, truth.find_image
    semantic_file = open_semantic(to_path(semantic), *given) if semantic else None
    instance_file = read_results(to_path(instances), *given) if instances else None
    file_notes = (
        *pairing_notes,
        *check_heads(truth, predictions, mapped=label_map is not None),
        *check_components(truth, semantic_file, instance_file),
    )
    image_ids = list(truth.annotations)
    step = count_steps(on_progress, len(image_ids))
    images = score_images(
        lambda image_id: scorer.score_file(image_id, predictions),
        image_ids,
        workers,
        on_result=step,
    )
    evaluation = summarize_images(scorer, images, file_notes, strict=strict, seed=seed)
    turned = images.find_noted("turned")
    return replace(
        evaluation,
        semantic=score_semantic(semantic_file, scorer, turned) if semantic_file else None,
        instances=score_instances(instance_file, scorer, turned) if instance_file else None,
    )


def _pair_images(
    truth: PanopticDataset, predictions: PanopticDataset, *, official: bool
) -> tuple[PanopticDataset, list[Note]]:
    """The predictions under the ground truth's image ids, and notes on those that had others.

    Raises:
        DataError: see `pair_images`.
    """
    own_ids = pair_images(predictions, truth, by_id=official)
    moved = [(own_id, true_id) for true_id, own_id in own_ids.items() if own_id != true_id]
    if not moved:
        return predictions, []
    own_id, true_id = moved[0]
    code = "run-renumbered" if is_run(predictions.path.parent) else "pred-renumbered"
    example = f"{predictions.image_name(own_id)!r} from {own_id!r} to {true_id!r}"
    notes = [Note(code, example, len(moved))]
    extra = predictions.annotations.keys() - own_ids.values()
    if extra:
        names = sorted(map(predictions.image_name, extra))
        notes.append(Note("pred-extra", repr(names[0]), len(names)))
    return renumber(predictions, own_ids), notes


def write_per_image_csv(path: StrPath, evaluation: Evaluation) -> None:
    """Write a CSV with a line per image: its counts, and PQ over the categories that it has.

    Raises:
        OSError: the folder is missing or not writable.
    """
    rows = []
    for image in evaluation.images:
        stats = image.stats
        score = summarize(stats, evaluation.space).all
        counts = (int(column.sum()) for column in (stats.tp, stats.fp, stats.fn))
        pq = score.pq if score.n else ""
        iou_sum = float(stats.iou_sum.sum())
        rows.append((image.image_id, image.file_name, pq, *counts, iou_sum))
    write_table(to_path(path), CSV_COLUMNS, rows)
