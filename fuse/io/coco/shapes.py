"""A mask as a COCO JSON has it: an RLE or polygons, and the box around it."""

from __future__ import annotations

import ast
import warnings
from typing import Annotated, Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from fuse.errors import FuseWarning, describe_misfit, describe_size
from fuse.ops.outlines import check_perimeter
from fuse.ops.rle import count_rle_pixels

REACH = 10  # image sizes that a polygon may reach over the border
LEAST_INSIDE = 0.5  # of a mask's own box that lies in the box that its file gives

Box = tuple[float, float, float, float]  # xywh


class RleRecord(msgspec.Struct, frozen=True, gc=False):
    """COCO's run-length form: counts as compressed text or as plain numbers."""

    size: tuple[int, int]
    counts: str | tuple[Annotated[int, msgspec.Meta(ge=0)], ...]


Shape = RleRecord | tuple[tuple[float, ...], ...]  # an RLE, or polygons x, y, x, y, ... in pixels
Side = Annotated[float, msgspec.Meta(ge=0)]
SHAPE_DECODER: msgspec.json.Decoder[Shape] = msgspec.json.Decoder(Shape, strict=False)
BBOX_DECODER = msgspec.json.Decoder(tuple[float, float, Side, Side] | None, strict=False)


def read_shape(raw: msgspec.Raw) -> Shape:
    """A ``segmentation`` as it stands in a file.

    Raises:
        ValueError: it is neither an RLE nor polygons.
    """
    try:
        return SHAPE_DECODER.decode(raw)
    except msgspec.DecodeError as err:
        form = "; polygons are [[x, y, x, y, ...], ...]" if bytes(raw).startswith(b"[") else ""
        raise ValueError(f"{err}{form}") from err


def read_bbox(raw: msgspec.Raw) -> Box | None:
    """A ``bbox`` as it stands in a file, xywh; None where it is null or empty.

    Raises:
        ValueError: it is no box.
    """
    try:
        return None if bytes(raw) == b"[]" else BBOX_DECODER.decode(raw)
    except msgspec.DecodeError as err:
        raise ValueError(str(err)) from err


def lies_off(rle: dict[str, Any], bbox: Box | None) -> bool:
    """Whether most of a mask's own box lies outside of the box that its file gives.

    That is so where an RLE was counted along rows, or is of another object. A box of no area says
    nothing; masks have whole pixels, so a box counts as a pixel wider on each side.

    Args:
        rle: compressed.
        bbox: xywh.
    """
    if not bbox or not bbox[2] or not bbox[3]:
        return False
    left, top, width, height = coco_mask.toBbox(rle).tolist()
    inside_x = min(left + width, bbox[0] + bbox[2] + 1) - max(left, bbox[0] - 1)
    inside_y = min(top + height, bbox[1] + bbox[3] + 1) - max(top, bbox[1] - 1)
    return bool(max(inside_x, 0) * max(inside_y, 0) < LEAST_INSIDE * width * height)


def encode_shape(shape: Shape, size: tuple[int, int]) -> dict[str, Any]:
    """An RLE or polygons over an image of (height, width) as compressed RLE.

    Raises:
        ValueError: the RLE is of another size, cut short, or has more pixels than the image;
            or a polygon has fewer than three points, one far outside, or is very long.
    """
    height, width = size
    if isinstance(shape, RleRecord):
        if shape.size != size:
            raise ValueError(describe_misfit("the RLE", shape.size, "the image", size))
        if isinstance(shape.counts, str):
            counts = _encode_counts(shape.counts)
            # Of a code that ends early some scorers never find the end.
            if count_rle_pixels(counts, size) != height * width:
                raise ValueError("the RLE is cut short")
            return {"size": list(size), "counts": counts}
        if sum(shape.counts) != height * width:
            raise ValueError(
                f"the counts describe {sum(shape.counts)} pixels of {describe_size(size)}"
            )
        plain = {"size": list(size), "counts": list(shape.counts)}
        return dict(coco_mask.frPyObjects(plain, height, width))
    if not shape or any(len(polygon) < 6 or len(polygon) % 2 for polygon in shape):
        raise ValueError("a polygon needs x, y of at least three points")
    # pycocotools walks along the sides pixel by pixel: a far point would take all memory.
    reach = REACH * max(size)
    if any(abs(number) > reach for polygon in shape for number in polygon):
        raise ValueError(f"a polygon has a point more than {reach} pixels away")
    for polygon in shape:
        check_perimeter(np.array(polygon, dtype=np.float64).reshape(-1, 2))
    polygons = [list(polygon) for polygon in shape]
    return dict(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))


def _encode_counts(text: str) -> bytes:
    """The code of an RLE; one written as Python shows bytes, b'...', is read as these.

    Raises:
        ValueError: it is neither.
    """
    if text.startswith(("b'", 'b"')):  # no code has a quotation mark
        warnings.warn(
            FuseWarning(
                "counts of an RLE are written as Python shows bytes, b'...'; read all the same, "
                "but others will not: write counts.decode()"
            ),
            stacklevel=2,
        )
        try:
            counts = ast.literal_eval(text)
        except (ValueError, SyntaxError) as err:
            raise ValueError(f"counts {text[:20]!r} is no run-length code") from err
        return bytes(counts)
    return text.encode()
