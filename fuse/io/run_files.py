"""The files by which the output folder of a run is known."""

from __future__ import annotations

from pathlib import Path

RUN_FILE = "run.json"
JOURNAL_FILE = "records.jsonl"
PANOPTIC_FILE = "panoptic.json"


def is_run(folder: Path) -> bool:
    """Whether a folder is the output of a run, finished or not."""
    return (folder / RUN_FILE).is_file() and (folder / JOURNAL_FILE).is_file()
