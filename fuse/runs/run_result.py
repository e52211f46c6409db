"""What a run did, in figures and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuse.evaluation.evaluate import Evaluation
from fuse.io.listing import describe_unread
from fuse.types.short_repr import ShortRepr

NAMED = 3  # images, in a note of one line


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RunResult(ShortRepr):
    """What a run did.

    Attributes:
        out: the output folder.
        done: how many images have a map, those of an earlier run of the same settings too.
        tried: how many images this call did, or tried to; its seconds went into them.
        failed: (file name, reason) of each image without one.
        seconds: by stage, added up over threads; ``total`` is wall-clock.
        earlier: how many images have a map that an earlier run made.
        evaluation: PQ where ground truth was given.
        unknown: how many images that ground truth does not know.
        pictures: whether pictures were drawn.
        changed: how many images changed since an earlier run did them, and were done again.
        differing: how many images have maps of an earlier run, which stay, though the nets answer
            otherwise now: by another processor, or other packages.
        damaged: how many lines of the journal were no records; their images were done again.
        missing: how many images had been done whose files were gone, and were done again.
        unread: how many files in the folders are no images, by ending.
        incomplete: (file name, what is missing) of images that are done and damaged.
        doubled: names in the list of images that stand for an image once more.
        gone: how many images that earlier calls did are none of this one's; their files stay.
    """

    out: Path
    done: int
    tried: int
    failed: tuple[tuple[str, str], ...]
    seconds: dict[str, float]
    earlier: int = 0
    evaluation: Evaluation | None = None
    unknown: int = 0
    pictures: bool = False
    changed: int = 0
    differing: int = 0
    damaged: int = 0
    missing: int = 0
    unread: Mapping[str, int] = field(default_factory=dict)
    incomplete: tuple[tuple[str, str], ...] = ()
    doubled: Sequence[str] = ()
    gone: int = 0

    def to_json(self) -> dict[str, Any]:
        """The result in plain values."""
        summary: dict[str, Any] = {
            "photos": {"done": self.done, "failed": len(self.failed), "tried": self.tried},
            "failed": dict(self.failed),
            "changed": self.changed,
            "missing": self.missing,
            "differing": self.differing,
            "unread": dict(self.unread),
            "incomplete": dict(self.incomplete),
            "doubled": len(self.doubled),
            "gone": self.gone,
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        }
        if self.evaluation:
            summary |= self.evaluation.to_json() | {"unscored": self.unknown}
        return summary

    def describe_notes(self) -> Iterator[str]:
        """What it found beside its images, a sentence each."""
        if self.changed:
            yield (
                f"{self.changed} images had changed since an earlier run, or could not be read "
                "then, and were done again"
            )
        if self.differing:
            yield (
                f"{self.differing} maps of the earlier run stay, though the nets answer otherwise "
                "here; --overwrite makes them anew"
            )
        if self.damaged:
            yield (
                f"{self.damaged} lines of the journal were damaged; their images were done again"
            )
        if self.missing:
            yield f"{self.missing} images had lost files since an earlier run and were done again"
        if self.incomplete:
            named = [f"{name} ({damage})" for name, damage in self.incomplete[:NAMED]]
            more = len(self.incomplete) - len(named)
            yield (
                f"{len(self.incomplete)} images are damaged and were read as far as they go: "
                f"{', '.join(named)}{f' and {more} more, see run.json' if more else ''}; "
                "--strict-images lets them fail"
            )
        if self.gone:
            yield (
                f"{self.gone} images of earlier calls are not among these: their maps stay, and "
                "panoptic.json leaves them out"
            )
        if self.doubled:
            yield (
                f"{len(self.doubled)} names stand in the list more than once (first "
                f"{self.doubled[0]}); each image is done once"
            )
        if self.unread:
            yield f"not read in the folders: {describe_unread(self.unread)}"
