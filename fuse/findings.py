"""What was noticed in files: notes of single places, and one finding for each kind of fault.

Whoever reads or writes files of strangers says so what it assumed, left out or could not keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class Severity(StrEnum):
    """Whether scoring goes on."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Note:
    """Something noticed in one place: an image, or the head of a file.

    Attributes:
        code: a key of the table of faults.
        example: where it was seen first, and what.
        count: how often it was seen there.
    """

    code: str
    example: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """All notes of one kind.

    Attributes:
        code: a key of the table of faults.
        severity: an error stops scoring.
        problem: what is wrong, after a number.
        count: how often.
        first: the first example, in the order of the ground truth's images.
        action: what was done about it.
    """

    code: str
    severity: Severity
    problem: str
    count: int
    first: str
    action: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.count} {self.problem}, first {self.first}: {self.action}"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "problem": self.problem,
            "count": self.count,
            "first": self.first,
            "action": self.action,
        }


class Fault(NamedTuple):
    """A kind of fault.

    Attributes:
        problem: what is wrong, after a number.
        action: what is done about it.
        official: what the official mode of PQ does instead, where that differs.
        severity: whether work goes on.
        official_severity: the same in the official mode.
    """

    problem: str
    action: str
    official: str = ""
    severity: Severity = Severity.WARNING
    official_severity: Severity = Severity.WARNING


def sum_notes(
    notes: Iterable[Note], faults: Mapping[str, Fault], *, official: bool = False
) -> tuple[Finding, ...]:
    """One finding per kind of fault, in the order of the table.

    >>> faults = {"gone": Fault("masks that are gone", "left out")}
    >>> print(*sum_notes([Note("gone", "image 3"), Note("gone", "image 9", count=2)], faults))
    warning: 3 masks that are gone, first image 3: left out
    """
    counts: dict[str, int] = {}
    first: dict[str, str] = {}
    for note in notes:
        counts[note.code] = counts.get(note.code, 0) + note.count
        first.setdefault(note.code, note.example)
    return tuple(
        Finding(
            code=code,
            severity=fault.official_severity if official else fault.severity,
            problem=fault.problem,
            count=counts[code],
            first=first[code],
            action=(official and fault.official) or fault.action,
        )
        for code, fault in faults.items()
        if code in counts
    )
