"""Where the missing PQ went: errors are fixed by the ground truth, and saved predictions fused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fuse.analysis.diagnose.diagnosis import (
    ClassDiagnosis,
    Diagnosis,
    ErrorCost,
    ImageDiagnosis,
    UnmatchedSegments,
)
from fuse.analysis.diagnose.error_types import (
    BAND_NAMES,
    ERROR_TYPES,
    SUBTYPES,
    Vocabulary,
    classify_errors,
)
from fuse.analysis.diagnose.oracle_swaps import fuse_fixed, swap
from fuse.analysis.diagnose.shapley import (
    Attribution,
    SwapPlan,
    attribute_gap,
    draw_orders,
    evaluate_swaps,
)
from fuse.analysis.disagreement import find_regions
from fuse.analysis.opened_run import read_truth_of
from fuse.errors import ConfigError
from fuse.fusion import METHODS, FusionConfig, choose_classes, least_stuff_pixels
from fuse.inference.prediction import ImagePrediction
from fuse.io.coco.panoptic import ImageId
from fuse.io.files import StrPath
from fuse.metrics.matching import list_matches, match_segments
from fuse.metrics.pq import stack_counts, sum_stats, summarize
from fuse.runs.saved_predictions import SavedPredictions, open_saved_predictions
from fuse.threads import count_steps, map_threads
from fuse.types import BoolArray, Float64Array, LabelSpace, PanopticPrediction
from fuse.types.label_space import id_to_file

ORDERS = 8  # tried by default: four and their reverses
IOU_BINS = 5  # of the segments without a match, from IoU 0 to 0.5

# What lies near a true border, whichever error type it belongs to.
BORDERS = {
    f"border/{name}": tuple(
        subtype for subtype in SUBTYPES if subtype.rpartition("/")[2] in BAND_NAMES[: place + 1]
    )
    for place, name in enumerate(BAND_NAMES[:-1])
}
ALONE = {
    key: frozenset(subtypes)
    for key, subtypes in {**ERROR_TYPES, **{s: (s,) for s in SUBTYPES}, **BORDERS}.items()
}


@dataclass(frozen=True, slots=True, eq=False)
class RunContext:
    """What all images of a run have in common.

    Attributes:
        space: the label space.
        fusion: the run's rule.
        choices: what an instance may be instead, for `choose_classes`.
        vocabulary: what the nets can predict.
        plan: the oracle swaps to evaluate.
    """

    space: LabelSpace
    fusion: FusionConfig
    choices: Mapping[int, Sequence[int]]
    vocabulary: Vocabulary
    plan: SwapPlan

    @property
    def isthing(self) -> BoolArray:
        """Of each category: bool (K,)."""
        return np.array([category.isthing for category in self.space.categories])


def diagnose(
    predictions: StrPath,
    gt: StrPath,
    *,
    gt_dir: StrPath | None = None,
    orders: int = ORDERS,
    seed: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Say what each error type costs, by fixing it and fusing again.

    Args:
        predictions: output folder of a run with saved predictions.
        gt: COCO panoptic JSON.
        gt_dir: its PNGs, where they are not in the folder of its name.
        orders: in how many orders the errors are fixed; odd numbers are rounded up.
        seed: which orders.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        ConfigError: the run's rule takes the stuff of an instance net, of which nothing is told.
        FuseError: see `open_saved_predictions` and `read_truth_of`.
    """
    run = open_saved_predictions(predictions)
    if METHODS[run.fusion.rule].takes_stuff:
        raise ConfigError(
            f"{predictions}: its rule {run.fusion.rule!r} has stuff from the instance net, whose "
            "errors are not told apart here; fuse it again by another (fuse combine --rule overlap)"
        )
    scorer, pairs = read_truth_of(run, gt, gt_dir)
    plan = draw_orders(SUBTYPES, ALONE, pairs=(orders + 1) // 2, seed=seed)
    context = RunContext(run.space, run.fusion, run.choices, find_vocabulary(run), plan)

    def diagnose_pair(pair: tuple[ImageId, ImageId]) -> tuple[Float64Array, ImageDiagnosis]:
        own_id, true_id = pair
        prediction = run.load(own_id)
        truth = scorer.load(true_id, prediction.size)
        name = run.dataset.image_name(own_id)
        return diagnose_image(prediction, truth, context, image_id=true_id, file_name=name)

    totals = np.zeros((len(plan.list_fixed()), 3, len(run.space.categories)))
    images: list[ImageDiagnosis] = []
    step = count_steps(on_progress, len(pairs))
    with map_threads(diagnose_pair, pairs, workers, on_result=step) as diagnosed:
        for counts, image in diagnosed:
            totals += counts
            images.append(image)
    return replace(
        sum_up(totals, images, context),
        mapped=scorer.mapped,
        unknown=len(run.dataset.annotations) - len(pairs),
        lacking=len(scorer.truth.annotations) - len(pairs),
        run=str(predictions),
    )


def find_vocabulary(run: SavedPredictions) -> Vocabulary:
    """The categories that the label maps of a run lead to."""
    instance = {target_id for target_id, *_ in run.targets["instance"].values()}
    if run.fusion.class_choice != "commonest":
        instance.update(*run.choices.values())
    return Vocabulary(frozenset(instance) - {0}, run.find_semantic_ids())


def diagnose_image(
    prediction: ImagePrediction,
    truth: PanopticPrediction,
    context: RunContext,
    *,
    image_id: ImageId,
    file_name: str,
) -> tuple[Float64Array, ImageDiagnosis]:
    """Classify the errors of one image, evaluate the oracle swaps, attribute its missing PQ.

    Returns:
        Counts as of `evaluate_swaps`, and the diagnosis of the image alone.
    """
    space, fusion = context.space, context.fusion
    semantic = prediction.label()
    instances = choose_classes(semantic, prediction.instances, space, fusion, context.choices)
    errors = classify_errors(
        ImagePrediction(semantic, instances),
        truth,
        space,
        context.vocabulary,
        score_threshold=fusion.score_threshold,
        stuff_pixels=least_stuff_pixels(fusion.stuff_area, semantic.label_map.size),
    )

    def count(fixed: frozenset[str]) -> Float64Array:
        stats = match_segments(truth, fuse_fixed(errors, fixed, truth, space, fusion))
        counts: Float64Array = stack_counts([stats], space)[0]
        return counts

    counts = evaluate_swaps(context.plan, errors.subtypes, count)
    attribution = attribute_gap(counts, context.plan, context.isthing)
    fused = fuse_fixed(errors, (), truth, space, fusion)
    regions = find_regions(swap(errors, ()), space, score_threshold=fusion.score_threshold)
    return counts, ImageDiagnosis(
        image_id=image_id,
        file_name=file_name,
        pq=float(attribution.before[0]),
        shares=_share_by_type(attribution, 0),
        rest=float(attribution.rest[0]),
        stats=match_segments(truth, fused),
        segments=list_matches(truth, fused),
        disputed=sum(region.area for region in regions) / fused.panoptic_map.size,
    )


def sum_up(
    counts: Float64Array, images: Sequence[ImageDiagnosis], context: RunContext
) -> Diagnosis:
    """The diagnosis of all images, whose counts were summed."""
    attribution = attribute_gap(counts, context.plan, context.isthing)
    result = summarize(sum_stats(image.stats for image in images), context.space)
    classes = [
        ClassDiagnosis(
            category_id=id_to_file(category_id),
            name=scored.name,
            isthing=scored.isthing,
            pq=scored.score.pq,
            shares=_share_by_type(attribution, column),
            rest=float(attribution.rest[column]),
        )
        for column, (category_id, scored) in enumerate(result.per_category.items(), start=3)
        if scored.score.n
    ]
    return Diagnosis(
        space=context.space,
        fusion=context.fusion,
        result=result,
        errors=tuple(_make_cost(attribution, key, s) for key, s in ERROR_TYPES.items()),
        rest=float(attribution.rest[0]),
        borders=tuple(_make_cost(attribution, key, s) for key, s in BORDERS.items()),
        classes=tuple(classes),
        images=tuple(images),
        counts=_count_unmatched(images),
        disputed=float(np.mean([image.disputed for image in images])),
    )


def _share_by_type(attribution: Attribution, column: int) -> dict[str, float]:
    """What each error type accounts for in one score."""
    return {
        key: float(sum(attribution.shares[SUBTYPES.index(s), column] for s in subtypes))
        for key, subtypes in ERROR_TYPES.items()
    }


def _make_cost(attribution: Attribution, key: str, subtypes: Sequence[str]) -> ErrorCost:
    """The cost of some subtypes together; of an error type, of each of them too."""
    places = [SUBTYPES.index(subtype) for subtype in subtypes]
    share, things, stuff = attribution.shares[places, :3].sum(axis=0).tolist()
    parts = subtypes if key in ERROR_TYPES and len(subtypes) > 1 else ()
    return ErrorCost(
        key=key,
        alone=float(attribution.alone[list(ALONE).index(key), 0]),
        share=share,
        things=things,
        stuff=stuff,
        error=attribution.standard_error(places),
        parts=tuple(_make_cost(attribution, part, [part]) for part in parts),
    )


def _count_unmatched(images: Iterable[ImageDiagnosis]) -> UnmatchedSegments:
    """Segments without a match, by their best IoU and by what they were taken for."""
    by_iou = {kind: [0] * IOU_BINS for kind in ("fn", "fp")}
    confusions: Counter[tuple[int, int]] = Counter()
    for segment in (segment for image in images for segment in image.segments):
        if segment.kind not in by_iou:
            continue
        step = min(int(segment.iou * 2 * IOU_BINS), IOU_BINS - 1)
        by_iou[segment.kind][step] += 1
        if segment.kind == "fn" and segment.other_category_id:
            confusions[segment.category_id, segment.other_category_id] += 1
    ranked = sorted(confusions.items(), key=lambda pair: (-pair[1], pair[0]))
    return UnmatchedSegments(
        missed=tuple(by_iou["fn"]),
        false=tuple(by_iou["fp"]),
        confusions=tuple((*pair, count) for pair, count in ranked),
    )
