"""Whether the files of a run are still those that it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fuse.errors import CocoFormatError
from fuse.io.files import (
    JOURNAL_FILE,
    PANOPTIC_FILE,
    RUN_FILE,
    StrPath,
    hash_file,
    read_regular,
    to_path,
)
from fuse.io.json_toml import parse_object
from fuse.runs.folder import RunFolder, read_run_file
from fuse.runs.journal import read_records
from fuse.threads import count_steps, map_threads
from fuse.types.short_repr import ShortRepr


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a run that is not what it was.

    Attributes:
        path: below the output folder.
        problem: what is wrong with it.
        file_name: the image it belongs to, None for the JSON of all images and for run.json.
    """

    path: str
    problem: str
    file_name: str | None


@dataclass(frozen=True, slots=True, repr=False)
class Verification(ShortRepr):
    """What became of a run's files.

    Attributes:
        files: how many with a hash were looked at.
        damages: those that are not what they were, in the order of the journal.
    """

    files: int
    damages: tuple[Damage, ...]

    def to_json(self) -> dict[str, Any]:
        """The result in plain values."""
        return {
            "files": self.files,
            "damaged": [asdict(damage) for damage in self.damages],
        }


def verify(
    run: StrPath,
    *,
    redo: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Compare each file of a run with the hash that its journal has of it; run.json has none.

    Args:
        run: the output folder.
        redo: forget the images of damaged files, so that `fuse.api.resume` does them again.
        workers: threads; by default all cores.
        on_progress: called after each file with how many are done, of how many.

    Raises:
        DataError: the folder holds no run, or another process is writing to it.
        CocoFormatError: its journal is damaged, or run.json holds what no run writes.
    """
    run = to_path(run)
    content = read_run_file(run)
    expected = list(_list_files(run, content))
    with map_threads(
        lambda file: _find_problem(run / file[0], file[1]),
        expected,
        workers,
        on_result=count_steps(on_progress, len(expected)),
    ) as problems:
        damages = [
            Damage(path, problem, file_name)
            for (path, _, file_name), problem in zip(expected, problems, strict=True)
            if problem
        ]
    damages.extend(_check_run_file(run))
    damages.extend(_check_journal(run, content))
    if redo and damages:
        _forget(run, content, damages)
    return Verification(len(expected), tuple(damages))


def _list_files(run: Path, content: Mapping[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """Path, hash and image of each file that a run has written.

    A file may have been written again for another image, when a.png took the place of a.jpg.
    """
    last = {
        path: (digest, record.file_name)
        for record in read_records(run)
        for path, digest in record.files.items()
    }
    yield from ((path, *about) for path, about in last.items())
    files = content.get("files", {})  # a run that was cut off has none yet
    if PANOPTIC_FILE in files:
        yield PANOPTIC_FILE, str(files[PANOPTIC_FILE]), None


def _find_problem(path: Path, digest: str) -> str | None:
    """What is wrong with a file, None where nothing is."""
    try:
        return None if hash_file(path) == digest else "is not the file that was written"
    except FileNotFoundError:
        return "is missing"
    except OSError as err:
        return f"cannot be read ({err.strerror})"


def _check_run_file(run: Path) -> list[Damage]:
    """What is wrong with run.json, whose settings the journal can stand in for."""
    try:
        parse_object(read_regular(run / RUN_FILE), RUN_FILE)
    except FileNotFoundError:
        return [Damage(RUN_FILE, "is missing", None)]
    except OSError as err:
        return [Damage(RUN_FILE, f"cannot be read ({err.strerror})", None)]
    except CocoFormatError:
        return [Damage(RUN_FILE, "is not the file that was written", None)]
    return []


def _check_journal(run: Path, content: Mapping[str, Any]) -> list[Damage]:
    """Whether a journal lost records; images that came and went it may have beside those."""
    done = content.get("photos", {}).get("done", 0)  # a run that was cut off does not say
    recorded = sum(record.error is None for record in read_records(run))
    if recorded >= done:
        return []
    return [Damage(JOURNAL_FILE, f"has {recorded} of the {done} images that were done", None)]


def _forget(run: Path, content: Mapping[str, Any], damages: list[Damage]) -> None:
    """Take the images of damaged files for images that have not been tried."""
    with RunFolder(run, content["settings"], call=content.get("call")) as folder:
        for file_name in dict.fromkeys(d.file_name for d in damages if d.file_name is not None):
            folder.journal.forget(file_name)
