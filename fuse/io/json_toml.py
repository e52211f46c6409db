"""JSON files read straight into records, and TOML; errors name the file, entry and field."""

from __future__ import annotations

import codecs
import json
import re
import tomllib
import warnings
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec

from fuse.errors import CocoFormatError, ConfigError, FuseWarning
from fuse.io.files import read_regular

TOO_DEEP = "nested too deeply to be read"
COPIED_BYTES = 2**28  # a larger file is not copied to name a fault more exactly
NO_JSON = (msgspec.DecodeError, UnicodeDecodeError)  # the latter by msgspec 0.19
EACH = "[]"  # a step to all entries of a list or table
LARGEST_WHOLE = 2**53  # up to it every float that is whole is one whole number
SIGNS = {  # how files begin that are no plain text
    codecs.BOM_UTF16_LE: "text in UTF-16; save it as plain UTF-8",
    codecs.BOM_UTF16_BE: "text in UTF-16; save it as plain UTF-8",
    b"\x1f\x8b": "packed by gzip; unpack it",
    b"PK\x03\x04": "a zip archive; unpack it",
}


def read_json(path: Path, form: Any, what: str) -> Any:  # noqa: ANN401
    """Parse a JSON straight into records of that form.

    The file is read whole: one that is mapped into memory and cut short by somebody else meanwhile
    would end the process.

    Args:
        path: the file.
        form: a type that msgspec decodes into; its ``msgspec.Raw`` fields stay views of the
            file's content until they are decoded.
        what: what the file should be, for messages.

    Raises:
        CocoFormatError: the file is missing, or no such thing; the message names the field.
    """
    try:
        content = read_regular(path)
    except OSError as err:
        raise CocoFormatError(f"{path}: cannot be read ({err.strerror})") from err
    except ValueError as err:  # a name with a zero in it
        raise CocoFormatError(f"{str(path)!r}: cannot be read ({err})") from err
    if not content:
        raise CocoFormatError(f"{path}: the file is empty")
    content = content.removeprefix(codecs.BOM_UTF8)  # editors of Windows begin with it
    try:
        return _decode(content, form, path, what)
    except RecursionError as err:
        raise CocoFormatError(f"{path} is not a {what}: {TOO_DEEP}") from err


def _decode(content: bytes, form: Any, path: Path, what: str) -> Any:  # noqa: ANN401
    """Records of that form, by `_decode_loosely` where that is all that keeps them from it."""
    try:
        return msgspec.json.decode(content, type=form)
    except NO_JSON as err:
        fault: Exception = err
    is_other_number = "got `str`" in str(fault) or "got `float`" in str(fault)
    if is_other_number and len(content) <= COPIED_BYTES:  # a larger one is not copied
        try:
            found = _decode_loosely(content, form)
        except NO_JSON as err:
            fault = err
        except OverflowError:
            pass  # a whole number that msgspec cannot write
        else:
            told = f"{path}: {fault}; such numbers are read all the same"
            warnings.warn(FuseWarning(told), stacklevel=4)
            return found
    reason = (
        _name_encoding(content)
        or _name_lines(content)
        or _name_bad_number(content, str(fault), form)
        or str(fault)
    )
    raise CocoFormatError(f"{path} is not a {what}: {reason}") from fault


def _decode_loosely(content: bytes, form: Any) -> Any:  # noqa: ANN401
    """A JSON whose numbers are text, or whole ones have a point, as tables of data write them.

    These two are all that is allowed for: a number with a point that is whole is one without, and
    where the form has a number and no text, a text that is a finite number of JSON is that number.
    What is text in the form stays text, and no text means null, true or false.

    Raises:
        msgspec.DecodeError: something else is wrong with it.
        OverflowError: a whole number is too large.
    """
    values = _make_whole(msgspec.json.decode(content))
    mended: list[list[str]] = []
    while True:
        try:
            return msgspec.json.decode(msgspec.json.encode(values), type=form)
        except msgspec.ValidationError as err:
            place = re.search(r"got `str` - at `\$(.*)`", str(err))
            steps = re.findall(r"\w+|\[\]", re.sub(r"\[.*?\]", EACH, place[1])) if place else []
            if not steps or steps in mended:
                raise
            mended.append(steps)
            values = _read_texts(values, steps)


def _read_texts(value: Any, steps: Sequence[str]) -> Any:  # noqa: ANN401
    """Plain values with the texts at a place that are numbers as these.

    Args:
        value: is not changed.
        steps: to the place: a field's name each, or ``[]`` for all entries of a list or table.
    """
    if not steps:
        return _read_number(value) if isinstance(value, str) else value
    step, rest = steps[0], steps[1:]
    if step == EACH and isinstance(value, list):
        return [_read_texts(one, rest) for one in value]
    if isinstance(value, dict):
        return {
            key: _read_texts(one, rest) if step in (EACH, key) else one
            for key, one in value.items()
        }
    return value


def _read_number(text: str) -> float | str:
    """The finite number that a text is as JSON writes it, else the text."""
    try:
        number: float = _make_whole(msgspec.json.decode(text, type=int | float))
    except NO_JSON:
        return text
    return number


def _make_whole(value: Any) -> Any:  # noqa: ANN401
    """Plain values with each number that is whole as one without a point."""
    if isinstance(value, dict):
        return {key: _make_whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_make_whole(one) for one in value]
    if isinstance(value, float) and abs(value) <= LARGEST_WHOLE and value.is_integer():
        return int(value)
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(read_regular(path).decode("utf-8-sig"))
    except RecursionError as err:
        raise ConfigError(f"{path}: {TOO_DEEP}") from err
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: not valid TOML ({err})") from err


def parse_object(text: bytes, where: str) -> dict[str, Any]:
    """A JSON object in plain values, as a run writes them about itself.

    Args:
        text: the JSON.
        where: the file, and what of it, for messages.

    Raises:
        CocoFormatError: it is no JSON, no object, or nested too deeply.
    """
    try:
        content = json.loads(text, parse_float=_to_finite, parse_constant=_to_finite)
    except RecursionError as err:
        raise CocoFormatError(f"{where}: {TOO_DEEP}") from err
    except ValueError as err:
        raise CocoFormatError(f"{where}: no JSON ({err})") from err
    if not isinstance(content, dict):
        raise CocoFormatError(f"{where}: no JSON object")
    return content


def _to_finite(text: str) -> float:
    """A number that other parsers know too, as NaN is not."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


def _name_encoding(content: bytes) -> str | None:
    """What a file is that is no plain text."""
    return next((f"it is {what}" for sign, what in SIGNS.items() if content.startswith(sign)), None)


def _name_lines(content: bytes) -> str | None:
    """That a file has an object a line, as logs and some exports do, and so is no one JSON."""
    lines = content.lstrip().split(b"\n", 2)[:2]
    try:
        found = [msgspec.json.decode(line, type=dict[str, msgspec.Raw]) for line in lines]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return "it is JSON Lines; make one list of it: jq -s ." if len(found) == 2 else None


def _name_bad_number(content: bytes, message: str, form: Any) -> str | None:  # noqa: ANN401
    """Entry and field of a NaN or Infinity; Python writes them into JSON, which has none.

    None where something else is wrong.
    """
    found = re.search(r"\(byte (\d+)\)", message)
    position = int(found[1]) if found else len(content)
    number = re.match(rb"NaN|Infinity", content[position : position + 8])
    if number is None:
        return None
    entry = _name_entry(content, position)
    path = None if entry else _name_path(content, position, len(number[0]), form)
    fields = re.findall(rb'"(\w+)"\s*:', content[max(0, position - 1000) : position])
    field = path or (fields[-1].decode() if fields else "a value")
    return f"{entry}{field} is {number[0].decode()}, no number of JSON"


def _name_path(content: bytes, position: int, length: int, form: Any) -> str | None:  # noqa: ANN401
    """Where in the records a bad number stands, as msgspec says it of a text in its place."""
    if len(content) > COPIED_BYTES:
        return None
    mended = content[:position].removesuffix(b"-") + b'""' + content[position + length :]
    try:
        msgspec.json.decode(mended, type=form)
    except NO_JSON as err:
        found = re.search(r"`\$.*`", str(err))
        return found[0] if found else None
    return None


def _name_entry(content: bytes, position: int) -> str:
    """``entry 3, `` for a position inside the fourth object of a list, else nothing."""
    start = position
    while (start := content.rfind(b"{", 0, start)) >= 0:
        before = content[:start].rstrip().removesuffix(b",")
        try:
            return f"entry {len(msgspec.json.decode(before + b']', type=list[msgspec.Raw]))}, "
        except NO_JSON:  # this brace opens something inside the entry
            if position - start > 10_000:
                break
    return ""
