"""The categories of a COCO JSON, and the label space that they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from fuse.errors import CocoFormatError, LabelSpaceError
from fuse.io.json_toml import read_json
from fuse.labels import identify_space, list_spaces, load_space
from fuse.types import Category, LabelSpace
from fuse.types.label_space import MAX_CATEGORY_ID

Flag = Annotated[int, msgspec.Meta(ge=0, le=1)] | bool | None  # of isthing and iscrowd
GREY = (128, 128, 128)


class CategoryRecord(msgspec.Struct, frozen=True):
    """One category of a JSON, as written; isthing is None where it does not say.

    What only pictures and people look at may be anything: tools write null, "#fd380c", RGBA and
    fractions.
    """

    category_id: int = msgspec.field(name="id")
    name: str
    isthing: Flag = None
    supercategory: Any = ""
    color: Any = GREY


class _CategoriesFile(msgspec.Struct, frozen=True):
    categories: tuple[CategoryRecord, ...]


def list_categories(space: LabelSpace) -> list[CategoryRecord]:
    """The categories of a label space as they stand in a JSON."""
    return [
        CategoryRecord(c.file_id, c.name, int(c.isthing), c.supercategory, c.color)
        for c in space.categories
    ]


def categories_to_json(space: LabelSpace) -> list[dict[str, Any]]:
    """The same, as plain values."""
    categories: list[dict[str, Any]] = msgspec.to_builtins(list_categories(space))
    return categories


def make_space(records: Sequence[CategoryRecord], path: Path) -> LabelSpace:
    """The label space of a JSON's categories; a shipped one where they are that or a part of it.

    What the JSON does not say is a thing is looked up in the shipped spaces, and else is one.
    """
    own_space = make_own_space(records, path)
    return identify_space(own_space.categories) or own_space


def make_own_space(records: Sequence[CategoryRecord], path: Path) -> LabelSpace:
    """The categories as they stand, named after the file."""
    for record in records:
        if not 0 <= record.category_id <= MAX_CATEGORY_ID:
            raise CocoFormatError(
                f"{path}, categories: id {record.category_id} of {record.name!r} does not lie in "
                f"0..{MAX_CATEGORY_ID}"
            )
    unsaid = any(record.isthing is None for record in records)
    shipped = _shipped_isthing(records) if unsaid else {}
    categories = tuple(
        Category(
            category_id=record.category_id,
            name=record.name,
            isthing=(
                shipped.get(record.category_id, True)
                if record.isthing is None
                else bool(record.isthing)
            ),
            supercategory=(record.supercategory if isinstance(record.supercategory, str) else ""),
            color=parse_color(record.color),
        )
        for record in records
    )
    try:
        return LabelSpace(path.stem, categories)
    except LabelSpaceError as err:
        raise CocoFormatError(f"{path}, categories: {err}") from err


def parse_color(color: object) -> tuple[int, int, int]:
    """A category's red, green and blue in 0..255; grey where it is nothing that can be read.

    >>> parse_color([250, 0, 30]), parse_color("#fd380c"), parse_color([0.5, 0, 1, 1])
    ((250, 0, 30), (253, 56, 12), (128, 0, 255))
    >>> parse_color(None), parse_color("red")
    ((128, 128, 128), (128, 128, 128))
    """
    if isinstance(color, str):
        digits = color.removeprefix("#")
        if re.fullmatch(r"[0-9a-fA-F]{6}([0-9a-fA-F]{2})?", digits):
            red, green, blue = bytes.fromhex(digits)[:3]
            return red, green, blue
        return GREY
    if not isinstance(color, list | tuple) or len(color) not in (3, 4):
        return GREY
    channels = color[:3]
    if not all(isinstance(c, int | float) and 0 <= c <= 255 for c in channels):
        return GREY
    if any(isinstance(c, float) for c in color) and max(channels) <= 1:
        channels = [255 * c for c in channels]
    red, green, blue = (round(c) for c in channels)
    return red, green, blue


def _shipped_isthing(records: Sequence[CategoryRecord]) -> dict[int, bool]:
    """Things and stuff by category_id, from the shipped space with all these ids and names."""
    wanted = {(record.category_id, record.name) for record in records}
    for name in list_spaces():
        categories = load_space(name).categories
        if wanted <= {(c.category_id, c.name) for c in categories}:
            return {c.category_id: c.isthing for c in categories}
    return {}


def read_categories(given: str) -> LabelSpace:
    """A label space by its name, from a CSV, or from a JSON: a list or with ``categories``.

    Raises:
        LabelSpaceError: there is no such space or file, or the CSV is wrong.
        CocoFormatError: the JSON is wrong.
    """
    path = Path(given)
    if path.suffix != ".json":
        return load_space(given)
    content = read_json(path, tuple[CategoryRecord, ...] | _CategoriesFile, "list of categories")
    records = content.categories if isinstance(content, _CategoriesFile) else content
    return make_space(records, path)
