"""Every error that a user can mend, as one tree.

    FuseError
    |- ConfigError            a preset, a --set value or an option is wrong
    |- LabelSpaceError        categories are unknown, clash, or have no map
    |- DataError              a file or folder is wrong
    |  |- ImageReadError      an image cannot be read
    |  `- CocoFormatError     a COCO JSON or its PNGs are wrong
    |- ModelError             a net is wrong
    |  |- ModelNotFoundError  no such model, or its weights are not on this machine
    |  `- ModelOutputError    a net returned something it must not
    |- EngineError            an engine cannot start or go on
    `- RunStoppedError        a run was asked to stop; what is done stays done

A message says what is wrong, where, and what to do. The command line prints it as one
``Error:`` line and exits with 1; any other exception is a bug and shows its traceback, with a
line that says what to report. What was only assumed is a `FuseWarning`, a ``note:`` there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from errno import ENOMEM

MEMORY_SIGNS = (
    *("failed to map segment", "annot allocate memory", "an't allocate memory", "bad_alloc"),
    *("can't start new thread", "bad allocation", "Unable to allocate"),
)
LONGEST = 500  # characters of what a file gave, in a message


class FuseError(Exception):
    """Root of all errors that a user can mend."""


class ConfigError(FuseError):
    """A preset, a ``--set`` value or an option is wrong."""


class LabelSpaceError(FuseError):
    """Categories are unknown, clash, or no map leads from one space to the other."""


class DataError(FuseError):
    """A file or folder is missing, unreadable or contradicts itself."""


class ImageReadError(DataError):
    """An image cannot be read."""


class CocoFormatError(DataError):
    """A COCO JSON or the PNGs that belong to it are wrong."""


class ModelError(FuseError):
    """A net is wrong."""


class ModelNotFoundError(ModelError):
    """There is no such model, or its weights are not on this machine."""


class ModelOutputError(ModelError):
    """A net returned something it must not; the message names the net."""


class EngineError(FuseError):
    """An engine cannot start or go on."""


class RunStoppedError(FuseError):
    """A run was asked to stop before its end; what is done stays done."""


class FuseWarning(UserWarning):
    """Something that was assumed, and that a user may want to know; one line, as of an error."""


def describe_size(size: Sequence[int]) -> str:
    """A size (height, width) in words, the width first as viewers show it.

    >>> describe_size((480, 640))
    '640 wide, 480 high'
    """
    height, width = size
    return f"{width} wide, {height} high"


def describe_misfit(first: str, size: Sequence[int], second: str, other: Sequence[int]) -> str:
    """Two things that should be of one size (height, width), as a message.

    >>> describe_misfit("the map", (480, 640), "the image", (640, 480))
    'the map is 640 wide, 480 high; the image is 480 wide, 640 high'
    """
    return f"{first} is {describe_size(size)}; {second} is {describe_size(other)}"


def first_line(error: BaseException) -> str:
    """What an error of another library says, without the lines that explain it at length.

    >>> first_line(ValueError("no such key\\nTraceback ...")), first_line(KeyboardInterrupt())
    ('no such key', 'KeyboardInterrupt')
    """
    return shorten(str(error).strip().partition("\n")[0]) or type(error).__name__


def shorten(text: str, limit: int = LONGEST) -> str:
    """A text of somebody else's for a message, without its middle where it is very long.

    >>> shorten("x" * 1000, 20)
    'xxxxxxxx ... xxxxxxx'
    """
    if len(text) <= limit:
        return text
    start = (limit - 4) // 2
    return f"{text[:start]} ... {text[len(text) - (limit - 5 - start) :]}"


def is_memory_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says that the process has no more memory.

    Libraries say so in their own words, also where they are loaded or start a thread.
    """
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == ENOMEM:
            return True
        if any(sign in str(error) for sign in MEMORY_SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message on a name that nobody knows, where a known one is near in any case.

    >>> did_you_mean("TINNY", ["coco", "tiny"]), did_you_mean("x", ["coco"])
    ("; did you mean 'tiny'?", '')
    """
    by_lower = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), list(by_lower), n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def suggest(name: str, known: Sequence[str]) -> str:
    """Half a sentence for a name that nobody knows: the nearest known one, and all of them.

    >>> suggest("tinny", ["coco", "tiny"])
    "did you mean 'tiny'? Known are coco, tiny"
    >>> suggest("x", ["coco"])
    'known are coco'
    """
    hint = did_you_mean(name, known).removeprefix("; ")
    return f"{f'{hint} K' if hint else 'k'}nown are {', '.join(known)}"


def unknown_key(where: str, key: str, allowed: Sequence[str]) -> ConfigError:
    """The error for a key that nobody knows, with the nearest one that is known.

    >>> str(unknown_key("fusion", "rull", ["rule", "stuff_area"]))
    "fusion has no key 'rull'; did you mean 'rule'? It has rule, stuff_area"
    """
    hint = did_you_mean(key, allowed)
    return ConfigError(
        f"{where} has no key {key!r}{f'{hint} It' if hint else '; it'} has {', '.join(allowed)}"
    )
