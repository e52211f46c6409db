"""What instance models of other libraries answer, as `Instances`; see `fuse.types.readers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fuse.errors import LabelSpaceError
from fuse.interop.arrays import get_field, to_id_map, to_numpy
from fuse.interop.masks import encode_masks, find_boxes, scale_mask, to_masks
from fuse.interop.names import find_categories, join_names
from fuse.types import BoolArray, Category, Instances, LabelSpace, RleMasks
from fuse.types.readers import Names


def from_masks(
    masks: Any,  # noqa: ANN401
    scores: Any,  # noqa: ANN401
    classes: Sequence[str],
    space: LabelSpace,
) -> Instances:
    """See `Instances.from_masks`."""
    if isinstance(classes, str):
        raise TypeError(f"classes must be a name per mask, got one text, {classes!r}")
    array = to_masks(masks)
    return _make(array, scores, join_names(classes, space), space, array.shape[1:])


def from_torchvision(
    output: Mapping[str, Any], space: LabelSpace, names: Names, mask_threshold: float
) -> Instances:
    """See `Instances.from_torchvision`."""
    kind = "an output of a torchvision Mask R-CNN"
    labels, scores, masks = (
        to_numpy(get_field(output, key, kind)) for key in ("labels", "scores", "masks")
    )
    if masks.ndim != 4 or masks.shape[1] != 1:
        raise ValueError(f"masks of torchvision are (N, 1, H, W), got shape {masks.shape}")
    if not 0 <= mask_threshold <= 1:
        raise ValueError(f"mask_threshold must lie in 0..1, got {mask_threshold}")
    hard = masks[:, 0] > mask_threshold
    return _make(hard, scores, find_categories(labels, names, space), space, masks.shape[2:])


def from_detectron2(output: Any, space: LabelSpace, names: Names) -> Instances:  # noqa: ANN401
    """See `Instances.from_detectron2`."""
    found = output["instances"] if isinstance(output, Mapping) else output
    kind = "an instance model's output of detectron2"
    masks = to_masks(get_field(found, "pred_masks", kind))
    labels = to_numpy(get_field(found, "pred_classes", kind))
    scores = to_numpy(get_field(found, "scores", kind))
    size = tuple(get_field(found, "image_size", kind))
    if masks.shape[1:] != size:
        raise ValueError(f"pred_masks must be of the image's size {size}, got {masks.shape[1:]}")
    return _make(masks, scores, find_categories(labels, names, space), space, size)


def from_transformers(output: Mapping[str, Any], space: LabelSpace, names: Names) -> Instances:
    """See `Instances.from_transformers`."""
    kind = "an output of transformers"
    segmentation = to_numpy(get_field(output, "segmentation", kind))
    listed = get_field(output, "segments_info", kind)
    categories = [
        category if category and category.isthing else None
        for category in find_categories((s["label_id"] for s in listed), names, space)
    ]
    scores = np.array([segment["score"] for segment in listed], dtype=np.float64)
    if segmentation.ndim == 3:  # return_binary_maps=True
        return _make(to_masks(segmentation), scores, categories, space, segmentation.shape[1:])
    ids = to_id_map(segmentation, "segmentation")
    masks = [ids == segment["id"] for segment in listed]
    return _make(masks, scores, categories, space, ids.shape)


def from_supervision(
    detections: Any,  # noqa: ANN401
    space: LabelSpace,
    names: Names | None,
    size: tuple[int, int] | None,
) -> Instances:
    """See `Instances.from_supervision`."""
    kind = "Detections of supervision"
    masks = get_field(detections, "mask", kind)
    count = len(get_field(detections, "xyxy", kind))
    if not count and size is not None:
        return _make([], [], [], space, size)
    if masks is None:
        what = "detections have boxes, but no masks" if count else "there are no detections"
        mend = "detect with a model that segments" if count else "give size=(height, width)"
        raise ValueError(f"{what}; {mend}")
    if detections.confidence is None:
        raise ValueError("detections have no confidence; set detections.confidence to (N,) in 0..1")
    array = to_masks(masks)
    if size is not None and array.shape[1:] != tuple(size):
        raise ValueError(f"the image is {tuple(size)}, its masks are {array.shape[1:]}")
    known = None if names is not None else detections.data.get("class_name")
    categories = (
        find_categories(detections.class_id, names, space)
        if known is None
        else join_names(known, space)
    )
    return _make(array, detections.confidence, categories, space, array.shape[1:])


def from_ultralytics(
    result: Any,  # noqa: ANN401
    space: LabelSpace,
    names: Names | None,
) -> Instances:
    """See `Instances.from_ultralytics`."""
    kind = "Results of an ultralytics segmentation model"
    height, width = get_field(result, "orig_shape", kind)[:2]
    size = int(height), int(width)
    boxes, masks = get_field(result, "boxes", kind), get_field(result, "masks", kind)
    if boxes is None or len(boxes) == 0:
        return _make([], [], [], space, size)
    if masks is None:
        raise ValueError("results have boxes, but no masks; take a model that segments (-seg)")
    hard = [scale_mask(mask, size) for mask in to_numpy(masks.data)]
    names = names if names is not None else get_field(result, "names", kind)
    categories = find_categories(to_numpy(boxes.cls).astype(np.int64), names, space)
    return _make(hard, to_numpy(boxes.conf), categories, space, size)


def _make(
    masks: npt.NDArray[np.bool_] | Sequence[BoolArray],
    scores: Any,  # noqa: ANN401 - (N,) of anything
    categories: Sequence[Category | None],
    space: LabelSpace,
    size: tuple[int, ...],
) -> Instances:
    """Instances of hard masks (H, W); those without a category are left out.

    Raises:
        LabelSpaceError: a category is stuff.
        ValueError: there are not as many masks, scores and classes.
    """
    values = to_numpy(scores).astype(np.float64).reshape(-1)
    if not len(masks) == len(values) == len(categories):
        raise ValueError(
            f"there must be a score and a class per mask, got {len(masks)} masks, "
            f"{len(values)} scores and {len(categories)} classes"
        )
    stuff = next((c for c in categories if c and not c.isthing), None)
    if stuff:
        raise LabelSpaceError(
            f"class {stuff.name!r} is stuff in {space.name}, but instances are things; leave it out"
        )
    kept = [place for place, category in enumerate(categories) if category]
    rles = encode_masks(masks[place] for place in kept)
    height, width = size
    return Instances(
        boxes=find_boxes(rles),
        scores=values[kept],
        category_ids=np.array([c.category_id for c in categories if c], dtype=np.int32),
        masks=RleMasks(rles),
        size=(int(height), int(width)),
    )
