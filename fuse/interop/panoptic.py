"""Panoptic maps of other libraries: transformers', detectron2's and torchmetrics' forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fuse.interop.arrays import get_field, to_id_map, to_numpy
from fuse.interop.names import find_category, name_label
from fuse.ops.segments import measure_segments, run_starts
from fuse.types import (
    MAX_SEGMENT_ID,
    Int32Array,
    LabelSpace,
    PanopticPrediction,
    SegmentInfo,
)
from fuse.types.label_space import ID_OF_ZERO
from fuse.types.readers import Names

INT32 = np.iinfo(np.int32)
ID_BITS = 32


class ListedSegment(NamedTuple):
    """A segment before its pixels are counted."""

    segment_id: int
    category_id: int
    score: float | None = None
    iscrowd: bool = False


def read_transformers(
    output: Mapping[str, Any], space: LabelSpace, names: Names | None
) -> PanopticPrediction:
    """The dict of ``post_process_panoptic_segmentation``; see `PanopticResult.from_transformers`.

    A segment's own ``label`` is its name where it has one, else that of its ``label_id``.
    """
    kind = "a panoptic output of transformers"
    ids = to_id_map(get_field(output, "segmentation", kind), "segmentation")
    listed = []
    for segment in get_field(output, "segments_info", kind):
        name = segment.get("label") or name_label(int(segment["label_id"]), names)
        if name is not None:
            category_id = find_category(name, space).category_id
            listed.append(ListedSegment(int(segment["id"]), category_id, _score(segment)))
    return make_prediction(ids, listed)


def read_detectron2(
    output: tuple[Any, Sequence[Mapping[str, Any]]],
    space: LabelSpace,
    names: Any,  # noqa: ANN401 - names, or detectron2's metadata
) -> PanopticPrediction:
    """The pair ``panoptic_seg``; see `PanopticResult.from_detectron2`."""
    if not isinstance(output, tuple | list) or len(output) != 2:
        kind = type(output).__name__
        mend = "; give output['panoptic_seg']" if isinstance(output, Mapping) else ""
        raise TypeError(
            f"panoptic_seg of detectron2 is a pair, a map and its segments; got {kind}{mend}"
        )
    panoptic_seg, segments_info = output
    if segments_info is None:
        raise ValueError("panoptic_seg has no segments (None); list each id with its category_id")
    listed = []
    for segment in segments_info:
        name = _name_detectron2(segment, names)
        if name is not None:
            category_id = find_category(name, space).category_id
            iscrowd = bool(segment.get("iscrowd", False))
            segment_id = int(segment["id"])
            listed.append(ListedSegment(segment_id, category_id, _score(segment), iscrowd))
    return make_prediction(to_id_map(panoptic_seg, "panoptic_seg"), listed)


def read_tensor(
    tensor: Any,  # noqa: ANN401 - of any library
    things: Collection[int],
    stuffs: Collection[int],
    *,
    void: Collection[int] | None = None,
) -> PanopticPrediction:
    """A map of (category, instance) pairs as torchmetrics takes it.

    Args:
        tensor: int (H, W, 2).
        things: category ids, as files have them, whose instances are segments.
        stuffs: category ids that are one segment each, whatever the instances.
        void: the other ids that may occur; None allows any. They are void.

    Returns:
        Segments numbered from 1 by category and instance.

    Raises:
        ValueError: it has another shape, ids beyond int32, or a category that may not occur.
    """
    pairs = to_numpy(tensor)
    if pairs.ndim != 3 or pairs.shape[2] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(
            "category and instance ids must be whole numbers (H, W, 2), got "
            f"{pairs.dtype} of shape {pairs.shape}"
        )
    if pairs.size and not INT32.min <= pairs.min() <= pairs.max() <= INT32.max:
        raise ValueError(f"ids must fit int32, got {pairs.min()}..{pairs.max()}")
    category_map, instance_map = (
        np.ascontiguousarray(pairs[..., plane], dtype=np.int32) for plane in (0, 1)
    )
    starts = run_starts(category_map, instance_map)
    categories = category_map.ravel()[starts]
    instances = np.where(np.isin(categories, list(things)), instance_map.ravel()[starts], 0)
    known = np.isin(categories, [*things, *stuffs])
    strange = categories[~known & ~np.isin(categories, list(void or ()))]
    if void is not None and len(strange):
        raise ValueError(f"category {strange[0]} is neither of things nor of stuffs")
    # One number for both ids, which sorts as the pair does.
    keys = (categories.astype(np.int64) << ID_BITS) + instances.astype(np.int64) - INT32.min
    listed, segment = np.unique(keys[known], return_inverse=True)
    run_ids = np.zeros(len(starts), dtype=np.int32)
    run_ids[known] = segment + 1
    ids = np.repeat(run_ids, np.diff(starts, append=category_map.size))
    file_ids = (listed >> ID_BITS).tolist()
    segments = [ListedSegment(n, i or ID_OF_ZERO) for n, i in enumerate(file_ids, start=1)]
    return make_prediction(ids.reshape(category_map.shape), segments)


def make_prediction(
    ids: npt.NDArray[np.integer[Any]], listed: Sequence[ListedSegment]
) -> PanopticPrediction:
    """A map and its segments, with their pixels counted.

    Ids that are not listed are void, segments without pixels are left out. Where a listed id is
    none that a map can hold, as 0, the segments are numbered anew from 1.

    Raises:
        ValueError: an id is listed twice.
    """
    own_ids = np.array([segment.segment_id for segment in listed], dtype=np.int64)
    if len(np.unique(own_ids)) != len(own_ids):
        raise ValueError("an id stands twice in segments_info")
    fit = not len(own_ids) or 1 <= own_ids.min() <= own_ids.max() <= MAX_SEGMENT_ID
    new_ids = own_ids if fit else np.arange(1, len(own_ids) + 1)
    order = np.argsort(own_ids)
    panoptic_map = _rename(ids, own_ids[order], new_ids[order])
    ascending = np.argsort(new_ids)
    areas, bboxes, _ = measure_segments(panoptic_map, new_ids[ascending].astype(np.int32))
    place = np.argsort(ascending)
    return PanopticPrediction(
        panoptic_map,
        tuple(
            SegmentInfo(
                segment_id=new_id,
                category_id=segment.category_id,
                area=area,
                bbox=tuple(bbox),
                iscrowd=segment.iscrowd,
                score=segment.score,
            )
            for segment, new_id, area, bbox in zip(
                listed,
                new_ids.tolist(),
                areas[place].tolist(),
                bboxes[place].tolist(),
                strict=True,
            )
            if area
        ),
    )


def _rename(
    ids: npt.NDArray[np.integer[Any]],
    old: npt.NDArray[np.int64],
    new: npt.NDArray[np.int64],
) -> Int32Array:
    """The map with each ascending old id replaced by its new one, all others by 0."""
    if not len(old):
        return np.zeros(ids.shape, dtype=np.int32)
    if ids.dtype == np.int32 and np.array_equal(old, new):  # the usual case, without unlisted ids
        panoptic_map = np.ascontiguousarray(ids)
        *_, unlisted = measure_segments(panoptic_map, old.astype(np.int32))
        if not unlisted:
            return panoptic_map
    place = np.searchsorted(old, ids).clip(max=len(old) - 1)
    return np.where(old[place] == ids, new[place], 0).astype(np.int32)


def _score(segment: Mapping[str, Any]) -> float | None:
    score = segment.get("score")
    return None if score is None else float(score)


def _name_detectron2(segment: Mapping[str, Any], names: Any) -> str | None:  # noqa: ANN401
    if segment.get("name"):
        return str(segment["name"])
    if hasattr(names, "stuff_classes"):
        names = names.thing_classes if segment.get("isthing") else names.stuff_classes
    return name_label(int(segment["category_id"]), names)
