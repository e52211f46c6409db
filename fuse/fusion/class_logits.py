"""What a semantic net says for each class, for rules that weigh it against masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fuse.ops.class_logits import image_axes, relative_logits, upsample_best, upsample_window
from fuse.types import Float32Array, Int32Array, LabelSpace, SemanticPrediction

# A class whose logit lies this far below a cell's largest has 2 % of its probability.
# Kept predictions hold no logits further below.
REACH = 4.0
Window = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class ClassLogits:
    """Logits of an image's classes above a floor: 0 = next to nothing, REACH = the best class.

    The logit of no category stands for each thing class that the net does not know: many nets
    of stuff have one class for all things.

    Attributes:
        stuff_labels: int32 (H, W), category_id of the stuff class with the largest logit.
        stuff: float32 (H, W), that logit.
        things: float32 (H, W), the largest logit of any thing class.
        of_class: the logits of one class, a category_id, at the pixels of a window.
    """

    stuff_labels: Int32Array
    stuff: Float32Array
    things: Float32Array
    of_class: Callable[[int, Window], Float32Array]


def compute_class_logits(semantic: SemanticPrediction, space: LabelSpace) -> ClassLogits:
    """The class logits of an image, relative to a floor (`relative_logits`).

    A label map without logits counts as REACH for its class and 0 for all others.

    Raises:
        ValueError: a label map without logits has a category id that is not in the space.
    """
    if semantic.logits is None:
        return _weigh_labels(semantic.label_map, space)
    target = semantic.logits
    planes = relative_logits(target.logits.logits, REACH)
    of_void = planes[target.category_ids == 0].max(axis=0, initial=0)
    by_category = dict(zip(target.category_ids.tolist(), planes, strict=True))
    axes = image_axes(target.logits)
    stuff_rows = np.flatnonzero(np.isin(target.category_ids, space.stuff_ids))
    stuff_labels = np.zeros(target.size, dtype=np.int32)
    stuff = np.zeros(target.size, dtype=np.float32)
    if len(stuff_rows):
        best, stuff = upsample_best(planes[stuff_rows], target.logits)
        stuff_labels = target.category_ids[stuff_rows][best]
    is_thing = np.isin(target.category_ids, space.thing_ids)
    thing_planes = np.concatenate((planes[is_thing], of_void[np.newaxis]))
    _, things = upsample_best(thing_planes, target.logits)
    return ClassLogits(
        stuff_labels,
        stuff,
        things,
        lambda category_id, window: upsample_window(
            by_category.get(category_id, of_void), axes, window
        ),
    )


def _weigh_labels(label_map: Int32Array, space: LabelSpace) -> ClassLogits:
    """Class logits of a label map; void may be any thing, as the net may not know it."""
    is_stuff = np.isin(label_map, space.stuff_ids)
    is_strange = ~(is_stuff | np.isin(label_map, (0, *space.thing_ids)))
    if is_strange.any():
        strange = label_map[is_strange][0]
        raise ValueError(f"the semantic map has category id {strange}, not in {space.name}")
    first_choice = np.float32(REACH)

    def of_class(category_id: int, window: Window) -> Float32Array:
        labels = label_map[window]
        logits: Float32Array = ((labels == category_id) | (labels == 0)) * first_choice
        return logits

    return ClassLogits(
        np.where(is_stuff, label_map, np.int32(0)),
        is_stuff * first_choice,
        ~is_stuff * first_choice,
        of_class,
    )
