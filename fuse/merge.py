"""Joining the shards of a run into one run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fuse.errors import CocoFormatError, DataError
from fuse.io.coco import read_panoptic_json
from fuse.labels import load_space
from fuse.records import PhotoTask
from fuse.run_folder import RUN_FILE, RunFolder, read_records


def merge(runs: Sequence[Path], out: Path) -> int:
    """Join the shards of one run; the result is what a single run would have written.

    Maps, kept predictions and pictures are copied, the shards stay as they are.

    Args:
        runs: output folders of all shards, in any order.
        out: a new folder.

    Returns:
        How many photos the joined run has.

    Raises:
        DataError: a shard is missing, not finished, of another run, or given twice.
    """
    settings = _join_settings(runs)
    tasks: list[PhotoTask] = []
    with RunFolder(out, settings) as folder:
        for run in runs:
            dataset = read_panoptic_json(run)
            ids = {image.file_name: image_id for image_id, image in dataset.images.items()}
            for record in read_records(run):
                if record.error is None:
                    image_id = ids[record.file_name]
                    png_name = dataset.annotations[image_id].file_name
                    for name in record.files:
                        (out / name).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(run / name, out / name)
                    tasks.append(PhotoTask(run, record.file_name, png_name, image_id))
                folder.append(record)
        tasks.sort(key=lambda task: task.file_name)
        folder.write_maps(tasks, load_space(settings["pipeline"]["label_space"]))
        folder.write_summary({"photos": {"done": len(tasks)}, "merged": len(runs)})
    return len(tasks)


def _join_settings(runs: Sequence[Path]) -> dict[str, Any]:
    """The settings that all runs share, once it is sure that they are all shards of one run."""
    shards: dict[str, Path] = {}
    common: Mapping[str, Any] | None = None
    for run in runs:
        settings = _read_settings(run)
        shard = settings.pop("shard")
        if shard in shards:
            raise DataError(f"{run} and {shards[shard]} are both shard {shard}")
        if common not in (None, settings):
            raise DataError(f"{run} is no shard of the same run as {runs[0]}: settings differ")
        shards[shard], common = run, settings
    count = int(next(iter(shards)).partition("/")[2])
    missing = [f"{i}/{count}" for i in range(1, count + 1) if f"{i}/{count}" not in shards]
    if missing:
        raise DataError(f"shard {missing[0]} is missing ({len(missing)} of {count})")
    return {**(common or {}), "shard": "1/1"}


def _read_settings(run: Path) -> dict[str, Any]:
    try:
        content = json.loads((run / RUN_FILE).read_bytes())
        if "photos" not in content:
            raise DataError(f"{run} is not finished; give its command again")
        return dict(content["settings"])
    except OSError as err:
        raise DataError(f"{run} holds no run ({err.strerror})") from err
    except (ValueError, KeyError, TypeError) as err:
        raise CocoFormatError(f"{run / RUN_FILE} cannot be read") from err
