"""The output folder of a run: what it was made with, a journal, and the panoptic JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from fuse.errors import CocoFormatError, DataError
from fuse.io.coco.panoptic import (
    ImageRecord,
    PanopticDataset,
    annotation_to_json,
    write_panoptic_json,
)
from fuse.io.files import find_parts, hash_file, read_regular, write_whole
from fuse.io.json_files import parse_object
from fuse.io.names import check_links
from fuse.io.run_files import JOURNAL_FILE, PANOPTIC_FILE, RUN_FILE
from fuse.labels import list_spaces, load_space
from fuse.runs.records import PICTURE_DIR, PNG_DIR, PREDICTION_DIR, ImageTask, JournalRecord
from fuse.types import LabelSpace

LOCK_FILE = ".lock"
BROWSER_FILES = (".DS_Store", "desktop.ini", "Thumbs.db")  # come by looking at a folder
# Of run.json: tables that others compute with, and what stands in them.
TABLES: dict[str, tuple[type, ...]] = {
    "photos": (int,),
    "seconds": (int, float),
    "peak_memory_mib": (int, NoneType),
    "files": (str,),
    "failed": (str,),
}
WRITTEN = (
    *(PNG_DIR, PICTURE_DIR, PREDICTION_DIR),
    *(RUN_FILE, JOURNAL_FILE, PANOPTIC_FILE, LOCK_FILE),
)


@dataclass(frozen=True, slots=True)
class _Line:
    """Where an image's record begins in the journal, and whether it says that it failed."""

    offset: int
    failed: bool


class RunFolder:
    """An output folder, open for one run.

    What was done in an earlier, cut-off run of the same settings stays done. While a folder
    is open no other process can open it.

    Args:
        path: the folder; made where it does not exist.
        settings: what the maps depend on, in plain values.
        overwrite: start anew where the folder holds a run.

    Raises:
        DataError: the folder holds a run with other settings, or files of something else, or
            a link that leads out of it, or another process has it open.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.path = path
        check_links(path, *(path / name for name in WRITTEN))
        if not (overwrite and (path / RUN_FILE).is_file()):
            _check_folder(path, settings)
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path / LOCK_FILE, timeout=0)
        try:
            self._lock.acquire()
        except Timeout as err:
            raise DataError(f"another process is writing to {path}; wait for its end") from err
        if overwrite:
            _remove_run(path)
        remove_unfinished(path)
        self._lines = _read_lines(path / JOURNAL_FILE)
        # The first to be written, so that a process killed from here on leaves what is known as
        # a run.
        write_json(path / RUN_FILE, {"settings": settings})
        (path / PNG_DIR).mkdir(exist_ok=True)
        self._settings = settings
        self._files: dict[str, str] = {}
        self._journal: BinaryIO = (path / JOURNAL_FILE).open("ab+")
        _end_torn_line(self._journal)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._journal.close()
        self._lock.release()

    def is_done(self, file_name: str) -> bool:
        """Whether an image is done, in this run or an earlier one."""
        line = self._lines.get(file_name)
        return line is not None and not line.failed

    def find_record(self, file_name: str) -> JournalRecord | None:
        """What became of an image, in this run or an earlier one; None where it was not tried."""
        return self.read_record(file_name) if file_name in self._lines else None

    def read_record(self, file_name: str) -> JournalRecord:
        """What became of an image; KeyError where it has not been tried."""
        self._journal.seek(self._lines[file_name].offset)
        return _parse_record(self._journal.readline(), self.path / JOURNAL_FILE)

    def append(self, record: JournalRecord) -> None:
        """Add a record to the journal; it outlives this process from then on."""
        offset = self._write_line(record.to_json())
        self._lines[record.file_name] = _Line(offset, failed=record.error is not None)

    def forget(self, file_name: str) -> None:
        """Take an image for one that has not been tried, so that it is done again."""
        self._write_line({"file_name": file_name, "forgotten": True})
        self._lines.pop(file_name, None)

    def _write_line(self, entry: Mapping[str, Any]) -> int:
        """Add a line to the journal; answers where it begins."""
        line = json.dumps(entry, allow_nan=False, separators=(",", ":")) + "\n"
        offset = self._journal.seek(0, 2)
        self._journal.write(line.encode("ascii"))
        self._journal.flush()
        return offset

    def write_maps(self, tasks: Sequence[ImageTask], space: LabelSpace) -> None:
        """Write panoptic.json over the images that are done, in order."""
        done = [task for task in tasks if self.is_done(task.file_name)]
        path = self.path / PANOPTIC_FILE
        write_panoptic_json(path, self._images(done), self._annotations(done), space)
        self._files[PANOPTIC_FILE] = hash_file(path)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write run.json: the settings, and what became of the run."""
        write_json(
            self.path / RUN_FILE, {"settings": self._settings, "files": self._files, **summary}
        )

    def _images(self, tasks: Iterable[ImageTask]) -> Iterator[ImageRecord]:
        for task in tasks:
            height, width = self.read_record(task.file_name).size or (0, 0)
            yield ImageRecord(task.image_id, task.file_name, height, width)

    def _annotations(self, tasks: Iterable[ImageTask]) -> Iterator[dict[str, Any]]:
        for task in tasks:
            segments = self.read_record(task.file_name).segments_info
            yield annotation_to_json(task.image_id, task.png_name, segments)


def remove_unfinished(path: Path) -> None:
    """Delete what killed processes had begun to write into a run's folder."""
    for part in find_parts(path):
        part.unlink(missing_ok=True)
    for name in (PNG_DIR, PICTURE_DIR, PREDICTION_DIR):
        for part in find_parts(path / name, below=True):
            part.unlink(missing_ok=True)


def read_records(path: Path) -> Iterator[JournalRecord]:
    """The last record of each image in a run's folder, in the order of the journal.

    Raises:
        DataError: the folder holds no journal.
        CocoFormatError: a line is no record.
    """
    journal_path = path / JOURNAL_FILE
    if not journal_path.is_file():
        raise DataError(f"{path} holds no journal {JOURNAL_FILE}, so no whole run")
    lines = _read_lines(journal_path)
    with journal_path.open("rb") as journal:
        for line in sorted(lines.values(), key=lambda line: line.offset):
            journal.seek(line.offset)
            yield _parse_record(journal.readline(), journal_path)


def read_run_file(run: Path) -> dict[str, Any]:
    """The content of a run's run.json: its ``settings``, and the tables in TABLES if it is done.

    Raises:
        DataError: the folder holds no run.
        CocoFormatError: the file is damaged.
    """
    path = run / RUN_FILE
    try:
        text = read_regular(path)
    except OSError as err:
        raise DataError(
            f"{run} holds no run: its {RUN_FILE} cannot be read ({err.strerror}); "
            "the output of fuse combine has none"
        ) from err
    content = parse_object(text, str(path))
    if not isinstance(content.get("settings"), dict):
        raise CocoFormatError(f"{path}: has no settings")
    for name, kinds in TABLES.items():
        table = content.get(name, {})
        if not isinstance(table, dict) or not all(isinstance(v, kinds) for v in table.values()):
            raise CocoFormatError(f"{path}: {name} is not what a run writes there")
    inputs = content["settings"].get("inputs", [])
    if not isinstance(inputs, list) or not all(isinstance(given, str) for given in inputs):
        raise CocoFormatError(f"{path}: settings.inputs is no list of paths")
    return content


def restore_space(settings: Mapping[str, Any], dataset: PanopticDataset) -> LabelSpace:
    """The label space of a run: the one that ships, else as its JSON has it; a CSV may be gone.

    Args:
        settings: of the run.
        dataset: its panoptic JSON.

    Raises:
        KeyError, TypeError: the settings name none.
    """
    name = settings["pipeline"]["label_space"]
    if name in list_spaces():
        return load_space(name)
    return LabelSpace(Path(name).stem, (dataset.own_space or dataset.space).categories)


def _parse_record(line: bytes, path: Path) -> JournalRecord:
    """The record in a line of a journal; CocoFormatError names the image where it is none."""
    entry = parse_object(line, str(path))
    try:
        return JournalRecord.from_json(entry)
    except CocoFormatError as err:
        raise CocoFormatError(f"{path}, {entry.get('file_name')!r}: {err}") from err


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a small JSON file for people and machines, whole or not at all."""
    write_whole(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _remove_run(path: Path) -> None:
    """Delete what a run wrote into a folder, and nothing else.

    The journal goes first, which names the files, and run.json stays, by which this is a run's
    folder until it is replaced: a process may be killed in between.
    """
    for name in (JOURNAL_FILE, PANOPTIC_FILE):
        (path / name).unlink(missing_ok=True)
    for folder in (PNG_DIR, PICTURE_DIR, PREDICTION_DIR):
        if (path / folder).is_dir():
            shutil.rmtree(path / folder)


def _check_folder(path: Path, settings: Mapping[str, Any]) -> None:
    """Raise DataError unless the folder is new, empty, or of a run with these settings."""
    if not path.exists():
        return
    if not path.is_dir():
        raise DataError(f"{path} is a file; give a folder for the output")
    run_file = path / RUN_FILE
    if not run_file.is_file():
        # A process killed before it wrote run.json leaves its lock and a part of that.
        files = set(path.iterdir()) - set(find_parts(path))
        if any(file.name not in (LOCK_FILE, *BROWSER_FILES) for file in files):
            raise DataError(f"{path} is not empty and holds no run; give a new folder")
        return
    try:
        before = read_run_file(path)["settings"]
    except CocoFormatError as err:
        raise DataError(f"{err}; give a new folder or --overwrite") from err
    different = list(list_differences(before, json.loads(json.dumps(settings))))
    if different:
        raise DataError(
            f"{path} holds a run with other settings: {'; '.join(different[:3])}; "
            "give another folder, or --overwrite to start anew"
        )


def list_differences(before: object, now: object, key: str = "") -> Iterator[str]:
    """``key was X, is Y`` for each value that differs between two nested tables."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            dotted = f"{key}.{name}" if key else name
            yield from list_differences(before.get(name), now.get(name), dotted)
    elif isinstance(before, list) and isinstance(now, list) and before != now:
        yield from _list_changes(before, now, key)
    elif before != now:
        yield f"{key} was {before}, is {now}"


def _list_changes(before: list[Any], now: list[Any], key: str) -> Iterator[str]:
    """Where two lists differ first, which may be long."""
    if len(before) != len(now):
        key = f"{key} ({len(before)} before, {len(now)} now)"
    old, new = next((a, b) for a, b in zip_longest(before, now) if a != b)
    yield f"{key} was {old}, is {new}"


def _read_lines(path: Path) -> dict[str, _Line]:
    """Where the last word on each image stands in a journal; a torn last line is none."""
    lines: dict[str, _Line] = {}
    if not path.is_file():
        return lines
    offset = 0
    with path.open("rb") as journal:
        for number, text in enumerate(journal, start=1):
            if text.endswith(b"\n"):
                try:
                    entry = parse_object(text, f"{path}, line {number}")
                except CocoFormatError as err:
                    raise CocoFormatError(f"{err}; start anew with --overwrite") from err
                file_name = entry.get("file_name")
                if not isinstance(file_name, str):
                    raise CocoFormatError(
                        f"{path}, line {number}: not a record; start anew with --overwrite"
                    )
                if "forgotten" in entry:
                    lines.pop(file_name, None)
                else:
                    lines[file_name] = _Line(offset, failed="error" in entry)
            offset += len(text)
    return lines


def _end_torn_line(journal: BinaryIO) -> None:
    """Cut off a last line that a killed process left unfinished."""
    size = journal.seek(0, 2)
    if not size:
        return
    journal.seek(max(0, size - 1))
    if journal.read(1) == b"\n":
        return
    journal.seek(0)
    content_end = 0
    for line in journal:
        if line.endswith(b"\n"):
            content_end += len(line)
    journal.truncate(content_end)
