"""Where the missing PQ went: each mistake made right and fused again, on kept predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from fuse.analysis.diagnose.diagnosis import ClassLedger, Counts, Diagnosis, Entry, ImageLedger
from fuse.analysis.diagnose.error_types import (
    BAND_NAMES,
    LINES,
    PARTS,
    Answers,
    ImageStudy,
    Reach,
    study_image,
)
from fuse.analysis.diagnose.oracle_swaps import swap
from fuse.analysis.diagnose.shapley import (
    Orders,
    Split,
    Trials,
    draw_orders,
    split_loss,
    try_orders,
)
from fuse.analysis.disagreement import find_regions
from fuse.evaluation.evaluate import TruthScorer
from fuse.fusion import least_stuff_pixels
from fuse.inference.prediction import ImagePrediction, choose_classes, fuse_image
from fuse.inference.presets import FusionConfig
from fuse.io.coco.panoptic import ImageId, read_panoptic_json
from fuse.io.files import take_text
from fuse.labels import find_truth_map
from fuse.metrics.counts import stack_counts
from fuse.metrics.pq import match_segments, sum_stats, summarize
from fuse.metrics.segments import list_matches
from fuse.ops.matching import BoolArray
from fuse.ops.memory import keep_freed_memory
from fuse.runs.saved_predictions import SavedPredictions, open_saved_predictions
from fuse.threads import map_threads
from fuse.types import Float64Array, LabelSpace, PanopticPrediction, SemanticPrediction

ORDERS = 8  # tried by default: four and their reverses
IOU_BINS = 5  # of the segments without a match, from IoU 0 to 0.5

# What lies near a true border, whichever line it belongs to.
BORDERS = {
    f"border/{name}": frozenset(
        part for part in PARTS if part.rpartition("/")[2] in BAND_NAMES[: place + 1]
    )
    for place, name in enumerate(BAND_NAMES[:-1])
}
ALONE = {
    **{line: frozenset(parts) for line, parts in LINES.items()},
    **{part: frozenset([part]) for part in PARTS},
    **BORDERS,
}


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What all images of a run have in common.

    Attributes:
        space: the label space.
        fusion: the run's rule.
        choices: what an instance may be instead, for `choose_classes`.
        reach: what the nets can say.
        orders: what is tried.
    """

    space: LabelSpace
    fusion: FusionConfig
    choices: Mapping[int, Sequence[int]]
    reach: Reach
    orders: Orders


@take_text
def diagnose(
    predictions: Path,
    gt: Path,
    *,
    gt_dir: Path | None = None,
    orders: int = ORDERS,
    seed: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Say what each kind of mistake costs, by making it right and fusing again.

    Args:
        predictions: output folder of a run with kept predictions.
        gt: COCO panoptic JSON.
        gt_dir: its PNGs, where they are not in the folder of its name.
        orders: in how many orders the mistakes are made right; odd numbers are rounded up.
        seed: which orders.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        DataError: the ground truth knows none of the images, or one of them twice.
        FuseError: see `open_saved_predictions` and `read_panoptic_json`.
    """
    keep_freed_memory()
    run = open_saved_predictions(predictions)
    truth = read_panoptic_json(gt, gt_dir)
    scorer = TruthScorer(truth, find_truth_map(truth.space, run.space))
    pairs = run.match_truth(truth)
    drawn = draw_orders(PARTS, ALONE, pairs=(orders + 1) // 2, seed=seed)
    bench = Bench(run.space, run.fusion, run.choices, find_reach(run), drawn)

    def look(pair: tuple[ImageId, ImageId]) -> tuple[Trials, ImageLedger]:
        own_id, true_id = pair
        kept = run.load(own_id)
        truth = scorer.load(true_id, kept.size)
        file_name = run.dataset.image_name(own_id)
        return diagnose_image(kept, truth, bench, image_id=true_id, file_name=file_name)

    tried: list[Trials] = []
    images: list[ImageLedger] = []
    with map_threads(look, pairs, workers) as looked:
        for trials, image in looked:
            tried = [tried[0] + trials] if tried else [trials]
            images.append(image)
            if on_progress:
                on_progress(len(images), len(pairs))
    return replace(
        sum_up(tried[0], images, bench, mapped=scorer.mapped),
        unknown=len(run.dataset.annotations) - len(pairs),
        lacking=len(truth.annotations) - len(pairs),
    )


def find_reach(run: SavedPredictions) -> Reach:
    """The categories that the label maps of a run lead to."""
    things = {target_id for target_id, *_ in run.targets["instance"].values()}
    if run.fusion.class_choice != "commonest":
        things.update(*run.choices.values())
    kept = run.load(next(iter(run.dataset.images))).semantic
    if isinstance(kept, SemanticPrediction):
        said = {target_id for target_id, *_ in run.targets["semantic"].values()}
    else:
        said = set(kept.category_ids.tolist())
    return Reach(frozenset(things) - {0}, frozenset(said) - {0})


def diagnose_image(
    kept: ImagePrediction,
    truth: PanopticPrediction,
    bench: Bench,
    *,
    image_id: ImageId,
    file_name: str,
) -> tuple[Trials, ImageLedger]:
    """Try all orders on one image.

    Args:
        kept: what the nets said.
        truth: ground truth of the image, in the same label space.
        bench: what the images have in common.
        image_id: the ground truth's.
        file_name: of the image.

    Returns:
        Counts with parts made right, and the ledger of the image alone.
    """
    space, fusion = bench.space, bench.fusion
    study = _study(kept, truth, bench)

    def count(parts: frozenset[str]) -> Float64Array:
        fused = fuse_answers(swap(study, parts), truth, space, fusion)
        (counts,) = stack_counts([match_segments(truth, fused)], space)
        return cast(Float64Array, counts)

    trials = try_orders(bench.orders, study.parts, count)
    split = split_loss(trials, bench.orders, _isthing(space))
    fused = fuse_answers(study.answers, truth, space, fusion)
    said = ImagePrediction(study.answers.semantic, study.answers.instances)
    regions = find_regions(said, space, score_threshold=fusion.score_threshold)
    return trials, ImageLedger(
        image_id=image_id,
        file_name=file_name,
        pq=float(split.before[0]),
        shares=_line_shares(split, 0),
        rest=float(split.rest[0]),
        stats=match_segments(truth, fused),
        segments=list_matches(truth, fused),
        disputed=sum(region.area for region in regions) / fused.panoptic_map.size,
    )


def _study(kept: ImagePrediction, truth: PanopticPrediction, bench: Bench) -> ImageStudy:
    """The mistakes in a kept prediction, after the instances' classes are chosen."""
    semantic = kept.label()
    return study_image(
        semantic,
        choose_classes(semantic, kept.instances, bench.space, bench.fusion, bench.choices),
        truth,
        bench.space,
        bench.reach,
        score_threshold=bench.fusion.score_threshold,
        stuff_pixels=least_stuff_pixels(bench.fusion.stuff_area, semantic.label_map.size),
    )


def fuse_answers(
    answers: Answers, truth: PanopticPrediction, space: LabelSpace, fusion: FusionConfig
) -> PanopticPrediction:
    """Fuse by a run's rule; the instances' classes are chosen already.

    Where small stuff is kept, what the rule would drop stays if it is right, and only then.
    """
    plain = replace(fusion, class_choice="commonest")
    if not answers.keeps_small:
        return fuse_image(answers.semantic, answers.instances, space, plain, {})
    every = replace(plain, stuff_area=0)
    fused = fuse_image(answers.semantic, answers.instances, space, every, {})
    least = least_stuff_pixels(fusion.stuff_area, fused.panoptic_map.size)
    small = {s.segment_id for s in fused.segments_info if s.area < least and s.score is None}
    right = {m.pred_id for m in list_matches(truth, fused) if m.kind == "tp"} if small else set()
    kept = (s for s in fused.segments_info if s.segment_id not in small - right)
    return PanopticPrediction(fused.panoptic_map, tuple(kept))


def sum_up(
    trials: Trials, images: Sequence[ImageLedger], bench: Bench, *, mapped: str | None = None
) -> Diagnosis:
    """The diagnosis of all images.

    Args:
        trials: summed over the images.
        images: their own ledgers.
        bench: what they have in common.
        mapped: how the ground truth was carried into the run's label space.
    """
    space = bench.space
    split = split_loss(trials, bench.orders, _isthing(space))
    result = summarize(sum_stats(image.stats for image in images), space)
    classes = [
        ClassLedger(
            category_id=category_id,
            name=scored.name,
            isthing=scored.isthing,
            pq=scored.score.pq,
            shares=_line_shares(split, column),
            rest=float(split.rest[column]),
        )
        for column, (category_id, scored) in enumerate(result.per_category.items(), start=3)
        if scored.score.n
    ]
    return Diagnosis(
        space=space,
        fusion=bench.fusion,
        result=result,
        lines=tuple(_make_entry(split, line, parts) for line, parts in LINES.items()),
        rest=float(split.rest[0]),
        borders=tuple(_make_entry(split, key, parts) for key, parts in BORDERS.items()),
        classes=tuple(classes),
        images=tuple(images),
        counts=_count_unmatched(images),
        disputed=float(np.mean([image.disputed for image in images])),
        mapped=mapped,
    )


def _isthing(space: LabelSpace) -> BoolArray:
    return np.array([category.isthing for category in space.categories])


def _line_shares(split: Split, column: int) -> dict[str, float]:
    """What each line owes of one score."""
    return {
        line: float(sum(split.shares[PARTS.index(part), column] for part in parts))
        for line, parts in LINES.items()
    }


def _make_entry(split: Split, key: str, parts: Iterable[str]) -> Entry:
    """A line of the ledger, and its parts where it has several."""
    places = [PARTS.index(part) for part in parts]
    share, things, stuff = split.shares[places, :3].sum(axis=0).tolist()
    several = len(places) > 1 and key in LINES
    return Entry(
        key=key,
        alone=float(split.alone[list(ALONE).index(key), 0]),
        share=share,
        things=things,
        stuff=stuff,
        error=split.error(places),
        parts=tuple(_make_entry(split, part, [part]) for part in parts) if several else (),
    )


def _count_unmatched(images: Iterable[ImageLedger]) -> Counts:
    """Segments without a match, by their best IoU and by what they were taken for."""
    by_iou = {kind: [0] * IOU_BINS for kind in ("fn", "fp")}
    confusions: Counter[tuple[int, int]] = Counter()
    for image in images:
        for segment in image.segments:
            if segment.kind not in by_iou:
                continue
            step = min(int(segment.iou * 2 * IOU_BINS), IOU_BINS - 1)
            by_iou[segment.kind][step] += 1
            if segment.kind == "fn" and segment.other_category_id:
                confusions[segment.category_id, segment.other_category_id] += 1
    ranked = sorted(confusions.items(), key=lambda pair: (-pair[1], pair[0]))
    return Counts(
        missed=tuple(by_iou["fn"]),
        false=tuple(by_iou["fp"]),
        confusions=tuple((*pair, count) for pair, count in ranked),
    )
