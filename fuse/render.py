"""Pictures of what the nets say and what the fusion makes of it."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fuse.io.files import write_whole
from fuse.ops.innermost import InnermostPoint, innermost_points
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

PANEL_SIDE = 480  # longest side of a photo in an overview, pixels
MARGIN = 14  # around and between the panels of an overview
TINT = 0.55  # share of a segment's colour in its pixels
DIMMED = 0.6  # brightness of pixels that belong to no segment
BORDER = (255, 255, 255)
PAGE = (255, 255, 255)
CAPTION_INK = (40, 40, 40)
NAME_INK = (255, 255, 255)
PLATE_OPACITY = 190  # of 255, of the plate under a name
SMALLEST_NAMED = 0.3  # radius of the smallest segment that is named, in font sizes

# The tones of things of one class in turn: steps of hue (in turns) and of lightness. Steps
# follow each other far apart, so that neighbours in a list, often neighbours in the photo, differ.
TONES = (
    (0.0, 0.0),
    (0.05, 0.16),
    (-0.05, -0.10),
    (0.08, -0.14),
    (-0.08, 0.20),
    (0.02, 0.26),
    (-0.02, -0.18),
)

Color = tuple[int, int, int]
Box = tuple[int, int, int, int]  # x1, y1, x2, y2


@dataclass(frozen=True, slots=True)
class _Region:
    """One segment of a picture: what it is called and how it is painted."""

    text: str
    color: Color
    box: Box | None = None  # drawn, and named at its corner, where there is one


def render_semantic(image: UInt8Array, label_map: Int32Array, space: LabelSpace) -> UInt8Array:
    """The photo tinted by the classes of a label map, each class named once.

    Args:
        image: uint8 (H, W, 3).
        label_map: int32 (H, W), category_ids of the space, 0 = void (dimmed).
        space: names and colours.

    Raises:
        ValueError: the sizes differ, or a category_id is not in the space.
    """
    regions = _semantic_regions(label_map, space)
    return _picture(image, label_map, regions)


def render_instances(
    image: UInt8Array, instances: Instances, space: LabelSpace, *, score_threshold: float
) -> UInt8Array:
    """The photo with the masks and boxes of the instances that reach a score, best on top.

    Raises:
        ValueError: the sizes differ, or a category_id is not in the space.
    """
    order = _painted_order(instances, score_threshold)
    regions = _instance_regions(instances, order, space)
    return _picture(image, _instance_map(instances, order), regions)


def render_panoptic(
    image: UInt8Array, prediction: PanopticPrediction, space: LabelSpace
) -> UInt8Array:
    """The photo tinted by the segments of a panoptic map; works for ground truth as well.

    Raises:
        ValueError: the sizes differ, or a category_id is not in the space.
    """
    regions = _panoptic_regions(prediction, space)
    return _picture(image, prediction.panoptic_map, regions)


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
    """Photo, semantic map, instances, fused map (and ground truth) side by side.

    Large photos are shrunk so that no panel is longer than PANEL_SIDE.

    Raises:
        ValueError: the sizes differ, or a category_id is not in the space.
    """
    order = _painted_order(instances, score_threshold)
    maps = {
        "Semantic net": (semantic.label_map, _semantic_regions(semantic.label_map, space)),
        "Instance net": (
            _instance_map(instances, order),
            _instance_regions(instances, order, space),
        ),
        "Fused": (prediction.panoptic_map, _panoptic_regions(prediction, space)),
    }
    if truth is not None:
        maps["Ground truth"] = (truth.panoptic_map, _panoptic_regions(truth, space))
    scale = min(1.0, PANEL_SIDE / max(image.shape[:2]))
    small = _shrink(image, scale)
    panels = {"Photo": small}
    for caption, (segment_map, regions) in maps.items():
        _check_size(image, segment_map)
        panels[caption] = _picture(
            small,
            _sample(segment_map, small.shape[:2]),
            {key: _scale_box(region, scale) for key, region in regions.items()},
        )
    return _side_by_side(panels)


def save_picture(path: Path, picture: UInt8Array) -> None:
    """Write a picture as JPEG (.jpg, .jpeg) or PNG, by the path's ending, whole or not at all.

    Raises:
        ValueError: the ending is another one.
        OSError: the folder is missing or not writable.
    """
    kinds = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: a picture ends in {', '.join(kinds)}")
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, quality=92)
    write_whole(path, file.getvalue())


def _semantic_regions(label_map: Int32Array, space: LabelSpace) -> dict[int, _Region]:
    """A region per category in the map."""
    regions = {}
    for category_id in np.unique(label_map).tolist():
        if category_id != 0:
            category = _category(space, category_id)
            regions[category_id] = _Region(_short_name(category), category.color)
    return regions


def _painted_order(instances: Instances, score_threshold: float) -> list[int]:
    """Indices of the instances that reach the score, worst first, so that the best cover."""
    order = np.argsort(-instances.scores, kind="stable")
    return order[instances.scores[order] >= score_threshold][::-1].tolist()


def _instance_map(instances: Instances, order: Sequence[int]) -> Int32Array:
    """int32 (H, W): 1 + index of the topmost instance, 0 where there is none."""
    instance_map = np.zeros(instances.size, dtype=np.int32)
    for index in order:
        mask, (top, left) = paste_mask(instances, index)
        height, width = mask.shape
        instance_map[top : top + height, left : left + width][mask] = index + 1
    return instance_map


def _instance_regions(
    instances: Instances, order: Sequence[int], space: LabelSpace
) -> dict[int, _Region]:
    """A region with a box per instance, by 1 + index, best first."""
    seen: dict[int, int] = {}
    regions = {}
    for index in reversed(order):
        category = _category(space, int(instances.category_ids[index]))
        tone = seen[category.category_id] = seen.get(category.category_id, -1) + 1
        x1, y1, x2, y2 = instances.boxes[index].tolist()
        regions[index + 1] = _Region(
            f"{_short_name(category)} {instances.scores[index]:.2f}",
            _vary(category.color, tone),
            (round(x1), round(y1), round(x2), round(y2)),
        )
    return regions


def _panoptic_regions(prediction: PanopticPrediction, space: LabelSpace) -> dict[int, _Region]:
    """A region per segment, large segments first."""
    seen: dict[int, int] = {}
    regions = {}
    for segment in sorted(prediction.segments_info, key=lambda segment: -segment.area):
        category = _category(space, segment.category_id)
        tone = seen[category.category_id] = seen.get(category.category_id, -1) + 1
        score = "" if segment.score is None else f" {segment.score:.2f}"
        regions[segment.segment_id] = _Region(
            _short_name(category) + score,
            _vary(category.color, tone) if category.isthing else category.color,
        )
    return regions


def _category(space: LabelSpace, category_id: int) -> Category:
    """The category of that id."""
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


def _check_size(image: UInt8Array, segment_map: Int32Array) -> None:
    if image.shape[:2] != segment_map.shape:
        raise ValueError(f"photo {image.shape[:2]} and map {segment_map.shape} differ in size")


def _picture(image: UInt8Array, segment_map: Int32Array, regions: dict[int, _Region]) -> UInt8Array:
    """The photo tinted by its regions, with borders and names.

    Regions that come first are named first; names that find no room are left out.
    """
    _check_size(image, segment_map)
    tinted = _tint(image, segment_map, regions)
    canvas = Image.fromarray(tinted)
    draw = ImageDraw.Draw(canvas, "RGBA")
    line = _line_width(image)
    for region in reversed(regions.values()):
        if region.box is not None:
            draw.rectangle(_inner_box(region.box, image), outline=region.color, width=line)
    _write_names(draw, segment_map, regions)
    return np.array(canvas)


def _tint(image: UInt8Array, segment_map: Int32Array, regions: dict[int, _Region]) -> UInt8Array:
    """The photo blended with the regions' colours, dimmed where there is none, with borders."""
    keys = np.array([0, *sorted(regions)], dtype=np.int32)
    colors = np.array([(0, 0, 0), *(regions[key].color for key in keys[1:].tolist())])
    place = np.searchsorted(keys, segment_map)
    weights = np.array([DIMMED, *[1 - TINT] * len(regions)], dtype=np.float32)
    added = (TINT * colors).astype(np.float32)
    blended = image * weights[place][..., None] + added[place]
    tinted: UInt8Array = blended.astype(np.uint8)
    tinted[_borders(segment_map, _line_width(image))] = BORDER
    return tinted


def _borders(segment_map: Int32Array, width: int) -> npt.NDArray[np.bool_]:
    """bool (H, W): pixels within width / 2 of a border between two segments."""
    borders = np.zeros(segment_map.shape, dtype=np.bool_)
    across = segment_map[1:] != segment_map[:-1]
    along = segment_map[:, 1:] != segment_map[:, :-1]
    borders[:-1] |= across
    borders[:, :-1] |= along
    if width > 1:
        borders[1:] |= across
        borders[:, 1:] |= along
    return borders


def _write_names(
    draw: ImageDraw.ImageDraw, segment_map: Int32Array, regions: dict[int, _Region]
) -> None:
    """Write each region's name where it lies, leaving out names that would cover another."""
    height, width = segment_map.shape
    size = _font_size(height, width)
    font, pad = _font(size), max(2, size // 5)
    points = innermost_points(segment_map)
    taken: list[Box] = []
    for key, region in regions.items():
        if key not in points or points[key].radius < SMALLEST_NAMED * size:
            continue
        plate_width = round(draw.textlength(region.text, font=font)) + 2 * pad
        plate_height = size + 2 * pad
        for left, top in _places(region, points[key], plate_width, plate_height):
            x = min(max(left, 0), max(width - plate_width, 0))
            y = min(max(top, 0), max(height - plate_height, 0))
            plate = (x, y, x + plate_width, y + plate_height)
            if not any(_overlap(plate, other) for other in taken):
                taken.append(plate)
                red, green, blue = region.color
                fill = (red // 3, green // 3, blue // 3, PLATE_OPACITY)
                draw.rounded_rectangle(plate, radius=pad, fill=fill)
                center = (x + plate_width / 2, y + plate_height / 2)
                draw.text(center, region.text, fill=NAME_INK, font=font, anchor="mm")
                break


def _places(
    region: _Region, point: InnermostPoint, plate_width: int, plate_height: int
) -> list[tuple[int, int]]:
    """Where a name's plate may have its left top corner (x, y), the best place first."""
    if region.box is not None:
        x1, y1, x2, y2 = region.box
        above, inside, below = y1 - plate_height, y1, y2
        return [(x, y) for y in (above, inside, below) for x in (x1, x2 - plate_width)]
    x, y = point.x - plate_width // 2, point.y - plate_height // 2
    reach = round(point.radius) // 2
    return [
        (x + dx, y + dy) for dx, dy in ((0, 0), (0, reach), (0, -reach), (-reach, 0), (reach, 0))
    ]


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inner_box(box: Box, image: UInt8Array) -> Box:
    """The box inside the photo, with its last row and column for Pillow."""
    height, width = image.shape[:2]
    x1, y1 = min(max(box[0], 0), width - 1), min(max(box[1], 0), height - 1)
    return x1, y1, max(min(box[2], width) - 1, x1), max(min(box[3], height) - 1, y1)


def _line_width(image: UInt8Array) -> int:
    """Width of borders and boxes in pixels."""
    return 1 if max(image.shape[:2]) <= 800 else 2


def _font_size(height: int, width: int) -> int:
    """Size of names in pixels for a photo of that size."""
    return max(11, round(max(height, width) / 32))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font at a size in pixels."""
    return ImageFont.load_default(size)


def _shrink(image: UInt8Array, scale: float) -> UInt8Array:
    """The photo at that scale, each pixel an average."""
    if scale == 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def _sample(segment_map: Int32Array, size: tuple[int, int]) -> Int32Array:
    """The map at another size (h, w): for each pixel the value at its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for new, old in zip(size, segment_map.shape, strict=True)
    )
    return segment_map[rows[:, None], columns]


def _scale_box(region: _Region, scale: float) -> _Region:
    """The region with its box in a shrunk photo."""
    if region.box is None:
        return region
    x1, y1, x2, y2 = (round(edge * scale) for edge in region.box)
    return _Region(region.text, region.color, (x1, y1, x2, y2))


def _side_by_side(panels: dict[str, UInt8Array]) -> UInt8Array:
    """Panels of one size in a row on a white page, each under its caption."""
    height, width = next(iter(panels.values())).shape[:2]
    font = _font(PANEL_SIDE // 22)
    caption_height = PANEL_SIDE // 14
    page_size = (
        MARGIN + len(panels) * (width + MARGIN),
        height + caption_height + 2 * MARGIN,
    )
    page = Image.new("RGB", page_size, PAGE)
    draw = ImageDraw.Draw(page)
    for column, (caption, panel) in enumerate(panels.items()):
        x = MARGIN + column * (width + MARGIN)
        draw.text(
            (x, MARGIN + caption_height / 2), caption, fill=CAPTION_INK, font=font, anchor="lm"
        )
        page.paste(Image.fromarray(panel), (x, MARGIN + caption_height))
    return np.array(page)
