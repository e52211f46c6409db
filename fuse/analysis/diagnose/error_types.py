"""The errors of two nets in one image, classified by the ground truth.

The types go by TIDE (Bolya et al. 2020) as far as it reaches: classes, masks, missed and false
instances. To these come the order of instances and the errors of a label map.
`docs/diagnose.md` says what each means; `oracle_swaps` beside this file fixes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fuse.analysis.diagnose.matching import (
    MaskCrop,
    TrueSegments,
    count_occluding_pixels,
    crop_masks,
    match_instances,
    measure_error_depths,
    measure_iou,
    order_by_occlusion,
)
from fuse.inference.prediction import ImagePrediction
from fuse.ops.matching import MATCH_IOU
from fuse.ops.segments import border_bands
from fuse.types import (
    BoolArray,
    Instances,
    Int32Array,
    Int64Array,
    LabelSpace,
    PanopticPrediction,
    SemanticPrediction,
    UInt8Array,
)

BANDS = (2, 5)  # pixels from a true border; what lies farther off is the third band
BAND_NAMES = ("2px", "5px", "far")
WHOLE_SHARE = 0.9  # of an object: a mask that covers more of it covers it whole
CONTEXT_SHARE = 0.5  # of a detection's pixels that the semantic net must give its class

# Each error type with its subtypes; it is fixed when all of these are.
ERROR_TYPES: dict[str, tuple[str, ...]] = {
    "order": ("order",),
    "classes": ("classes",),
    "masks": tuple(f"masks/{band}" for band in BAND_NAMES),
    "missed": ("missed/low-score", "missed/unseen"),
    "false": ("false/no-context", "false/other"),
    "stuff-labels": tuple(f"stuff-labels/{band}" for band in BAND_NAMES),
    "stuff-things": tuple(f"stuff-things/{band}" for band in BAND_NAMES),
    "void": ("void/unlabelled", "void/too-small"),
    "label-map": ("label-map",),
}
SUBTYPES: tuple[str, ...] = tuple(s for subtypes in ERROR_TYPES.values() for s in subtypes)

# Errors of pixels of the label map; those of the last are of objects, too.
LABEL_SUBTYPES = (
    *ERROR_TYPES["stuff-labels"],
    *ERROR_TYPES["stuff-things"],
    "void/unlabelled",
    "label-map",
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The categories of the target space that each net can predict.

    Attributes:
        instance: of the instance net.
        semantic: of the semantic net, things too where it knows them.
    """

    instance: frozenset[int]
    semantic: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class ImageErrors:
    """The errors of two nets in one image.

    Attributes:
        prediction: the label map, and the N detections that score enough.
        true: the ground truth.
        matches: int32 (N,), the true object of each detection, 0 = none.
        masks: N masks, in crops that hold their true object too.
        right_masks: the same crops as they should be; without a match as they are.
        occludes: bool (N, N), a is in front of b, and b's mask goes on behind it.
        bands: uint8 (H, W), see `fuse.ops.segments.border_bands`.
        label_errors: by subtype its pixels in the flattened label map: int64 (P,).
        detections: the subtype of each detection of a wrong class, or without a match.
        missed: the subtype of each true object without a match.
        mask_errors: the subtypes that each mask has.
        subtypes: all that occur here.
        encoded: masks that `oracle_swaps` has encoded, so that it does so once.
    """

    prediction: ImagePrediction
    true: TrueSegments
    matches: Int32Array
    masks: tuple[MaskCrop, ...]
    right_masks: tuple[MaskCrop, ...]
    occludes: BoolArray
    bands: UInt8Array
    label_errors: dict[str, Int64Array]
    detections: dict[int, str]
    missed: dict[int, str]
    mask_errors: tuple[frozenset[str], ...]
    subtypes: frozenset[str]
    encoded: dict[Any, dict[str, Any]] = field(default_factory=dict)


def classify_errors(
    prediction: ImagePrediction,
    truth: PanopticPrediction,
    space: LabelSpace,
    vocabulary: Vocabulary,
    *,
    score_threshold: float,
    stuff_pixels: float,
) -> ImageErrors:
    """Find the errors of an image.

    Args:
        prediction: all that was saved, the instances' classes chosen; those below the threshold
            say why objects are missed.
        truth: of the same image, in the same label space.
        space: the label space.
        vocabulary: of the nets.
        score_threshold: of the rule.
        stuff_pixels: fewest pixels of a stuff segment by the rule.
    """
    semantic, instances = prediction.label(), prediction.instances
    true = TrueSegments.of(truth, space)
    counted = instances.scores >= score_threshold
    found = instances.select(counted, instances.category_ids)
    unseen = instances.select(~counted, instances.category_ids)
    crops = crop_masks(found)
    matches = match_instances(crops, found.category_ids, true)
    bands = border_bands(true.index_map, BANDS)
    pixels = count_occluding_pixels(crops, matches, true, bands == 0)
    by_score = np.argsort(-found.scores, kind="stable")
    occludes = _find_occluders(pixels, by_score) & _extends_behind(crops, matches, true)
    masks, right_masks = _correct_masks(crops, matches, occludes, true)
    label_errors = _find_label_errors(semantic.label_map, true, bands, space, vocabulary)
    detections = _classify_detections(found, crops, matches, true, semantic, vocabulary)
    missed = _classify_missed(unseen, matches, true, vocabulary)
    mask_errors = _classify_masks(masks, right_masks, occludes, bands)
    occurring = {*label_errors, *detections.values(), *missed.values()}.union(*mask_errors)
    # A match covers more than half of either segment, so a larger one is never too small.
    if (true.areas[1:][~true.isthing[1:]] < 2 * stuff_pixels).any():
        occurring.add("void/too-small")
    return ImageErrors(
        prediction=ImagePrediction(semantic, found),
        true=true,
        matches=matches,
        masks=masks,
        right_masks=right_masks,
        occludes=occludes,
        bands=bands,
        label_errors=label_errors,
        detections=detections,
        missed=missed,
        mask_errors=mask_errors,
        subtypes=frozenset(occurring),
    )


def _find_occluders(pixels: Int64Array, by_score: Int64Array) -> BoolArray:
    """Which detection is in front of which, where their masks overlap on either (N, N)."""
    order = by_score[order_by_occlusion(pixels[np.ix_(by_score, by_score)])]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return (pixels + pixels.T > 0) & (rank[:, np.newaxis] < rank)


def _extends_behind(
    crops: Sequence[MaskCrop], matches: Int32Array, true: TrueSegments
) -> BoolArray:
    """Whether b's mask goes on behind the object of a, and is not just poor: (N, N) by a, b.

    A poor mask spills over an object no deeper than it is wrong elsewhere. One that goes deeper,
    or over nearly all of the object, goes on behind it.
    """
    extends = np.zeros((len(crops), len(crops)), dtype=np.bool_)
    for index in np.flatnonzero(matches).tolist():
        crop, match = crops[index], int(matches[index])
        depths = measure_error_depths(crop, match, true)
        elsewhere = np.delete(depths, np.setdiff1d(matches, [0, match])).max()
        covered = np.bincount(true.index_map[crop.slices][crop.mask], minlength=len(true.areas))
        is_behind = (depths > elsewhere + BANDS[0]) | (covered > WHOLE_SHARE * true.areas)
        extends[:, index] = is_behind[matches]
    return extends


def _correct_masks(
    crops: list[MaskCrop], matches: Int32Array, occludes: BoolArray, true: TrueSegments
) -> tuple[tuple[MaskCrop, ...], tuple[MaskCrop, ...]]:
    """Each mask in a crop that holds its true object, and as it should be.

    A right mask is the true object and, as before, what it covers of objects in front of it: who
    gets these pixels is an error of order and not of the mask.
    """
    masks, right_masks = [], []
    for index, (crop, match) in enumerate(zip(crops, matches.tolist(), strict=True)):
        mask = right_mask = crop
        if match:
            mask = crop.extend(true.bboxes[match])
            numbers = true.index_map[mask.slices]
            in_front = np.zeros(len(true.areas), dtype=np.bool_)
            in_front[matches[occludes[:, index]]] = True
            right = (numbers == match) | (mask.mask & in_front[numbers])
            right_mask = MaskCrop(right, mask.top, mask.left)
        masks.append(mask)
        right_masks.append(right_mask)
    return tuple(masks), tuple(right_masks)


def _find_label_errors(
    label_map: Int32Array,
    true: TrueSegments,
    bands: UInt8Array,
    space: LabelSpace,
    vocabulary: Vocabulary,
) -> dict[str, Int64Array]:
    """By subtype, the pixels of the flattened label map that are wrong.

    Nothing is wrong on void. On things neither a thing nor void is wrong: the rule takes neither
    from the label map.
    """
    isthing = np.zeros(max(space.by_id) + 1, dtype=np.bool_)
    isthing[list(space.thing_ids)] = True
    true_labels = true.category_ids[true.index_map]
    on_thing = true.isthing[true.index_map]
    as_thing, as_stuff = isthing[label_map], (label_map > 0) & ~isthing[label_map]
    wrong = (true_labels > 0) & ~on_thing & (label_map != true_labels)
    unknown = wrong & np.isin(
        true_labels, [i for i in space.stuff_ids if i not in vocabulary.semantic]
    )
    wrong &= ~unknown
    masks = {"void/unlabelled": wrong & (label_map == 0), "label-map": unknown}
    for key, mask in (
        ("stuff-labels", wrong & as_stuff),
        ("stuff-things", (wrong & as_thing) | (on_thing & as_stuff)),
    ):
        masks |= {s: mask & (bands == band) for band, s in enumerate(ERROR_TYPES[key])}
    found = {subtype: np.flatnonzero(mask) for subtype, mask in masks.items()}
    return {subtype: pixels for subtype, pixels in found.items() if len(pixels)}


def _classify_detections(
    found: Instances,
    crops: list[MaskCrop],
    matches: Int32Array,
    true: TrueSegments,
    semantic: SemanticPrediction,
    vocabulary: Vocabulary,
) -> dict[int, str]:
    """The subtype of each detection of a wrong class, or without a match.

    The context of a false detection is the pixels that the semantic net gives its class. A net
    that does not know the class, as many know stuff only, leaves them void.
    """
    subtypes = {}
    right_ids = true.category_ids[matches]
    for index in np.flatnonzero(found.category_ids != right_ids).tolist():
        category_id, right_id = int(found.category_ids[index]), int(right_ids[index])
        if right_id:
            subtypes[index] = "classes" if right_id in vocabulary.instance else "label-map"
            continue
        labels = semantic.label_map[crops[index].slices][crops[index].mask]
        agreed = np.count_nonzero(
            labels == (category_id if category_id in vocabulary.semantic else 0)
        )
        has_context = agreed >= CONTEXT_SHARE * len(labels)
        subtypes[index] = "false/other" if has_context else "false/no-context"
    return subtypes


def _classify_missed(
    unseen: Instances, matches: Int32Array, true: TrueSegments, vocabulary: Vocabulary
) -> dict[int, str]:
    """The subtype of each true object without a match; unseen detections score too little."""
    missed = np.setdiff1d(np.flatnonzero(true.is_object), matches)
    candidates = unseen.select(
        np.isin(unseen.category_ids, true.category_ids[missed]), unseen.category_ids
    )
    iou = measure_iou(crop_masks(candidates), true)
    same = candidates.category_ids[:, np.newaxis] == true.category_ids
    has_low_score = (same & (iou > MATCH_IOU)).any(axis=0)
    return {
        number: "label-map"
        if int(true.category_ids[number]) not in vocabulary.instance
        else "missed/low-score"
        if has_low_score[number]
        else "missed/unseen"
        for number in missed.tolist()
    }


def _classify_masks(
    masks: Sequence[MaskCrop],
    right_masks: Sequence[MaskCrop],
    occludes: BoolArray,
    bands: UInt8Array,
) -> tuple[frozenset[str], ...]:
    """The subtypes that each mask has."""
    found = []
    for index, (mask, right) in enumerate(zip(masks, right_masks, strict=True)):
        wrong = np.unique(bands[mask.slices][mask.mask ^ right.mask]).tolist()
        subtypes = {ERROR_TYPES["masks"][band] for band in wrong}
        found.append(frozenset(subtypes | {"order"} if occludes[:, index].any() else subtypes))
    return tuple(found)
