"""Drawing on images: tinted segments with borders, boxes and names; panels in a row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fuse.errors import describe_size
from fuse.types import BoolArray, Int32Array, UInt8Array
from fuse.viz.label_points import LabelPoint, find_label_points

TINT = 0.55  # share of a segment's colour in its pixels
DIMMED = 0.6  # brightness of pixels that belong to no segment
BORDER = (255, 255, 255)
PAGE = (255, 255, 255)
CAPTION_SIZE = 22  # pixels
CAPTION_INK = (40, 40, 40)
NAME_INK = (255, 255, 255)
PLATE_OPACITY = 190  # of 255, of the plate under a name
SMALLEST_NAMED = 0.3  # radius of the smallest segment that is named, in font sizes
MARGIN = 14  # around and between the panels of a row, pixels

Color = tuple[int, int, int]
Box = tuple[int, int, int, int]  # x1, y1, x2, y2
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Picture = Image.Image


@dataclass(frozen=True, slots=True)
class Region:
    """One segment of a picture: what it is called and how it is painted.

    Attributes:
        text: its name.
        color: its tint.
        box: drawn around it, with the name at a corner, where there is one.
        named_above: a name that would hide it goes above it instead of onto it.
    """

    text: str
    color: Color
    box: Box | None = None
    named_above: bool = False


def check_size(image: UInt8Array, segment_map: Int32Array) -> None:
    """Raise ValueError unless the image and the map have one size."""
    if image.shape[:2] != segment_map.shape:
        raise ValueError(
            f"the image is {describe_size(image.shape[:2])}; the map is "
            f"{describe_size(segment_map.shape)}"
        )


def to_picture(pixels: UInt8Array) -> Picture:
    """Pixels as a picture of Pillow."""
    return Image.fromarray(pixels)


def draw_regions(
    image: UInt8Array,
    segment_map: Int32Array,
    regions: dict[int, Region],
    *,
    tint: float = TINT,
    names: bool = True,
) -> UInt8Array:
    """The image tinted by its regions, with borders, boxes and names.

    Pixels whose value in the map is no key of the regions are dimmed. Regions are named in their
    order; a name that finds no room is left out. ValueError where image and map differ in size.

    Args:
        image: uint8 (H, W, 3).
        segment_map: int32 (H, W).
        regions: by their value in the map.
        tint: share of a region's colour in its pixels, 0..1.
        names: whether regions are named.
    """
    check_size(image, segment_map)
    canvas = Image.fromarray(_tint(image, segment_map, regions, tint))
    draw = ImageDraw.Draw(canvas, "RGBA")
    for region in reversed(regions.values()):
        if region.box is not None:
            edges = _inner_box(region.box, image)
            draw.rectangle(edges, outline=region.color, width=_line_width(image))
    if names:
        _write_names(draw, segment_map, regions)
    return np.array(canvas)


def side_by_side(panels: dict[str, UInt8Array]) -> UInt8Array:
    """Panels of one size in a row on a white page, each under its caption."""
    font = _font(CAPTION_SIZE)
    height, width = next(iter(panels.values())).shape[:2]
    step = MARGIN + max(width, *(round(font.getlength(caption)) for caption in panels))
    top = MARGIN + 3 * CAPTION_SIZE // 2
    page = Image.new("RGB", (MARGIN + len(panels) * step, top + height + MARGIN), PAGE)
    draw = ImageDraw.Draw(page)
    for column, (caption, panel) in enumerate(panels.items()):
        x = MARGIN + column * step
        draw.text((x, (MARGIN + top) / 2), caption, fill=CAPTION_INK, font=font, anchor="lm")
        page.paste(Image.fromarray(panel), (x, top))
    return np.array(page)


def _tint(
    image: UInt8Array, segment_map: Int32Array, regions: dict[int, Region], tinted_share: float
) -> UInt8Array:
    """The image blended with the regions' colours, dimmed where there is none, with borders."""
    keys = np.array([0, *sorted(regions)], dtype=np.int32)
    colors = [(0, 0, 0), *(regions[key].color for key in keys[1:].tolist())]
    shares = [1 - DIMMED, *[tinted_share] * len(regions)]
    place = np.searchsorted(keys, segment_map).clip(max=len(keys) - 1)
    place[keys[place] != segment_map] = 0
    tint = Image.fromarray(np.array(colors, dtype=np.uint8)[place])
    share = Image.fromarray(np.array([255 * share for share in shares], dtype=np.uint8)[place])
    tinted = np.array(Image.composite(tint, Image.fromarray(image), share))
    tinted[_borders(segment_map, _line_width(image))] = BORDER
    return tinted


def _borders(segment_map: Int32Array, width: int) -> BoolArray:
    """Pixels, bool (H, W), within width / 2 of a border between two segments."""
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
    draw: ImageDraw.ImageDraw, segment_map: Int32Array, regions: dict[int, Region]
) -> None:
    """Write each region's name where it lies, leaving out names that would cover another."""
    height, width = segment_map.shape
    size = max(11, round(max(height, width) / 34))  # pixels
    font, pad = _font(size), max(2, size // 5)
    points = find_label_points(segment_map)
    taken: list[Box] = []
    for key, region in regions.items():
        if key not in points or points[key].radius < SMALLEST_NAMED * size:
            continue
        plate_size = round(font.getlength(region.text)) + 2 * pad, size + 2 * pad
        for left, top in _places(region, points[key], *plate_size):
            x = min(max(left, 0), max(width - plate_size[0], 0))
            y = min(max(top, 0), max(height - plate_size[1], 0))
            plate = (x, y, x + plate_size[0], y + plate_size[1])
            if not any(_overlap(plate, other) for other in taken):
                taken.append(plate)
                _draw_name(draw, region, plate, font, pad)
                break


def _draw_name(
    draw: ImageDraw.ImageDraw, region: Region, plate: Box, font: Font, corner_radius: int
) -> None:
    """Write a region's name in the middle of a see-through plate of its colour, darkened."""
    red, green, blue = region.color
    fill = (red // 3, green // 3, blue // 3, PLATE_OPACITY)
    draw.rounded_rectangle(plate, radius=corner_radius, fill=fill)
    center = ((plate[0] + plate[2]) / 2, (plate[1] + plate[3]) / 2)
    draw.text(center, region.text, fill=NAME_INK, font=font, anchor="mm")


def _places(
    region: Region, point: LabelPoint, plate_width: int, plate_height: int
) -> list[tuple[int, int]]:
    """Where a name's plate may have its left top corner (x, y), the best place first."""
    if region.box is not None:
        x1, y1, x2, y2 = region.box
        above, inside, below = y1 - plate_height, y1, y2
        return [(x, y) for y in (above, inside, below) for x in (x1, x2 - plate_width)]
    left, top = point.x - plate_width // 2, point.y - plate_height // 2
    reach = round(point.radius) // 2
    steps = ((0, 0), (0, reach), (0, -reach), (-reach, 0), (reach, 0))
    onto = [(left + x, top + y) for x, y in steps]
    if region.named_above and point.radius < plate_height:
        return [(left, point.top - plate_height - 1), *onto]
    return onto


def _overlap(a: Box, b: Box) -> bool:
    """True where two boxes share a pixel."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inner_box(box: Box, image: UInt8Array) -> Box:
    """The box inside the image, with its last row and column for Pillow."""
    height, width = image.shape[:2]
    x1, y1 = min(max(box[0], 0), width - 1), min(max(box[1], 0), height - 1)
    return x1, y1, max(min(box[2], width) - 1, x1), max(min(box[3], height) - 1, y1)


def _line_width(image: UInt8Array) -> int:
    """Width of borders and boxes in pixels."""
    return 1 if max(image.shape[:2]) <= 800 else 2


@cache
def _font(size: int) -> Font:
    """Pillow's own font at a size in pixels."""
    return ImageFont.load_default(size)
