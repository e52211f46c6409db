"""Pictures of what the nets predict and what the fusion makes of it.

Images are uint8 (H, W, 3), maps int32 (H, W) with 0 = void, which is dimmed. All functions raise
ValueError where the sizes differ or a category_id is not in the label space.
"""

from __future__ import annotations

import colorsys
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from fuse.io.files import write_whole
from fuse.ops.masks import paste_mask
from fuse.types import (
    Category,
    Instances,
    Int32Array,
    LabelSpace,
    PanopticPrediction,
    SemanticPrediction,
    UInt8Array,
)
from fuse.viz.drawing import TINT, Color, Region, check_size, draw_regions, side_by_side

PANEL_SIDE = 480  # longest side of an image in an overview, pixels
# The tones of things of one class in turn: steps of hue (in turns) and of lightness. Steps
# follow each other far apart, so that neighbours in a list, often neighbours in the image, differ.
TONES = (
    (0.0, 0.0),
    (0.05, 0.16),
    (-0.05, -0.10),
    (0.08, -0.14),
    (-0.08, 0.20),
    (0.02, 0.26),
    (-0.02, -0.18),
)


def render_semantic(image: UInt8Array, label_map: Int32Array, space: LabelSpace) -> UInt8Array:
    """The image tinted by the classes of a label map, each class named once."""
    return draw_regions(image, label_map, semantic_regions(label_map, space))


def render_instances(
    image: UInt8Array, instances: Instances, space: LabelSpace, *, score_threshold: float
) -> UInt8Array:
    """The image with the masks and boxes of the instances that reach a score, best on top."""
    return draw_regions(image, *instance_regions(instances, space, score_threshold))


def render_panoptic(
    image: UInt8Array,
    prediction: PanopticPrediction,
    space: LabelSpace,
    *,
    tint: float = TINT,
    labels: bool = True,
    boxes: bool = False,
) -> UInt8Array:
    """The image tinted by the segments of a panoptic map; works for ground truth as well.

    Args:
        image: uint8 (H, W, 3), RGB.
        prediction: the map.
        space: its categories, which have the colours.
        tint: share of the colour in a segment, 0..1.
        labels: whether segments are named.
        boxes: whether things have their boxes drawn.
    """
    regions = panoptic_regions(prediction, space)
    if boxes:
        for segment in prediction.segments_info:
            if space.by_id[segment.category_id].isthing:
                x, y, width, height = segment.bbox
                region = regions[segment.segment_id]
                regions[segment.segment_id] = replace(region, box=(x, y, x + width, y + height))
    return draw_regions(image, prediction.panoptic_map, regions, tint=tint, names=labels)


def render_overview(
    image: UInt8Array,
    semantic: SemanticPrediction,
    instances: Instances,
    prediction: PanopticPrediction,
    space: LabelSpace,
    *,
    score_threshold: float,
    truth: PanopticPrediction | None = None,
) -> UInt8Array:
    """Image, semantic map, instances, fused map (and ground truth) side by side.

    Large images are shrunk so that no panel is longer than PANEL_SIDE.
    """
    maps = {
        "Semantic net": (semantic.label_map, semantic_regions(semantic.label_map, space)),
        "Instance net": instance_regions(instances, space, score_threshold),
        "Fused": (prediction.panoptic_map, panoptic_regions(prediction, space)),
    }
    if truth is not None:
        maps["Ground truth"] = (truth.panoptic_map, panoptic_regions(truth, space))
    scale = min(1.0, PANEL_SIDE / max(image.shape[:2]))
    small = shrink(image, scale)
    panels = {"Photo": small}
    for caption, (segment_map, regions) in maps.items():
        check_size(image, segment_map)
        panels[caption] = draw_regions(
            small,
            sample_map(segment_map, small.shape[:2]),
            {key: _scale_box(region, scale) for key, region in regions.items()},
        )
    return side_by_side(panels)


def save_picture(path: Path, picture: UInt8Array) -> str:
    """Write a picture as JPEG (.jpg, .jpeg) or PNG, by the path's ending, whole or not at all.

    Returns:
        SHA-256 of the file in hex.

    Raises:
        ValueError: the ending is another one.
        OSError: the folder is missing or not writable.
    """
    kinds = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: a picture ends in {', '.join(kinds)}")
    file = io.BytesIO()
    # Each kind takes its own option; PNG's default level takes twice as long to save 8 %.
    Image.fromarray(picture).save(file, kind, quality=92, compress_level=2)
    return write_whole(path, file.getvalue())


def encode_jpeg(picture: UInt8Array, quality: int) -> bytes:
    """The bytes of a picture as JPEG, small for its quality of 1..95."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def semantic_regions(label_map: Int32Array, space: LabelSpace) -> dict[int, Region]:
    """A region per category in the map, large ones first."""
    category_ids, areas = np.unique(label_map, return_counts=True)
    by_area = category_ids[np.argsort(-areas, kind="stable")].tolist()
    categories = [_category(space, category_id) for category_id in by_area if category_id]
    return {c.category_id: Region(_short_name(c), c.color) for c in categories}


def instance_regions(
    instances: Instances, space: LabelSpace, score_threshold: float
) -> tuple[Int32Array, dict[int, Region]]:
    """A map of 1 + index of the best instance per pixel, and a region for each, best first."""
    instance_map = np.zeros(instances.size, dtype=np.int32)
    seen: Counter[int] = Counter()
    regions = {}
    for index in np.argsort(-instances.scores, kind="stable").tolist():
        if instances.scores[index] < score_threshold:
            break
        mask, (top, left) = paste_mask(instances, index)
        if not mask.size:
            continue
        bottom, right = top + mask.shape[0], left + mask.shape[1]
        crop = instance_map[top:bottom, left:right]
        crop[mask & (crop == 0)] = index + 1
        category = _category(space, int(instances.category_ids[index]))
        regions[index + 1] = Region(
            f"{_short_name(category)} {instances.scores[index]:.2f}",
            _vary(category.color, seen[category.category_id]),
            box=(left, top, right, bottom),
        )
        seen[category.category_id] += 1
    return instance_map, regions


def panoptic_regions(prediction: PanopticPrediction, space: LabelSpace) -> dict[int, Region]:
    """A region per segment, large segments first."""
    seen: Counter[int] = Counter()
    regions = {}
    for segment in prediction.segments_info:
        category = _category(space, segment.category_id)
        score = "" if segment.score is None else f" {segment.score:.2f}"
        tint = _vary(category.color, seen[category.category_id])
        regions[segment.segment_id] = Region(
            _short_name(category) + score,
            tint if category.isthing else category.color,
            named_above=category.isthing,
        )
        seen[category.category_id] += 1
    by_area = sorted(prediction.segments_info, key=lambda segment: -segment.area)
    return {segment.segment_id: regions[segment.segment_id] for segment in by_area}


def _category(space: LabelSpace, category_id: int) -> Category:
    if category_id not in space.by_id:
        raise ValueError(f"category_id {category_id} is not in {space.name}")
    return space.by_id[category_id]


def _short_name(category: Category) -> str:
    """A category's name without what COCO adds to classes that it merged."""
    return category.name.removesuffix("-merged").removesuffix("-other")


def _vary(color: Color, index: int) -> Color:
    """The tone of a colour for the index-th thing of its class."""
    hue_step, lightness_step = TONES[index % len(TONES)]
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    lightness = min(max(lightness + lightness_step, 0.25), 0.8)
    red, green, blue = colorsys.hls_to_rgb((hue + hue_step) % 1, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def shrink(image: UInt8Array, scale: float) -> UInt8Array:
    """The image at that scale, each pixel an average."""
    if scale == 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def sample_map(segment_map: Int32Array, size: tuple[int, int]) -> Int32Array:
    """The map at another size (h, w): for each pixel the value at its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for new, old in zip(size, segment_map.shape, strict=True)
    )
    sampled: Int32Array = segment_map[rows[:, None], columns]
    return sampled


def _scale_box(region: Region, scale: float) -> Region:
    """The region with its box in a shrunk image."""
    if region.box is None:
        return region
    x1, y1, x2, y2 = (round(edge * scale) for edge in region.box)
    return replace(region, box=(x1, y1, x2, y2))
