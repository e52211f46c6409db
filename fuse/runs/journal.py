"""records.jsonl, the journal of a run: what became of each image, and so where a run resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from fuse.errors import CocoFormatError, DataError, describe_size
from fuse.io.coco.panoptic import segment_from_json, segment_to_json
from fuse.io.files import JOURNAL_FILE, SETTINGS_MARK, check_links, leads_out
from fuse.io.image_source import ImageSource
from fuse.io.json_toml import parse_object
from fuse.runs.tasks import ImageTask
from fuse.types import MAX_PIXELS, SegmentInfo

Value = TypeVar("Value", str, int)


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """What became of an image: one line of the journal.

    Attributes:
        file_name: the image's relative path.
        size: (height, width), None where the image could not be read.
        segments_info: of its map; empty where it failed.
        error: why it failed, None where it is done.
        files: SHA-256 of each file that was written for it, by path below the output folder.
        source: what the image file was; None where nobody knows.
        damage: what is missing of the image although it was read, see `DecodedImage`.
    """

    file_name: str
    size: tuple[int, int] | None = None
    segments_info: tuple[SegmentInfo, ...] = ()
    error: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    source: ImageSource | None = None
    damage: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record in plain values."""
        named: dict[str, Any] = {"file_name": self.file_name}
        if self.source:
            named["source"] = asdict(self.source)
        if self.error is not None:
            return named | {"error": self.error}
        if self.damage is not None:
            named["damage"] = self.damage
        return named | {
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
            source = _parse_source(entry["source"]) if "source" in entry else None
            if "error" in entry:
                return cls(file_name, error=_check(entry["error"], str), source=source)
            height, width = (_check(side, int) for side in entry["size"])
            if not 1 <= height * width <= MAX_PIXELS or height < 1:
                raise ValueError(f"no image is {describe_size((height, width))}")
            segments = tuple(segment_from_json(segment) for segment in entry["segments_info"])
            if len({segment.segment_id for segment in segments}) < len(segments):
                raise ValueError("a segment id stands twice")
            files = {path: _check(digest, str) for path, digest in entry["files"].items()}
            if (outside := next(filter(leads_out, files), None)) is not None:
                raise ValueError(f"{outside!r} is not a path inside the folder")
            damage = _check(entry["damage"], str) if "damage" in entry else None
            size = (height, width)
            return cls(file_name, size, segments, files=files, source=source, damage=damage)
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise CocoFormatError(f"not a record of an image: {err!r}") from err


def _parse_source(entry: Mapping[str, Any]) -> ImageSource:
    size, written, sha256 = entry["bytes"], entry["written"], entry["sha256"]
    return ImageSource(_check(size, int), _check(written, str), _check(sha256, str))


def _check(value: object, kind: type[Value]) -> Value:
    """A value of a record; TypeError where it is of another kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


@dataclass(frozen=True, slots=True)
class _Line:
    """Where an image's last record begins in the journal, what it wrote, and whether it failed."""

    offset: int
    failed: bool
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Lines:
    """The last record of each image, by name, and the image that each file is.

    A record ends the one that its image had, and all others that name a file of its own: the file
    is that image's since.
    """

    by_image: dict[str, _Line] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def add(self, file_name: str, line: _Line) -> None:
        """Take a record as the last one of its image."""
        self.drop(file_name)
        for written in line.files:
            if written in self.owners:
                self.drop(self.owners[written])
        self.by_image[file_name] = line
        self.owners.update(dict.fromkeys(line.files, file_name))

    def drop(self, file_name: str) -> None:
        """Take an image for one that was not tried."""
        line = self.by_image.pop(file_name, None)
        for written in line.files if line else ():
            del self.owners[written]

    def in_order(self) -> list[_Line]:
        """The records in the order of the journal."""
        return sorted(self.by_image.values(), key=lambda line: line.offset)


class Journal:
    """The journal of an output folder: what is known of its images, and what is added.

    Of each image only the place of its record and the names of its files are in memory.

    Attributes:
        changed: how many images `find_finished` found changed since they were done.
        damaged: how many lines are no records, as a power cut leaves them; their images are done
            again.

    Args:
        folder: the output folder; the file is made by `open`.

    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL_FILE
        self._lines, self._head, self.damaged = _find_lines(self._path)
        self.changed = 0
        self._file: BinaryIO

    def open(self, head: Mapping[str, Any]) -> None:
        """Open the file for adding; a last line that a killed process left unfinished is cut.

        A new one begins with the head of run.json, which is made again from it when it is lost;
        where another head has come since, it is added.
        """
        self._file = self._path.open("ab+")
        _cut_torn_line(self._file)
        if self._head != json.loads(json.dumps(head)):
            self._write(head)
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file, once a disk has it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def is_done(self, file_name: str) -> bool:
        """Whether an image is done, in this run or an earlier one."""
        line = self._lines.by_image.get(file_name)
        return line is not None and not line.failed

    def count_done(self) -> int:
        """How many images are done, also such as came with other lists of images."""
        return sum(not line.failed for line in self._lines.by_image.values())

    def find(self, file_name: str) -> JournalRecord | None:
        """What became of an image, in this run or an earlier one; None where it was not tried.

        A record that says what no record can is a damaged line: its image counts as not tried.
        """
        if file_name not in self._lines.by_image:
            return None
        try:
            return self.read(file_name)
        except CocoFormatError:
            self.damaged += 1
            self._lines.drop(file_name)
            return None

    def read(self, file_name: str) -> JournalRecord:
        """What became of an image; KeyError where it was not tried."""
        return _read_record(self._file, self._lines.by_image[file_name], self._path)

    def locate(self, file_name: str) -> int:
        """Where the last record of an image begins, for `read_record_at`; KeyError without one."""
        return self._lines.by_image[file_name].offset

    def find_finished(
        self, task: ImageTask, *, retry_failed: bool, check_hash: bool, strict: bool = False
    ) -> JournalRecord | None:
        """What an earlier run made of an image; None where it is to be done, or done again.

        An image is done again where its file changed, where it failed and ``retry_failed``, where
        it is damaged and ``strict``, and where its map has another name since, as an image that
        came or went can bring about (`png_names`).
        """
        record = self.find(task.file_name)
        if record is None or (retry_failed and record.error is not None):
            return None
        if strict and record.damage is not None:
            return None
        if record.source and not record.source.is_unchanged(task.path, check_hash=check_hash):
            self.changed += 1
            return None
        return record if record.error is not None or task.map_path in record.files else None

    def append(self, record: JournalRecord) -> None:
        """Add a record; it outlives this process from then on."""
        entry = record.to_json()
        self._lines.add(record.file_name, _describe_line(entry, self._write(entry)))

    def forget(self, file_name: str) -> None:
        """Take an image for one that has not been tried, so that it is done again."""
        self._write({"file_name": file_name, "forgotten": True})
        self._lines.drop(file_name)

    def _write(self, entry: Mapping[str, Any]) -> int:
        """Add a line; answers where it begins."""
        line = json.dumps(entry, allow_nan=False, separators=(",", ":")) + "\n"
        offset = self._file.seek(0, 2)
        self._file.write(line.encode("ascii"))
        self._file.flush()
        return offset


def read_records(folder: Path) -> Iterator[JournalRecord]:
    """The last record of each image in a run's folder, in the order of the journal.

    Raises:
        DataError: the folder holds no journal.
        CocoFormatError: a line is no record.
    """
    path = folder / JOURNAL_FILE
    if not path.is_file():
        raise DataError(f"{folder} holds no journal {JOURNAL_FILE}, so no whole run")
    lines, _, _ = _find_lines(path)
    with path.open("rb") as file:
        for line in lines.in_order():
            yield _read_record(file, line, path)


def read_sources(folder: Path) -> dict[str, ImageSource]:
    """What the file of each image was when a run read it, by name; damaged lines say nothing.

    Empty where the folder holds no journal.
    """
    path = folder / JOURNAL_FILE
    found: dict[str, ImageSource] = {}
    if not path.is_file():
        return found
    lines, _, _ = _find_lines(path)
    with path.open("rb") as file:
        for line in lines.in_order():
            file.seek(line.offset)
            entry = _read_line(file.readline(), path)
            with suppress(KeyError, TypeError):
                found[entry["file_name"]] = _parse_source(entry["source"])
    return found


def _find_lines(path: Path) -> tuple[_Lines, dict[str, Any] | None, int]:
    """Where the last record of each image stands, the last head, and how many lines are damaged.

    A torn last line is none.
    """
    lines = _Lines()
    head: dict[str, Any] | None = None
    offset = damaged = 0
    if not path.is_file():
        return lines, head, damaged
    with path.open("rb") as journal:
        for text in journal:
            if text.startswith(SETTINGS_MARK):
                head = _read_head_line(text, path) or head
            elif text.endswith(b"\n"):
                entry = _read_line(text, path)
                file_name = entry.get("file_name")
                if "overwritten" in entry:
                    lines = _Lines()
                elif not isinstance(file_name, str):
                    damaged += 1
                elif "forgotten" in entry:
                    lines.drop(file_name)
                else:
                    lines.add(file_name, _describe_line(entry, offset))
            offset += len(text)
    return lines, head, damaged


def _describe_line(entry: Mapping[str, Any], offset: int) -> _Line:
    """What is kept in memory of a record; one that is damaged names no files."""
    files = entry.get("files")
    return _Line(offset, "error" in entry, tuple(files) if isinstance(files, dict) else ())


def read_record_at(folder: Path, offset: int) -> JournalRecord:
    """The record at a place of a folder's journal, as `Journal.locate` has it."""
    path = folder / JOURNAL_FILE
    with path.open("rb") as file:
        return _read_record(file, _Line(offset, failed=False), path)


def read_head(folder: Path) -> dict[str, Any] | None:
    """The last head of run.json in a journal; None where there is none, or all are damaged."""
    path = folder / JOURNAL_FILE
    if not path.is_file():
        return None
    head = None
    with path.open("rb") as journal:
        for line in journal:
            if line.startswith(SETTINGS_MARK):
                head = _read_head_line(line, path) or head
    return head


def _read_head_line(text: bytes, path: Path) -> dict[str, Any] | None:
    entry = _read_line(text, path)
    return entry if isinstance(entry.get("settings"), dict) else None


def remove_written(folder: Path) -> None:
    """Delete the files that a journal names, and the journal; a killed call leaves it to the next.

    Raises:
        DataError: a link on the way to one leads out of the folder.
    """
    path = folder / JOURNAL_FILE
    if not path.is_file():
        return
    with path.open("ab+") as journal:
        _cut_torn_line(journal)
        journal.write(b'{"overwritten":true}\n')  # so that nothing of it counts as done any more
        journal.flush()
        os.fsync(journal.fileno())
        journal.seek(0)
        for line in journal:
            files = _read_line(line, path).get("files")
            for name in files if isinstance(files, dict) else ():
                if not leads_out(name):
                    check_links(folder, (folder / name).parent)
                    (folder / name).unlink(missing_ok=True)
    path.unlink()


def _read_line(text: bytes, path: Path) -> dict[str, Any]:
    """A line of the journal; empty where it is damaged."""
    try:
        return parse_object(text, str(path))
    except CocoFormatError:
        return {}


def _read_record(file: BinaryIO, line: _Line, path: Path) -> JournalRecord:
    """The record at a line; CocoFormatError names the image where it is none."""
    file.seek(line.offset)
    entry = parse_object(file.readline(), str(path))
    try:
        return JournalRecord.from_json(entry)
    except CocoFormatError as err:
        raise CocoFormatError(
            f"{path}, {entry.get('file_name')!r}: {err}; the run's own command does it again"
        ) from err


def _cut_torn_line(journal: BinaryIO) -> None:
    """Cut off a last line that a killed process left unfinished."""
    size = journal.seek(0, 2)
    if not size:
        return
    journal.seek(size - 1)
    if journal.read(1) == b"\n":
        return
    journal.seek(0)
    journal.truncate(sum(len(line) for line in journal if line.endswith(b"\n")))
