"""How names of images are compared, however tools write them."""

from __future__ import annotations

from pathlib import PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote


def name_keys(file_name: str) -> tuple[str, str, str, int | None]:
    """What tells an image from others: its path, its name, its stem, and the number that is.

    >>> name_keys("https://host/val/caf%C3%A9.jpg?d=1")
    ('host/val/café.jpg', 'café.jpg', 'café', None)
    """
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
