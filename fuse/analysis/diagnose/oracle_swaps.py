"""Oracle swaps: the predictions of an image with some of their errors fixed, fused again.

A swap leaves all else as it is. With every error fixed, the paper's rule gives the ground truth
itself, where each stuff class is one segment.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fuse.analysis.diagnose.error_types import ERROR_TYPES, LABEL_SUBTYPES, ImageErrors
from fuse.analysis.diagnose.matching import MaskCrop, TrueSegments, intersect
from fuse.fusion import FusionConfig, fuse_image, least_stuff_pixels
from fuse.inference.prediction import ImagePrediction
from fuse.metrics.matching import list_matches
from fuse.ops.rle import encode_crop
from fuse.types import (
    Float32Array,
    Instances,
    LabelSpace,
    PanopticPrediction,
    RleMasks,
    SemanticPrediction,
)


def fuse_fixed(
    errors: ImageErrors,
    subtypes: Collection[str],
    truth: PanopticPrediction,
    space: LabelSpace,
    fusion: FusionConfig,
) -> PanopticPrediction:
    """What a run's rule makes of an image with the errors of some subtypes fixed.

    The instances' classes are chosen already, whatever the rule would do about them.
    """
    fixed = swap(errors, subtypes)
    plain = replace(fusion, class_choice="commonest")
    if "void/too-small" not in errors.subtypes.intersection(subtypes):
        return fuse_image(fixed.label(), fixed.instances, space, plain, {})
    # What the rule would drop as too small stays if it is right, and only then.
    every = replace(plain, stuff_area=0)
    fused = fuse_image(fixed.label(), fixed.instances, space, every, {})
    least = least_stuff_pixels(fusion.stuff_area, fused.panoptic_map.size)
    small = {s.segment_id for s in fused.segments_info if s.area < least and s.score is None}
    right = {m.pred_id for m in list_matches(truth, fused) if m.kind == "tp"} if small else set()
    kept = (s for s in fused.segments_info if s.segment_id not in small - right)
    return PanopticPrediction(fused.panoptic_map, tuple(kept))


def swap(errors: ImageErrors, subtypes: Collection[str]) -> ImagePrediction:
    """The predictions with the errors of some subtypes fixed and the others as they were."""
    fixed = errors.subtypes.intersection(subtypes)
    return ImagePrediction(_swap_labels(errors, fixed), _swap_instances(errors, fixed))


def _swap_labels(errors: ImageErrors, fixed: frozenset[str]) -> SemanticPrediction:
    """The label map; with its logits where nothing in it is to be fixed."""
    semantic, true = errors.prediction.label(), errors.true
    if fixed.isdisjoint(LABEL_SUBTYPES):
        return semantic
    label_map = semantic.label_map.flatten()
    for subtype in fixed & errors.label_errors.keys():
        pixels = errors.label_errors[subtype]
        label_map[pixels] = true.category_ids[true.index_map.ravel()[pixels]]
    return SemanticPrediction(label_map.reshape(semantic.size))


def _swap_instances(errors: ImageErrors, fixed: frozenset[str]) -> Instances:
    """The instances; those that were missed come first."""
    found, true = errors.prediction.instances, errors.true
    category_ids, kept = found.category_ids.copy(), np.ones(len(found), dtype=np.bool_)
    for index, subtype in errors.detections.items():
        if subtype in fixed:
            category_ids[index] = true.category_ids[errors.matches[index]]
            kept[index] = errors.matches[index] > 0
    added = [number for number, subtype in errors.missed.items() if subtype in fixed]
    reshaped = fixed.intersection(ERROR_TYPES["order"] + ERROR_TYPES["masks"])
    if not added and not reshaped:
        return found.select(kept, category_ids)
    rles = [_encode_object(errors, number) for number in added]
    rles += [_encode_mask(errors, index, reshaped) for index in np.flatnonzero(kept).tolist()]
    return Instances(
        boxes=np.concatenate([_true_boxes(true, added), found.boxes[kept]]),
        scores=np.concatenate([np.ones(len(added)), found.scores[kept]]),
        category_ids=np.concatenate([true.category_ids[added], category_ids[kept]]),
        masks=RleMasks(tuple(rles)),
        size=found.size,
    )


def _encode_object(errors: ImageErrors, number: int) -> dict[str, Any]:
    """The mask of a true object as RLE, encoded once."""
    key = ("object", number)
    if key not in errors.encoded:
        errors.encoded[key] = _encode(errors, errors.true.crop(number))
    return errors.encoded[key]


def _encode_mask(errors: ImageErrors, index: int, fixed: frozenset[str]) -> dict[str, Any]:
    """A mask as RLE, fixed in some bands and, for ``order``, cut by the masks in front of it."""
    relevant = fixed & errors.mask_errors[index]
    if "order" in relevant:
        relevant = fixed  # it depends on the masks in front, too
    key = ("mask", index, relevant)
    if key not in errors.encoded:
        crop = _fix_bands(errors, index, relevant)
        if "order" in relevant:
            for front in np.flatnonzero(errors.occludes[:, index]).tolist():
                other = _fix_bands(errors, front, relevant)
                _, here, there = intersect(crop, other)
                crop.mask[here] &= ~other.mask[there]
        errors.encoded[key] = _encode(errors, crop)
    return errors.encoded[key]


def _fix_bands(errors: ImageErrors, index: int, fixed: frozenset[str]) -> MaskCrop:
    """A mask that is right in some bands, whatever is in front of it."""
    old, right = errors.masks[index], errors.right_masks[index]
    is_fixed = np.array([subtype in fixed for subtype in ERROR_TYPES["masks"]])
    mask = np.where(is_fixed[errors.bands[old.slices]], right.mask, old.mask)
    return MaskCrop(mask, old.top, old.left)


def _encode(errors: ImageErrors, crop: MaskCrop) -> dict[str, Any]:
    return encode_crop(crop.mask, (crop.top, crop.left), errors.prediction.size)


def _true_boxes(true: TrueSegments, numbers: Sequence[int]) -> Float32Array:
    """Boxes (N, 4) around true segments, xyxy."""
    boxes = np.array([true.bboxes[number] for number in numbers], dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
