"""Swaps: what the nets said of an image, with some of the mistakes taken out.

A swap leaves all else as it is; the run's own rule then fuses what it gives. With every part
right, the paper's rule gives the ground truth itself, where each stuff class is one segment.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from fuse.analysis.diagnose.error_types import FAULTS, LINES, Answers, ImageStudy
from fuse.analysis.diagnose.matching import TrueSegments, Window, meet
from fuse.ops.choose import choose_by_code
from fuse.ops.rle import encode_crop
from fuse.types import Float32Array, Instances, RleMasks, SemanticPrediction


def swap(study: ImageStudy, parts: Collection[str]) -> Answers:
    """What the nets said, with the given parts right and the others as they were."""
    chosen = study.parts.intersection(parts)
    return Answers(
        _swap_labels(study, chosen),
        _swap_instances(study, chosen),
        keeps_small="void/too-small" in chosen,
    )


def _swap_labels(study: ImageStudy, chosen: frozenset[str]) -> SemanticPrediction:
    """The label map without the chosen faults; with its logits where none is chosen."""
    said = study.answers.semantic
    mended = np.array([part in chosen for part in FAULTS])
    if not mended.any():
        return said
    return SemanticPrediction(
        choose_by_code(said.label_map, study.true_labels, study.faults, mended)
    )


def _swap_instances(study: ImageStudy, chosen: frozenset[str]) -> Instances:
    """The instances without the chosen mistakes; those that were missed come first."""
    found, true = study.answers.instances, study.true
    category_ids = found.category_ids.copy()
    for index, part in study.class_part.items():
        if part in chosen:
            category_ids[index] = true.category_ids[study.links[index]]
    kept = np.array([study.false_part.get(i) not in chosen for i in range(len(found))], np.bool_)
    added = [number for number, part in study.missed_part.items() if part in chosen]
    reshaping = frozenset(part for part in chosen if part == "order" or part.startswith("masks/"))
    if not added and not reshaping:
        return found.select(kept, category_ids)
    codes = [_encode_object(study, number) for number in added]
    codes += [_encode_mask(study, index, reshaping) for index in np.flatnonzero(kept).tolist()]
    return Instances(
        boxes=np.concatenate([_true_boxes(true, added), found.boxes[kept]]),
        scores=np.concatenate([np.ones(len(added)), found.scores[kept]]),
        category_ids=np.concatenate([true.category_ids[added], category_ids[kept]]),
        masks=RleMasks(tuple(codes)),
        size=found.size,
    )


def _encode_object(study: ImageStudy, number: int) -> dict[str, Any]:
    """The mask of a true object, encoded once."""
    key = ("object", number)
    if key not in study.codes:
        study.codes[key] = _encode(study, study.true.cut(number))
    return study.codes[key]


def _encode_mask(study: ImageStudy, index: int, reshaping: frozenset[str]) -> dict[str, Any]:
    """A mask with the chosen bands right and, with ``order``, cut by those in front of it."""
    relevant = reshaping & study.mask_parts[index]
    if "order" in relevant:
        relevant = reshaping  # it depends on the masks in front, too
    key = ("mask", index, relevant)
    if key not in study.codes:
        window = _reshape(study, index, relevant)
        if "order" in relevant:
            for front in np.flatnonzero(study.in_front[:, index]).tolist():
                other = _reshape(study, front, relevant)
                _, here, there = meet(window, other)
                window.mask[here] &= ~other.mask[there]
        study.codes[key] = _encode(study, window)
    return study.codes[key]


def _reshape(study: ImageStudy, index: int, reshaping: frozenset[str]) -> Window:
    """A mask with the chosen bands right, whoever is in front."""
    old, new = study.masks[index], study.right_masks[index]
    mended = np.array([part in reshaping for part in LINES["masks"]])
    mask = np.where(mended[study.bands[old.place]], new.mask, old.mask)
    return Window(mask, old.top, old.left)


def _encode(study: ImageStudy, window: Window) -> dict[str, Any]:
    return encode_crop(window.mask, (window.top, window.left), study.answers.semantic.size)


def _true_boxes(true: TrueSegments, numbers: Sequence[int]) -> Float32Array:
    """Boxes (N, 4) around true segments, xyxy."""
    boxes = np.array([true.bboxes[number] for number in numbers], dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
