"""What semantic nets of other libraries answer; see `fuse.types.readers`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuse.errors import LabelSpaceError
from fuse.interop.arrays import get_field, to_id_map, to_numpy
from fuse.interop.masks import find_letterbox
from fuse.interop.names import check_names, find_categories
from fuse.labels import map_logits
from fuse.ops.argmax import upsample_argmax
from fuse.ops.class_logits import sum_to_one
from fuse.types import Int32Array, LabelSpace, SemanticLogits, SemanticPrediction
from fuse.types.label_space import check_space
from fuse.types.readers import Names


def from_logits(
    logits: Any,  # noqa: ANN401
    size: tuple[int, int],
    space: LabelSpace,
    names: Names,
) -> SemanticPrediction:
    """See `SemanticPrediction.from_logits`."""
    values = to_numpy(logits)
    values = values[0] if values.ndim == 4 and len(values) == 1 else values
    if values.ndim != 3 or not np.issubdtype(values.dtype, np.floating):
        raise ValueError(
            f"logits must be floats (C, h, w), got {values.dtype} of shape {values.shape}"
        )
    check_names(names)
    if len(names) != len(values):
        raise ValueError(f"{len(values)} classes of logits need as many names, got {len(names)}")
    half = values.astype(np.float16)
    if sum_to_one(half):
        raise ValueError(
            "these are probabilities, as they sum to 1 over the classes; give logits, or their "
            "logarithm, as probabilities.clamp(min=1e-6).log()"
        )
    targets = _find_targets(np.arange(len(values)), names, space)
    target = map_logits(SemanticLogits.half_pixel(half, size), targets)
    scale, offset = target.logits.scale, target.logits.offset
    label_map = upsample_argmax(
        target.logits.logits, size, target.category_ids, scale=scale, offset=offset
    )
    return SemanticPrediction(label_map, target)


def from_label_map(
    label_map: Any,  # noqa: ANN401
    space: LabelSpace,
    names: Names | None,
) -> SemanticPrediction:
    """See `SemanticPrediction.from_label_map`."""
    check_space(space)
    ids = to_id_map(label_map, "a label map")
    labels, places = np.unique(ids, return_inverse=True)
    if names is not None:
        targets = _find_targets(labels, names, space)
    else:
        unknown = set(labels.tolist()) - {space.none_id, *(c.file_id for c in space.categories)}
        if unknown:
            raise LabelSpaceError(
                f"the label map has {min(unknown)}, which is no category_id of {space.name}; of "
                "class numbers give names"
            )
        targets = space.read_ids(labels)
    return SemanticPrediction(targets[places].reshape(ids.shape))


def from_ultralytics(
    result: Any,  # noqa: ANN401
    space: LabelSpace,
    names: Names | None,
) -> SemanticPrediction:
    """See `SemanticPrediction.from_ultralytics`."""
    kind = "Results of an ultralytics semantic model"
    mask = get_field(result, "semantic_mask", kind)
    classes = to_numpy(getattr(mask, "data", mask) if not isinstance(mask, np.ndarray) else mask)
    classes = classes[0] if classes.ndim == 3 and len(classes) == 1 else classes
    size = tuple(int(side) for side in get_field(result, "orig_shape", kind)[:2])
    if classes.ndim == 2 and classes.shape != size:
        part = classes[find_letterbox(classes.shape, (size[0], size[1]))]
        rows, columns = (
            ((np.arange(side) + 0.5) * old / side).astype(np.intp)
            for side, old in zip(size, part.shape, strict=True)
        )
        classes = part[rows[:, None], columns]
    return from_label_map(
        classes, space, names if names is not None else get_field(result, "names", kind)
    )


def _find_targets(labels: np.ndarray[Any, Any], names: Names, space: LabelSpace) -> Int32Array:
    """int32, the category_id of each class number, 0 of those that are left out."""
    categories = find_categories(labels.tolist(), names, space)
    return np.array([c.category_id if c else 0 for c in categories], dtype=np.int32)
