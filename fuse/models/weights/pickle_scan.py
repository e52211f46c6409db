"""Looking through a pickle before it is read, so that reading it takes what its size allows.

A pickle is a program for a small stack machine. Even where it can call nothing, a few hundred bytes
may build a tuple whose hash or text takes for ever, a memo of gigabytes, or a file's own bytes
thousands of times. Here the program is followed without building anything: of each value only its
size is kept, as if nothing in it were shared.
"""

from __future__ import annotations

import pickle  # nosec B403 - for its error
import pickletools  # nosec B403 - looks at opcodes, runs none
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

ZIP_START = b"PK\x03\x04"
PICKLES = 5  # of torch's older format: what it is, in three; the tensors; the names of their bytes
MAX_STEPS = 5_000_000  # some 40 a tensor; this many take seconds
MAX_DEPTH = 100  # of values in values; published checkpoints have some 10
MAX_NAME = 1000  # characters of a class or function with its module; torch searches them slowly
# How much larger than the file what is built may be. Names and such are shared, arrays are not.
INFLATION = 16
SMALL = 1 << 16  # bytes, for files of next to nothing
HASHED_ALIKE = 2**61 - 1  # numbers this far apart share a hash, and a dict of them never ends

PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
GETS = ("GET", "BINGET", "LONG_BINGET", "DUP")
NAMING = ("GLOBAL", "STACK_GLOBAL")
SETTING = ("SETITEM", "SETITEMS", "DICT")  # which take key, value, key, value, ...
ADDING = ("ADDITEMS", "FROZENSET")


@dataclass(frozen=True, slots=True)
class _Value:
    """What is known of a value: its size in all, how deep it is, whether it has huge numbers."""

    size: int
    depth: int = 0
    is_huge: bool = False


class BoundedFile:
    """A file for readers that make room for what they are told to read, before it comes.

    Args:
        file: opened for reading.
        size: of it, in bytes.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.size = size
        self._file = file
        self.readline, self.tell = file.readline, file.tell

    def read(self, count: int) -> bytes:
        """So many bytes, or what is left."""
        return self._file.read(max(min(count, self.size - self.tell()), 0))


def scan_pickle(file: BoundedFile) -> None:
    """Follow a pickle to its end, where the file then stands.

    Raises:
        pickle.UnpicklingError: it is none, or builds far more than its size.
    """
    machine = _Machine(SMALL + INFLATION * file.size)
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(file)):  # type: ignore[arg-type] # reads by these methods
            if steps > MAX_STEPS:
                raise pickle.UnpicklingError(f"it has more than {MAX_STEPS:,} steps")
            machine.step(opcode, argument)
    except (ValueError, IndexError, KeyError) as err:
        raise pickle.UnpicklingError("it is no checkpoint, or damaged") from err


def scan_checkpoint(path: Path) -> None:
    """Look through what `torch.load` will read of a file: an archive, or pickles one by one.

    Raises:
        pickle.UnpicklingError: as `scan_pickle`, or the archive unpacks to far more than its size.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(ZIP_START)) != ZIP_START:
            file.seek(0)
            bounded = BoundedFile(file, size)
            for _ in range(PICKLES):
                scan_pickle(bounded)
            return
    with ZipFile(path) as archive:
        members = archive.infolist()
        check_size(sum(member.file_size for member in members), path)
        for member in members:
            if member.filename.endswith("data.pkl"):
                with archive.open(member) as file:
                    scan_pickle(BoundedFile(file, member.file_size))


def check_size(unpacked: int, path: Path) -> None:
    """Raise pickle.UnpicklingError where what comes of a file is far more than the file."""
    if unpacked > SMALL + INFLATION * path.stat().st_size:
        raise pickle.UnpicklingError(f"it unfolds to more than {INFLATION} times its size")


class _Machine:
    """The stack and the memo of a pickle that is followed."""

    def __init__(self, limit: int) -> None:
        self._stack: list[_Value | None] = []  # None is a mark
        self._memo: dict[int, _Value] = {}
        self._left = limit

    def step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:  # noqa: ANN401 - of any type
        """Do as an opcode says."""
        name = opcode.name
        if name in PUTS:
            place = len(self._memo) if name == "MEMOIZE" else argument
            if place > len(self._memo) + SMALL:
                raise pickle.UnpicklingError(f"it keeps a value at place {place:,}")
            self._memo[place] = self._top()
        elif name in GETS:
            value = self._top() if name == "DUP" else self._memo[argument]
            self._spend(value.size)
            self._stack.append(value)
        elif name == "MARK":
            self._stack.append(None)
        else:
            self._build(opcode, argument)

    def _build(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:  # noqa: ANN401
        """Take from the stack what an opcode needs, and put what it makes of it."""
        if isinstance(argument, str) and argument.rpartition(" ")[2] == "bytearray":
            raise pickle.UnpicklingError("it makes room for bytes that it does not have")
        parts = self._pop(opcode)
        if opcode.name in NAMING and _count(argument) + sum(part.size for part in parts) > MAX_NAME:
            raise pickle.UnpicklingError(f"it names something in more than {MAX_NAME:,} characters")
        keys = parts[1::2] if opcode.name in SETTING else parts if opcode.name in ADDING else ()
        if any(key.is_huge for key in keys):
            raise pickle.UnpicklingError("it has numbers of more than 60 bits for names")
        made = _Value(
            1 + _count(argument) + sum(part.size for part in parts),
            1 + max((part.depth for part in parts), default=-1),
            (isinstance(argument, int) and abs(argument) >= HASHED_ALIKE)
            or any(part.is_huge for part in parts),
        )
        if made.depth > MAX_DEPTH:
            raise pickle.UnpicklingError(f"it is nested more than {MAX_DEPTH} deep")
        self._stack += [made] * len(opcode.stack_after)

    def _pop(self, opcode: pickletools.OpcodeInfo) -> list[_Value]:
        before = opcode.stack_before
        parts: list[_Value] = []
        fixed = len(before)
        if pickletools.markobject in before:
            while (value := self._stack.pop()) is not None:
                parts.append(value)
            fixed = before.index(pickletools.markobject)
        for _ in range(fixed):
            parts.append(self._top())
            self._stack.pop()
        return parts

    def _top(self) -> _Value:
        value = self._stack[-1]
        if value is None:
            raise ValueError("a mark in place of a value")
        return value

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise pickle.UnpicklingError(f"it unfolds to more than {INFLATION} times its size")


def _count(argument: Any) -> int:  # noqa: ANN401 - of any type
    return len(argument) if isinstance(argument, str | bytes | bytearray) else 0
