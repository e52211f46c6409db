"""What images there are and what categories, as COCO's image and category files say."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fuse.errors import CocoFormatError
from fuse.io.coco.categories import CategoryRecord, make_space
from fuse.io.coco.panoptic import ImageId, ImageRecord
from fuse.io.json_toml import read_json
from fuse.types import MAX_PIXELS, LabelSpace


class _ImagesFile(msgspec.Struct, frozen=True):
    images: tuple[ImageRecord, ...]
    categories: tuple[CategoryRecord, ...] | None = None


def read_image_list(path: Path) -> tuple[dict[ImageId, ImageRecord], LabelSpace | None]:
    """Read a COCO JSON with ``images``, such as image_info or any ground truth.

    Returns:
        The images by image_id in the order of the file, each with its name and size; and the
        label space of the file's categories, None where it has none.

    Raises:
        CocoFormatError: the file is missing or wrong, an image has no name or size, or
            too many pixels, or an image_id stands twice; the
            message names the entry.
    """
    content = read_json(path, _ImagesFile, "COCO JSON with images")
    images: dict[ImageId, ImageRecord] = {}
    for place, image in enumerate(content.images):
        where = f"{path}, images, entry {place} (id {image.image_id!r})"
        if image.image_id in images:
            raise CocoFormatError(f"{where}: the id stands twice")
        if not image.file_name or image.height is None or image.width is None:
            raise CocoFormatError(f"{where}: needs file_name, height and width")
        if image.height * image.width > MAX_PIXELS:
            raise CocoFormatError(f"{where}: has more than {MAX_PIXELS:,} pixels")
        images[image.image_id] = image
    return images, make_space(content.categories, path) if content.categories else None
