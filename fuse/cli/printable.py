"""Text from files on a terminal: names of images and categories are chosen by strangers."""

from __future__ import annotations

import re

# C0 and C1 controls, among them the escape that starts a terminal's commands; marks that turn
# the direction of writing; separators of lines; and halves of characters, which no encoding has.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with what a terminal would obey, or could not show, written as Python does.

    Args:
        text: any.
        keep: unsafe characters that are meant, as a line feed between lines of our own.

    >>> print(printable("a\x1b[31m\n\u202eb"))
    a\x1b[31m\n\u202eb
    """
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else repr(match[0])[1:-1], text)
