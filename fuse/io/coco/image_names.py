"""How names of images are compared, however tools write them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

from fuse.io.files import leads_out
from fuse.io.remote import is_url

UNNAMED = "image"  # what has no name but a folder's
_DRIVE = re.compile(r"^[A-Za-z]:")  # of Windows
# Names that mean what they say: none of what `name_keys` undoes is in them.
_PLAIN = re.compile(r"(?:[\w-]+/)*(([\w-]+)\.\w+)", re.ASCII)


def name_keys(file_name: str) -> tuple[str, str, str, int | None]:
    """What tells an image from others: its path, its name, its stem, and the number that is.

    >>> name_keys("https://host/val/caf%C3%A9.jpg?d=1")
    ('host/val/café.jpg', 'café.jpg', 'café', None)
    """
    if plain := _PLAIN.fullmatch(file_name):  # nearly all, in a tenth of the time
        name, stem = plain.groups()
        return file_name, name, stem, int(stem) if stem.isdecimal() else None
    text = file_name.replace("\\", "/")
    if "://" in text:
        text = text.partition("://")[2]
    head, mark, query = text.partition("?")
    if mark and "=" in query and PurePosixPath(head).suffix:
        text = head
    path = PurePosixPath(normalize("NFC", unquote(text)))
    return str(path), path.name, path.stem, name_number(file_name)


def name_number(file_name: str) -> int | None:
    """The number that an image is called, None where it is called otherwise.

    >>> name_number("val2017/000000000139.jpg"), name_number("cat.jpg")
    (139, None)
    """
    stem = PurePosixPath(file_name.replace("\\", "/")).stem
    return int(stem) if stem.isdecimal() and stem.isascii() else None


class ImageNames:
    """A table of images by their names, as `name_keys` tells them apart."""

    def __init__(self, images: Iterable[tuple[int | str, str]]) -> None:
        """Take (image_id, file name) of each image."""
        self._tables: tuple[dict[str | int | None, int | str | None], ...] = ({}, {}, {}, {})
        for image_id, file_name in images:
            for table, key in zip(self._tables, name_keys(file_name), strict=True):
                table[key] = image_id if key not in table and key is not None else None

    def find(self, file_name: str) -> int | str | None:
        """The image_id of an image by its relative path, else by its name, stem or number.

        The ending may differ (the JSON says .jpg, the file is .png), and the name may be written
        as a URL, percent-encoded, in another Unicode form, or without COCO's leading zeros. A
        name that several images share finds none of them.

        >>> names = ImageNames([(7, "val/a.jpg"), (8, "val/000000000139.jpg")])
        >>> names.find("/data/val/a.png"), names.find("139.png"), names.find("b.jpg")
        (7, 8, None)
        """
        for table, key in zip(self._tables, name_keys(file_name), strict=True):
            if (image_id := table.get(key)) is not None:
                return image_id
        return None


def place_inside(file_names: Sequence[str]) -> list[str]:
    r"""Names of images as paths in one folder, by which files of ours can be called.

    Names that are such paths stay. Where one is absolute, leads out of its folder or is a URL, all
    count from the deepest folder that holds all of them.

    >>> place_inside(["..\\..\\media\\a.jpg", "..\\..\\media\\new\\b.jpg"])
    ['a.jpg', 'new/b.jpg']
    >>> place_inside(["https://host/val/a.jpg?d=1"]), place_inside(["val/a.jpg"])
    (['a.jpg'], ['val/a.jpg'])
    """
    if not any(leads_out(name) or is_url(name) for name in file_names):
        return list(file_names)
    plain = [_DRIVE.sub("", name_keys(name)[0].replace("\0", "")) for name in file_names]
    return name_below_common([posixpath.normpath(f"/{name}") for name in plain])


def name_below_common(paths: Sequence[str]) -> list[str]:
    """Absolute paths with ``/`` as names below the deepest folder that holds all of them."""
    folders = {tuple(path.split("/")[:-1]) for path in paths}
    # What the first and the last in order share, all share. Parts are compared: in a text a space,
    # "-" and "." come before "/".
    pairs = zip(min(folders), max(folders), strict=False)
    depth = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return ["/".join(path.split("/")[depth:]).lstrip("/") or UNNAMED for path in paths]
