"""The output folder of a run: its lock, run.json with what it was made with, panoptic.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from types import NoneType
from typing import Any

from filelock import FileLock, Timeout

from fuse.errors import CocoFormatError, DataError
from fuse.io.coco.panoptic import (
    ImageRecord,
    PanopticDataset,
    annotation_to_json,
    write_panoptic_json,
)
from fuse.io.files import (
    JOURNAL_FILE,
    LIST_FILE,
    PANOPTIC_FILE,
    RUN_FILE,
    check_links,
    find_parts,
    hash_file,
    read_regular,
    write_whole,
)
from fuse.io.image_list import STDIN, ImageList, read_image_list
from fuse.io.json_toml import parse_object
from fuse.labels import list_spaces, load_space
from fuse.runs.journal import Journal, JournalRecord, read_head, remove_written
from fuse.runs.tasks import IMAGE_DIRS, PNG_DIR, ImageTask
from fuse.types import LabelSpace

LOCK_FILE = ".lock"
PATIENCE = 1.0  # seconds; what a killed run had forked is gone in milliseconds
BROWSER_FILES = (".DS_Store", "desktop.ini", "Thumbs.db")  # come by looking at a folder
# Of run.json: tables that others compute with, and what stands in them.
TABLES: dict[str, tuple[type, ...]] = {
    "photos": (int,),
    "seconds": (int, float),
    "peak_memory_mib": (int, NoneType),
    "files": (str,),
    "failed": (str,),
    "incomplete": (str,),
}
ADDABLE = ("predictions", "pictures")  # settings that a run may get later
WRITTEN = (*IMAGE_DIRS, RUN_FILE, JOURNAL_FILE, PANOPTIC_FILE, LIST_FILE, LOCK_FILE)
LIST_KEYS = ("source", "base")  # of a list of images in the settings


class RunFolder:
    """An output folder, open for one run.

    What was done in an earlier, cut-off run of the same settings stays done. While a folder
    is open no other process can open it.

    Attributes:
        missing: how many images `find_finished` found done whose files are gone.

    Args:
        path: the folder; made where it does not exist.
        settings: what the maps depend on, in plain values.
        call: how the run was asked for, in plain values.
        overwrite: start anew where the folder holds a run.

    Raises:
        DataError: the folder holds a run with other settings, or files of something else, or
            a link that leads out of it, or another process has it open.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        *,
        call: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self._head = {"settings": settings} | ({"call": call} if call else {})
        check_run_folder(path, settings, overwrite=overwrite)
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path / LOCK_FILE, timeout=PATIENCE)
        try:
            self._lock.acquire()
        except Timeout as err:
            raise DataError(f"another process is writing to {path}; wait for its end") from err
        if overwrite:
            _remove_run(path)
        remove_unfinished(path)
        self.journal = Journal(path)
        self.missing = 0
        # The first to be written, so that a process killed from here on leaves what is known as
        # a run.
        _write_json(path / RUN_FILE, self._head)
        (path / PNG_DIR).mkdir(exist_ok=True)
        self._files: dict[str, str] = {}
        self.journal.open(self._head)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self.journal.close()
        self._lock.release()

    def find_finished(
        self, task: ImageTask, *, retry_failed: bool, check_hash: bool, strict: bool = False
    ) -> JournalRecord | None:
        """`Journal.find_finished`; None, too, where a file that the record names is gone."""
        record = self.journal.find_finished(
            task, retry_failed=retry_failed, check_hash=check_hash, strict=strict
        )
        if record and not all((self.path / name).is_file() for name in record.files):
            self.missing += 1
            return None
        return record

    def write_list(self, listed: ImageList | None) -> None:
        """Keep the names that came by stdin, which gives them once."""
        if listed and listed.source == STDIN:
            content = b"".join(os.fsencode(f"{name}\0") for name in listed.names)
            write_whole(self.path / LIST_FILE, content)

    def write_maps(self, tasks: Sequence[ImageTask], space: LabelSpace) -> None:
        """Write panoptic.json over the images that are done, in order."""
        done = [task for task in tasks if self.journal.is_done(task.file_name)]
        path = self.path / PANOPTIC_FILE
        write_panoptic_json(path, self._images(done), self._annotations(done), space)
        self._files[PANOPTIC_FILE] = hash_file(path)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write run.json: its head, and what became of the run."""
        _write_json(self.path / RUN_FILE, self._head | {"files": self._files} | dict(summary))

    def _images(self, tasks: Iterable[ImageTask]) -> Iterator[ImageRecord]:
        for task in tasks:
            height, width = self.journal.read(task.file_name).size or (0, 0)
            yield ImageRecord(task.image_id, task.file_name, height, width)

    def _annotations(self, tasks: Iterable[ImageTask]) -> Iterator[dict[str, Any]]:
        for task in tasks:
            segments = self.journal.read(task.file_name).segments_info
            yield annotation_to_json(task.image_id, task.png_name, segments)


def remove_unfinished(path: Path) -> None:
    """Delete what killed processes had begun to write into a run's folder."""
    for part in find_parts(path):
        part.unlink(missing_ok=True)
    for name in IMAGE_DIRS:
        for part in find_parts(path / name, below=True):
            part.unlink(missing_ok=True)


def read_run_file(run: Path) -> dict[str, Any]:
    """The content of a run's run.json: its head, and the tables in TABLES if it is done.

    Its head is its ``settings`` and its ``call``. Where the file is lost or damaged, they are those
    that the journal has, and the run counts as cut off.

    Raises:
        DataError: the folder holds no run.
        CocoFormatError: the file is damaged.
    """
    path = run / RUN_FILE
    try:
        content = parse_object(read_regular(path), str(path))
        if not isinstance(content.get("settings"), dict):
            raise CocoFormatError(f"{path}: has no settings")
    except (OSError, CocoFormatError) as err:
        head = read_head(run)
        if head is None and isinstance(err, OSError):
            raise DataError(
                f"{run} holds no run: its {RUN_FILE} cannot be read ({err.strerror}); "
                "the output of fuse combine has none"
            ) from err
        if head is None:
            raise
        content = head
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


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a small JSON file for people and machines, whole or not at all."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_whole(path, text.encode(), durable=True)


def _remove_run(path: Path) -> None:
    """Delete what a run wrote into a folder, and nothing else.

    run.json stays, by which this is a run's folder until it is replaced: a process may be killed
    in between.
    """
    (path / PANOPTIC_FILE).unlink(missing_ok=True)
    remove_written(path)
    (path / LIST_FILE).unlink(missing_ok=True)
    for name in IMAGE_DIRS:
        for folder, _, _ in os.walk(path / name, topdown=False):
            with suppress(OSError):  # a file of somebody else's lies in it
                Path(folder).rmdir()


def _is_own(path: Path) -> bool:
    """Whether a folder holds a run of fuse, and not something else with a run.json."""
    try:
        settings = read_run_file(path)["settings"]
    except DataError:
        return False
    return (path / JOURNAL_FILE).is_file() or "fuse" in settings


def check_run_folder(
    path: Path, settings: Mapping[str, Any], *, overwrite: bool = False, partly: bool = False
) -> None:
    """Raise DataError where a run can neither begin nor go on in a folder; see `RunFolder`.

    Args:
        path: the folder.
        settings: of the run.
        overwrite: whether a run of other settings may be replaced.
        partly: whether more settings will come, which only the nets know.
    """
    check_links(path, *(path / name for name in WRITTEN))
    for name in (RUN_FILE, JOURNAL_FILE, PANOPTIC_FILE, LOCK_FILE):
        if (path / name).exists() and not (path / name).is_file():
            raise DataError(f"{path / name} is a folder or a pipe; a run has a file there")
    if not path.exists() or (overwrite and _is_own(path)):
        return
    if not path.is_dir():
        raise DataError(f"{path} is a file; give a folder for the output")
    if not (path / RUN_FILE).is_file() and read_head(path) is None:
        # A process killed before it wrote run.json leaves its lock and a part of that.
        files = set(path.iterdir()) - set(find_parts(path))
        if any(file.name not in (LOCK_FILE, *BROWSER_FILES) for file in files):
            raise DataError(f"{path} is not empty and holds no run; give a new folder")
        return
    try:
        before = read_run_file(path)["settings"]
    except CocoFormatError as err:
        raise DataError(f"{err}, as a run of fuse has; give a new folder") from err
    before |= {name: True for name in ADDABLE if settings.get(name) is True}
    if partly:
        before = {name: value for name, value in before.items() if name in settings}
    different = _describe_differences(before, json.loads(json.dumps(settings)))
    if different:
        raise DataError(
            f"{path} holds a run {different}; give another folder, or --overwrite to start anew"
        )


def _describe_differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What a run's settings have that the new ones have not; empty where they are the same.

    Where the pipeline is called otherwise, that says more than the keys that differ with it.
    """
    called = [settings.get("pipeline", {}).get("description") for settings in (before, now)]
    if all(called) and called[0] != called[1]:
        return f'of another pipeline ("{called[0]}", not "{called[1]}")'
    different = list(list_differences(before, now))
    return f"with other settings: {'; '.join(different[:3])}" if different else ""


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


def read_recorded_list(settings: Mapping[str, Any], out: Path) -> ImageList | None:
    """The list that a run had its images from, None without one.

    Raises:
        DataError: it is gone, or the settings are none that a run writes.
    """
    listed = settings.get("list")
    if listed is None:
        return None
    if not isinstance(listed, dict) or not all(isinstance(listed.get(k), str) for k in LIST_KEYS):
        raise DataError(f"{out / RUN_FILE}: settings.list is not what a run writes there")
    source, null = listed["source"], listed.get("null") is True
    if source != STDIN:
        return read_image_list(source, null=null)
    names = read_image_list(out / LIST_FILE, null=True).names
    return ImageList(STDIN, Path(listed["base"]), null, names)
