"""Rules that settle each pixel by itself: it goes to whoever claims it most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fuse.fusion.checks import check_image
from fuse.fusion.class_logits import ClassLogits, Window, compute_class_logits
from fuse.fusion.orders import count_overlaps, is_same_object
from fuse.fusion.overlap import add_stuff, order_by_score
from fuse.ops._jit import jit
from fuse.ops.masks import paste_mask, stretch_mask
from fuse.ops.segments import measure_segments
from fuse.types import (
    BoxMasks,
    Float32Array,
    Instances,
    Int32Array,
    Int64Array,
    LabelSpace,
    PanopticPrediction,
    SegmentInfo,
    SemanticPrediction,
)

# Probabilities are kept from 0 and 1 by float16's step below 1, so logits lie within 7.6.
MARGIN = np.float32(2**-11)


def fuse_by_mask_argmax(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
) -> PanopticPrediction:
    """Give each pixel to the instance of the highest score times mask probability.

    That is the inference of MaskFormer (Cheng et al. 2021, section 3.4), for instances only:
    a pixel is claimed where a mask's probability is above 0.5, equal claims go to the higher
    score and then to the net's order, and stuff takes what is left, as in `fuse_by_overlap`.
    `list_survivors` says which instances take part.
    """
    check_image(semantic, instances, space)
    survivors = list_survivors(semantic, instances, score_threshold, overlap_threshold)
    owners, highest = np.zeros(semantic.size, np.int32), np.zeros(semantic.size, np.float32)
    for owner, index in enumerate(survivors.tolist(), start=1):
        probs, window = mask_values(instances, index)
        claims = np.where(probs > 0.5, probs * np.float32(instances.scores[index]), 0)
        _take_pixels(owners[window], highest[window], claims, owner)
    return _finish(owners, survivors, instances, semantic.label_map, space, stuff_area)


def fuse_by_upsnet_logits(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
    temperature: float = 1.0,
    class_logits: ClassLogits | None = None,
) -> PanopticPrediction:
    """UPSNet's parameter-free panoptic head (Xiong et al. 2019, section 3.1).

    At each pixel compete the semantic logit of each stuff class, of each instance the logit
    of its class plus the logit of its mask inside its box, and an unknown class with the
    largest thing logit less the largest logit of the instances there: a thing that nobody
    found. The largest wins, first stuff, then instances by score; unknown pixels stay void.

    UPSNet trains both heads together. Two independent nets have logits of different scale
    and origin, so class logits enter as `ClassLogits` (0 = nothing, UPSNet's padding) and
    a mask's logits are divided by a temperature. Classes stay as the instances have them.

    Args:
        temperature: above 1 the semantic net has more to say, below 1 the masks.
        class_logits: of the same semantic prediction, computed where they are not given.
    """
    check_image(semantic, instances, space)
    class_logits = class_logits or compute_class_logits(semantic, space)
    survivors = list_survivors(semantic, instances, score_threshold, overlap_threshold)
    owners, highest = np.zeros(semantic.size, np.int32), class_logits.stuff.copy()
    found = np.zeros(semantic.size, np.float32)
    for owner, index in enumerate(survivors.tolist(), start=1):
        logits, window = mask_values(instances, index, to_logits)
        of_class = class_logits.of_class(int(instances.category_ids[index]), window)
        np.maximum(found[window], of_class, out=found[window])
        claims = of_class + logits / np.float32(temperature)
        _take_pixels(owners[window], highest[window], claims, owner)
    is_unknown = class_logits.things - found > highest
    owners[is_unknown] = 0
    is_void = is_unknown | (semantic.label_map == 0)
    labels = np.where(is_void, np.int32(0), class_logits.stuff_labels)
    return _finish(owners, survivors, instances, labels, space, stuff_area)


def fuse_by_adaptive(
    semantic: SemanticPrediction,
    instances: Instances,
    space: LabelSpace,
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area: float = 4096,
    temperature: float = 1.0,
    class_logits: ClassLogits | None = None,
) -> PanopticPrediction:
    """EfficientPS's adaptive fusion (Mohan and Valada 2021, section 3.4).

    An instance's mask logit a and the semantic logit b of its class are fused into
    (sigma(a) + sigma(b)) (a + b): more than either where both agree, less where they do not.
    The fused logits compete with the logits of the stuff classes, the largest wins, and what
    no instance won is filled with the stuff of the semantic map, as in `fuse_by_overlap`.

    Args:
        temperature: as in `fuse_by_upsnet_logits`; the authors' code has mask logits times 4,
            which is a temperature of 0.25.
    """
    check_image(semantic, instances, space)
    class_logits = class_logits or compute_class_logits(semantic, space)
    survivors = list_survivors(semantic, instances, score_threshold, overlap_threshold)
    owners, highest = np.zeros(semantic.size, np.int32), class_logits.stuff.copy()
    for owner, index in enumerate(survivors.tolist(), start=1):
        logits, window = mask_values(instances, index, to_logits)
        a = logits / np.float32(temperature)
        b = class_logits.of_class(int(instances.category_ids[index]), window)
        _take_pixels(owners[window], highest[window], (sigma(a) + sigma(b)) * (a + b), owner)
    return _finish(owners, survivors, instances, semantic.label_map, space, stuff_area)


def list_survivors(
    semantic: SemanticPrediction,
    instances: Instances,
    score_threshold: float,
    overlap_threshold: float,
) -> Int64Array:
    """Which instances compete for pixels, the best score first: UPSNet's pruning.

    Of two masks with an IoU above 0.5 only the better scored takes part, and none does of
    which more than overlap_threshold lies in a better one of its class (Xiong et al. 2019,
    "Implementation Details", with the IoU of masks in place of boxes and one better mask at a
    time). What
    lies inside an instance of another class stays: a tie may win pixels of a person.
    """
    order = order_by_score(instances, score_threshold)
    shared, _ = count_overlaps(semantic, instances, order)
    category_ids = instances.category_ids[order]
    is_covered = (category_ids[:, np.newaxis] == category_ids) & (
        shared > overlap_threshold * np.diagonal(shared)[:, np.newaxis]
    )
    loses_to = is_same_object(shared) | is_covered
    survivors: list[int] = []
    for place in range(len(order)):
        if shared[place, place] and not loses_to[place, survivors].any():
            survivors.append(place)
    return order[survivors]


def mask_values(
    instances: Instances,
    index: int,
    change: Callable[[Float32Array], Float32Array] = lambda probs: probs,
) -> tuple[Float32Array, Window]:
    """A value per pixel of an instance's box, and where these pixels are.

    Args:
        instances: of the image.
        index: which one.
        change: from the probabilities of a soft mask, before it is stretched, to the values.
    """
    inside, outside = change(np.array([1, 0], dtype=np.float32)).tolist()
    if isinstance(instances.masks, BoxMasks):
        soft = change(instances.masks.probs[index])
        values, (top, left) = stretch_mask(
            soft, instances.boxes[index], instances.size, outside=outside
        )
    else:
        crop, (top, left) = paste_mask(instances, index)
        values = np.where(crop, np.float32(inside), np.float32(outside))
    height, width = values.shape
    return values, (slice(top, top + height), slice(left, left + width))


def to_logits(probs: Float32Array) -> Float32Array:
    """Logits of probabilities, within 7.6 of 0."""
    probs = np.clip(probs, MARGIN, 1 - MARGIN)
    logits: Float32Array = np.log(probs / (1 - probs))
    return logits


def sigma(values: Float32Array) -> Float32Array:
    """Probabilities of logits."""
    return np.float32(1) / (np.float32(1) + np.exp(-values))


def _finish(
    owners: Int32Array,
    survivors: Int64Array,
    instances: Instances,
    label_map: Int32Array,
    space: LabelSpace,
    stuff_area: float,
) -> PanopticPrediction:
    """Segments of the instances that own pixels, by score, then stuff in the rest."""
    areas, bboxes, _ = measure_segments(owners, np.arange(1, len(survivors) + 1, dtype=np.int32))
    winners = np.flatnonzero(areas)
    segment_ids = np.zeros(len(survivors) + 1, dtype=np.int32)
    segment_ids[winners + 1] = np.arange(1, len(winners) + 1)
    things = [
        SegmentInfo(
            segment_id,
            int(instances.category_ids[survivors[winner]]),
            int(areas[winner]),
            tuple(bboxes[winner].tolist()),
            score=float(instances.scores[survivors[winner]]),
        )
        for segment_id, winner in enumerate(winners.tolist(), start=1)
    ]
    return add_stuff(segment_ids[owners], things, label_map, space, stuff_area)


@jit
def _take_pixels(
    owners: Int32Array, highest: Float32Array, values: Float32Array, owner: int
) -> None:
    """Give an owner the pixels where its values are above the highest so far.

    Args:
        owners: int32 (h, w), a window of the map of owners; changed in place.
        highest: float32 (h, w), the highest value so far; changed in place.
        values: float32 (h, w), the new ones; equal ones do not count.
        owner: whose they are.
    """
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            if values[y, x] > highest[y, x]:
                owners[y, x] = owner
                highest[y, x] = values[y, x]
