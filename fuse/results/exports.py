"""A panoptic map in the forms of other libraries."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.errors import ConfigError
from fuse.io.coco.panoptic import ImageId, annotation_to_json
from fuse.io.png import encode_id_map
from fuse.ops.segments import label_segments
from fuse.types import Int32Array, LabelSpace
from fuse.types.label_space import id_to_file

if TYPE_CHECKING:
    from fuse.results.result import PanopticResult


def make_semantic_map(result: PanopticResult) -> Int32Array:
    """int32 (H, W), a category_id per pixel as files have it; `LabelSpace.none_id` is void."""
    segments = result.segments_info
    ids = np.array([s.segment_id for s in segments], dtype=np.int32)
    category_ids = np.array([id_to_file(s.category_id) for s in segments], dtype=np.int32)
    semantic_map = label_segments(result.panoptic_map, ids, category_ids)
    none_id = result.space.none_id
    return np.where(result.panoptic_map == 0, none_id, semantic_map) if none_id else semantic_map


def summarize_segments(result: PanopticResult) -> list[dict[str, Any]]:
    """Each segment in plain values; its keys are those of ultralytics where these exist."""
    return [
        {
            "id": segment.id,
            "name": segment.name,
            "class": segment.category_id,
            "isthing": segment.isthing,
            "confidence": segment.score,
            "box": dict(zip(("x1", "y1", "x2", "y2"), segment.xyxy, strict=True)),
            "area": segment.area,
        }
        for segment in result
    ]


def to_coco(
    result: PanopticResult, image_id: ImageId, file_name: str
) -> tuple[dict[str, Any], bytes]:
    """The annotation of a COCO panoptic JSON, and its PNG."""
    if not file_name.lower().endswith(".png"):
        file_name = str(PurePosixPath(file_name).with_suffix(".png"))
    annotation = annotation_to_json(image_id, file_name, result.segments_info)
    return annotation, encode_id_map(result.panoptic_map)


def to_supervision(result: PanopticResult) -> Any:  # noqa: ANN401 - the type is supervision's
    """``supervision.Detections``."""
    try:
        import supervision
    except ImportError as err:
        raise ConfigError("supervision is not installed: pip install supervision") from err
    return supervision.Detections(
        xyxy=result.xyxy,
        mask=result.mask,
        confidence=result.confidence,
        class_id=result.class_id,
        data={"class_name": np.array([segment.name for segment in result], dtype=str)},
    )


def to_torch(result: PanopticResult) -> Any:  # noqa: ANN401 - a tensor of torch
    """int64 tensor (H, W, 2)."""
    pairs = np.stack((result.semantic_map, result.instance_map), axis=-1)
    return _to_tensor(pairs.astype(np.int64))


def to_transformers(result: PanopticResult) -> dict[str, Any]:
    """``segmentation`` and ``segments_info``; each segment has its name as ``label``, too."""
    class_index = _index_classes(result.space)
    return {
        "segmentation": _to_tensor(result.panoptic_map.copy()),
        "segments_info": [
            {
                "id": segment.id,
                "label_id": class_index[segment.category_id],
                "label": segment.name,
                "was_fused": not segment.isthing,
                "score": segment.score,
            }
            for segment in result
        ],
    }


def to_detectron2(result: PanopticResult) -> tuple[Any, list[dict[str, Any]]]:
    """``panoptic_seg``; each segment has its ``name``, too, and a score where there is one."""
    class_index = _index_classes(result.space)
    segments = []
    for segment in result:
        about = {
            "id": segment.id,
            "isthing": segment.isthing,
            "category_id": class_index[segment.category_id],
            "area": segment.area,
            "name": segment.name,
        }
        segments.append(about if segment.score is None else about | {"score": segment.score})
    return _to_tensor(result.panoptic_map.copy()), segments


def _index_classes(space: LabelSpace) -> dict[int, int]:
    """The place of each category in its space: what other libraries count classes by."""
    return {category.file_id: row for row, category in enumerate(space.categories)}


def _to_tensor(array: np.ndarray[Any, Any]) -> Any:  # noqa: ANN401 - a tensor of torch
    from fuse.models.runtime import from_numpy  # torch is loaded when a tensor is asked for

    return from_numpy(array)
