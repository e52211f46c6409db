"""What there is to do in a run, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fuse.errors import CocoFormatError
from fuse.io.coco.panoptic import ImageId, segment_from_json, segment_to_json
from fuse.io.images import MAX_PIXELS
from fuse.io.names import leads_out
from fuse.types import SegmentInfo

PNG_DIR = "panoptic"
PICTURE_DIR = "pictures"
PREDICTION_DIR = "predictions"

Value = TypeVar("Value", str, int)


@dataclass(frozen=True, slots=True)
class ImageTask:
    """An image to be done.

    Attributes:
        path: of the image; text where it is a URL.
        file_name: its relative path, with ``/``; what the JSON calls it.
        png_name: of its map, relative to the PNG folder.
        image_id: in the panoptic JSON.
    """

    path: Path | str
    file_name: str
    png_name: str
    image_id: ImageId


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """What became of an image: one line of records.jsonl.

    Attributes:
        file_name: the image's relative path.
        size: (height, width), None where the image could not be read.
        segments_info: of its map; empty where it failed.
        error: why it failed, None where it is done.
        files: SHA-256 of each file that was written for it, by path below the output folder.
    """

    file_name: str
    size: tuple[int, int] | None = None
    segments_info: tuple[SegmentInfo, ...] = ()
    error: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def png_name(self) -> str | None:
        """Of its map, relative to the PNG folder; None where there is none."""
        folder = f"{PNG_DIR}/"
        names = (name.removeprefix(folder) for name in self.files if name.startswith(folder))
        return next(names, None)

    def to_json(self) -> dict[str, Any]:
        """The record in plain values."""
        if self.error is not None:
            return {"file_name": self.file_name, "error": self.error}
        return {
            "file_name": self.file_name,
            "size": self.size,
            "segments_info": [segment_to_json(segment) for segment in self.segments_info],
            "files": dict(self.files),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> JournalRecord:
        """The record that `to_json` wrote.

        Raises:
            CocoFormatError: it is no such record.
        """
        try:
            file_name = _check(entry["file_name"], str)
            if "error" in entry:
                return cls(file_name, error=_check(entry["error"], str))
            height, width = (_check(side, int) for side in entry["size"])
            if not 1 <= height * width <= MAX_PIXELS or height < 1:
                raise ValueError(f"no image is {height} x {width}")
            segments = tuple(segment_from_json(segment) for segment in entry["segments_info"])
            if len({segment.segment_id for segment in segments}) < len(segments):
                raise ValueError("a segment id stands twice")
            files = {_check_inside(path): _check(d, str) for path, d in entry["files"].items()}
            return cls(file_name, (height, width), segments, files=files)
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise CocoFormatError(f"not a record of an image: {err!r}") from err


def _check(value: object, kind: type[Value]) -> Value:
    """A value from a journal; TypeError where it is of another kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _check_inside(path: str) -> str:
    """A path from a journal; ValueError where it leaves the output folder."""
    if leads_out(path):
        raise ValueError(f"{path!r} is not a path inside the folder")
    return path
