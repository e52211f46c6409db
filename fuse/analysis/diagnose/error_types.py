"""The mistakes in what two nets said of an image, sorted into kinds by the ground truth.

`docs/diagnose.md` says what each kind means; `oracle_swaps` beside this file makes them right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fuse.analysis.diagnose.matching import (
    BoolArray,
    Int64Array,
    TrueSegments,
    Window,
    count_fronts,
    cut_masks,
    link_instances,
    measure_depths,
    measure_iou,
    order_by_occlusion,
)
from fuse.ops.borders import border_bands
from fuse.ops.matching import MATCH_IOU
from fuse.types import (
    Instances,
    Int32Array,
    LabelSpace,
    PanopticPrediction,
    SemanticPrediction,
    UInt8Array,
)

BANDS = (2, 5)  # pixels from a true border; what lies farther off is the third band
BAND_NAMES = ("2px", "5px", "far")
WHOLE_SHARE = 0.9  # of an object: a mask that claims more of it claims it whole
EVIDENCE_SHARE = 0.5  # of a detection's pixels that the semantic net must call as it does

# The lines of the ledger and their parts; a line is right when all its parts are.
LINES: dict[str, tuple[str, ...]] = {
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
PARTS: tuple[str, ...] = tuple(part for parts in LINES.values() for part in parts)

# What may be wrong with a pixel of the label map: the part by fault code, 0 is no fault.
FAULTS = ("", *LINES["stuff-labels"], *LINES["stuff-things"], "void/unlabelled", "label-map")


@dataclass(frozen=True, slots=True)
class Reach:
    """The categories of the target space that each net can say.

    Attributes:
        things: of the instance net.
        labels: of the semantic net, things too where it knows them.
    """

    things: frozenset[int]
    labels: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a rule is asked to fuse.

    Attributes:
        semantic: the label map.
        instances: those that score enough.
        keeps_small: whether a stuff segment that is right stays however small it is.
    """

    semantic: SemanticPrediction
    instances: Instances
    keeps_small: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ImageStudy:
    """The mistakes in what the nets said of one image; N detections that score enough.

    Attributes:
        answers: what they said.
        true: the ground truth.
        links: int32 (N,), the true object that each detection means, 0 = none.
        masks: N masks, cut to hold their true object too.
        right_masks: the same cuts as they should be; of a detection without a link its own.
        in_front: bool (N, N), a is in front of b and hides some of what b's mask shows.
        bands: uint8 (H, W), see `fuse.ops.borders.border_bands`.
        faults: uint8 (H, W), places in FAULTS.
        true_labels: int32 (H, W), the true category per pixel, 0 = void.
        class_part: by detection of a wrong class, the part that mends it.
        false_part: by detection without a link, the part that takes it away.
        missed_part: by true object without a link, the part that brings it.
        mask_parts: the parts that change each mask.
        parts: those of PARTS that change anything here.
        codes: masks that `oracle_swaps` has encoded, so that it does so once.
    """

    answers: Answers
    true: TrueSegments
    links: Int32Array
    masks: tuple[Window, ...]
    right_masks: tuple[Window, ...]
    in_front: BoolArray
    bands: UInt8Array
    faults: UInt8Array
    true_labels: Int32Array
    class_part: dict[int, str]
    false_part: dict[int, str]
    missed_part: dict[int, str]
    mask_parts: tuple[frozenset[str], ...]
    parts: frozenset[str]
    codes: dict[Any, dict[str, Any]] = field(default_factory=dict)


def study_image(
    semantic: SemanticPrediction,
    instances: Instances,
    truth: PanopticPrediction,
    space: LabelSpace,
    reach: Reach,
    *,
    score_threshold: float,
    stuff_pixels: float,
) -> ImageStudy:
    """Find the mistakes.

    Args:
        semantic: label map of the semantic net.
        instances: all that were kept; those below the threshold say why objects are missed.
        truth: of the same image, in the same label space.
        space: the label space.
        reach: what the nets can say.
        score_threshold: of the rule.
        stuff_pixels: fewest pixels of a stuff segment by the rule.
    """
    true = TrueSegments.of(truth, space)
    counted = instances.scores >= score_threshold
    found = instances.select(counted, instances.category_ids)
    windows = cut_masks(found)
    links = link_instances(windows, found.category_ids, true)
    bands = border_bands(true.index_map, BANDS)
    by_score = np.argsort(-found.scores, kind="stable")
    in_front = _find_fronts(count_fronts(windows, links, true, bands == 0), by_score)
    in_front &= _shows_hidden(windows, links, true)
    masks, right_masks = _right_masks(windows, links, in_front, true)
    faults, true_labels = _find_label_faults(semantic.label_map, true, bands, space, reach)
    unseen = instances.select(~counted, instances.category_ids)
    mask_parts = tuple(_list_mask_parts(masks, right_masks, in_front, bands))
    study = ImageStudy(
        answers=Answers(semantic, found),
        true=true,
        links=links,
        masks=masks,
        right_masks=right_masks,
        in_front=in_front,
        bands=bands,
        faults=faults,
        true_labels=true_labels,
        class_part=_find_wrong_classes(found.category_ids, links, true, reach),
        false_part=_find_false(windows, links, found, semantic, reach),
        missed_part=_find_missed(unseen, links, true, reach),
        mask_parts=mask_parts,
        parts=frozenset().union(*mask_parts),
    )
    return replace(study, parts=study.parts.union(_list_parts(study, stuff_pixels)))


def _find_fronts(fronts: Int64Array, by_score: Int64Array) -> BoolArray:
    """Which detection is in front of which, where both claim the same pixels (N, N)."""
    order = by_score[order_by_occlusion(fronts[np.ix_(by_score, by_score)])]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return (fronts + fronts.T > 0) & (rank[:, np.newaxis] < rank)


def _shows_hidden(windows: Sequence[Window], links: Int32Array, true: TrueSegments) -> BoolArray:
    """Whether b's mask shows what the object of a hides, and is not just poor: (N, N) by a, b.

    A poor mask spills over an object no deeper than it is wrong elsewhere. One that goes deeper,
    or over nearly all of the object, goes on behind it.
    """
    shows = np.zeros((len(windows), len(windows)), dtype=np.bool_)
    for index in np.flatnonzero(links).tolist():
        window, link = windows[index], int(links[index])
        depths = measure_depths(window, link, true)
        elsewhere = np.delete(depths, np.setdiff1d(links, [0, link])).max()
        below = true.index_map[window.place][window.mask]
        claimed = np.bincount(below, minlength=len(true.areas))
        goes_on = (depths > elsewhere + BANDS[0]) | (claimed > WHOLE_SHARE * true.areas)
        shows[:, index] = goes_on[links]
    return shows


def _right_masks(
    windows: list[Window],
    links: Int32Array,
    in_front: BoolArray,
    true: TrueSegments,
) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
    """Each mask cut to hold its true object, and as it should be.

    A right mask is the true object and, as before, what it shows of objects in front of it:
    who gets these pixels is a matter of order and not of the mask.
    """
    masks, right_masks = [], []
    for index, (window, link) in enumerate(zip(windows, links.tolist(), strict=True)):
        if not link:
            masks.append(window)
            right_masks.append(window)
            continue
        grown = window.grow(true.bboxes[link])
        below = true.index_map[grown.place]
        is_hidden = np.zeros(len(true.areas), dtype=np.bool_)
        is_hidden[links[in_front[:, index]]] = True
        masks.append(grown)
        right_mask = (below == link) | (grown.mask & is_hidden[below])
        right_masks.append(Window(right_mask, grown.top, grown.left))
    return tuple(masks), tuple(right_masks)


def _find_label_faults(
    label_map: Int32Array, true: TrueSegments, bands: UInt8Array, space: LabelSpace, reach: Reach
) -> tuple[UInt8Array, Int32Array]:
    """What is wrong with each pixel of the label map, and what it should be.

    Nothing is wrong on void. On things it does not matter which thing or that nothing is seen:
    the rule takes neither from the label map.
    """
    isthing = np.zeros(max(space.by_id) + 1, dtype=np.bool_)
    isthing[list(space.thing_ids)] = True
    true_labels = true.category_ids[true.index_map]
    on_thing = true.isthing[true.index_map]
    on_stuff = (true_labels > 0) & ~on_thing
    says_thing, says_stuff = isthing[label_map], (label_map > 0) & ~isthing[label_map]
    faults = np.zeros(label_map.shape, dtype=np.uint8)
    by_band = len(LINES["stuff-labels"])
    wrong = on_stuff & (label_map != true_labels)
    for mask, first in (
        (wrong & says_stuff, 1),
        ((wrong & says_thing) | (on_thing & says_stuff), 1 + by_band),
    ):
        faults[mask] = first + bands[mask]
    faults[wrong & (label_map == 0)] = FAULTS.index("void/unlabelled")
    unsayable = [i for i in space.stuff_ids if i not in reach.labels]
    if unsayable:
        faults[wrong & np.isin(true_labels, unsayable)] = FAULTS.index("label-map")
    return faults, true_labels


def _find_wrong_classes(
    category_ids: Int32Array, links: Int32Array, true: TrueSegments, reach: Reach
) -> dict[int, str]:
    """By detection of a wrong class the part that mends it."""
    right_ids = true.category_ids[links]
    wrong = np.flatnonzero((links > 0) & (category_ids != right_ids)).tolist()
    return {i: "classes" if int(right_ids[i]) in reach.things else "label-map" for i in wrong}


def _find_false(
    windows: list[Window],
    links: Int32Array,
    found: Instances,
    semantic: SemanticPrediction,
    reach: Reach,
) -> dict[int, str]:
    """By detection without a link the part that takes it away.

    The semantic net speaks for a detection on pixels of the same class. One that does not know
    the class, as many know stuff only, speaks for it where it sees nothing that it knows.
    """
    parts = {}
    for index in np.flatnonzero(links == 0).tolist():
        labels = semantic.label_map[windows[index].place][windows[index].mask]
        category_id = int(found.category_ids[index])
        agreed = np.count_nonzero(labels == (category_id if category_id in reach.labels else 0))
        has_context = agreed >= EVIDENCE_SHARE * len(labels)
        parts[index] = "false/other" if has_context else "false/no-context"
    return parts


def _find_missed(
    unseen: Instances, links: Int32Array, true: TrueSegments, reach: Reach
) -> dict[int, str]:
    """By true object without a link the part that brings it.

    Args:
        unseen: detections that score too little.
        links: of those that score enough.
        true: the ground truth.
        reach: what the nets can say.
    """
    missed = np.setdiff1d(np.flatnonzero(true.is_object), links)
    candidates = unseen.select(
        np.isin(unseen.category_ids, true.category_ids[missed]), unseen.category_ids
    )
    iou = measure_iou(cut_masks(candidates), true)
    same = candidates.category_ids[:, np.newaxis] == true.category_ids
    has_low_score = (same & (iou > MATCH_IOU)).any(axis=0)
    return {
        number: "label-map"
        if int(true.category_ids[number]) not in reach.things
        else "missed/low-score"
        if has_low_score[number]
        else "missed/unseen"
        for number in missed.tolist()
    }


def _list_mask_parts(
    masks: Sequence[Window], right_masks: Sequence[Window], in_front: BoolArray, bands: UInt8Array
) -> Iterator[frozenset[str]]:
    """Of each mask the parts that change it."""
    for index, (old, new) in enumerate(zip(masks, right_masks, strict=True)):
        wrong = np.unique(bands[old.place][old.mask ^ new.mask])
        parts = {LINES["masks"][band] for band in wrong.tolist()}
        yield frozenset(parts | {"order"} if in_front[:, index].any() else parts)


def _list_parts(study: ImageStudy, stuff_pixels: float) -> Iterator[str]:
    """The parts that change anything but masks, some of them more than once."""
    yield from study.class_part.values()
    yield from study.false_part.values()
    yield from study.missed_part.values()
    yield from (FAULTS[fault] for fault in np.unique(study.faults).tolist() if fault)
    stuff = ~study.true.isthing[1:]
    # A match covers more than half of either segment, so a larger one is never too small.
    if (study.true.areas[1:][stuff] < 2 * stuff_pixels).any():
        yield "void/too-small"
