"""Joining the shards of a run into one run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuse.errors import CocoFormatError, DataError
from fuse.io.coco.panoptic import ImageId, PanopticDataset, read_panoptic_json
from fuse.io.files import (
    RUN_FILE,
    StrPath,
    check_links,
    check_writable,
    copy_whole,
    make_parent,
    to_path,
)
from fuse.runs.folder import (
    RunFolder,
    list_differences,
    read_run_file,
    restore_space,
)
from fuse.runs.journal import JournalRecord, read_records
from fuse.runs.tasks import ImageTask
from fuse.types.short_repr import ShortRepr


@dataclass(frozen=True, slots=True, repr=False)
class MergeResult(ShortRepr):
    """What a joined run has.

    Attributes:
        done: how many images have a map.
        failed: (file name, reason) of each image without one.
    """

    done: int
    failed: tuple[tuple[str, str], ...]


def merge(runs: Sequence[StrPath], out: StrPath) -> MergeResult:
    """Join the shards of one run; the result is what a single run would have written.

    Maps, kept predictions and pictures are copied, the shards stay as they are.

    Args:
        runs: output folders of all shards, in any order.
        out: a new folder.

    Raises:
        DataError: a shard or a file of one is missing, a shard is not finished, of another run
            or of other images, or given twice; `out` is one of them; or a link leads out of a
            folder.
        CocoFormatError: a file that a shard says of itself is damaged.
    """
    shards, out = [to_path(run) for run in runs], to_path(out)
    check_writable(out)
    settings, call = _join_settings(shards), read_run_file(shards[0]).get("call")
    if out.resolve() in (shard.resolve() for shard in shards):
        raise DataError(f"{out} is one of the shards; give a new folder")
    tasks: list[ImageTask] = []
    failed: dict[str, str] = {}
    incomplete: dict[str, str] = {}
    owners: dict[tuple[str, ImageId], Path] = {}
    with RunFolder(out, settings, call=call) as folder:
        for run in shards:
            dataset = read_panoptic_json(run)
            space = restore_space(settings, dataset)  # the same for all: their settings are
            for record, task in _read_shard(run, dataset):
                _check_unique(run, record, task, owners)
                if task:
                    _copy_files(run, out, record)
                    tasks.append(task)
                    incomplete |= {record.file_name: record.damage} if record.damage else {}
                else:
                    failed[record.file_name] = record.error or ""
                folder.journal.append(record)
        tasks.sort(key=lambda task: task.file_name)
        folder.write_maps(tasks, space)
        images = {"done": len(tasks), "failed": len(failed)}
        summary = {"photos": images, "failed": failed, "incomplete": incomplete}
        folder.write_summary(summary | {"merged": len(runs)})
    return MergeResult(len(tasks), tuple(sorted(failed.items())))


def _check_unique(
    run: Path,
    record: JournalRecord,
    task: ImageTask | None,
    owners: dict[tuple[str, ImageId], Path],
) -> None:
    """Note which shard has an image; DataError where another shard has its names or id, too."""
    names: list[tuple[str, ImageId]] = [("image", record.file_name)]
    if task:
        names += [("map", task.png_name), ("image_id", task.image_id)]
    for what, name in names:
        if (owner := owners.setdefault((what, name), run)) != run:
            raise DataError(f"{what} {name!r} is both in {owner} and in {run}")


def _read_shard(
    run: Path, dataset: PanopticDataset
) -> Iterator[tuple[JournalRecord, ImageTask | None]]:
    """Each image of a finished shard, with the task that it was where it was done.

    The journal may also know images that were gone when the shard was last run.
    """
    content = read_run_file(run)
    failed = content.get("failed", {})
    ids = {image.file_name: image_id for image_id, image in dataset.images.items()}
    done = 0
    for record in read_records(run):
        if record.error is not None:
            if record.file_name in failed:
                yield record, None
            continue
        image_id = ids.get(record.file_name)
        if image_id is None:
            continue
        if image_id not in dataset.annotations:
            raise CocoFormatError(f"{dataset.path}: {record.file_name} has no annotation")
        done += 1
        png_name = dataset.annotations[image_id].file_name
        yield record, ImageTask(run, record.file_name, png_name, image_id)
    if not done == len(ids) == content["photos"].get("done"):
        raise CocoFormatError(
            f"{run}: {RUN_FILE} says that {content['photos'].get('done')} images are done, "
            f"{dataset.path.name} has {len(ids)} and the journal {done} of these"
        )


def _copy_files(run: Path, out: Path, record: JournalRecord) -> None:
    """Copy what was written for an image."""
    for name, digest in record.files.items():
        check_links(run, run / name)
        try:
            copy_whole(run / name, make_parent(out, name), digest)
        except FileNotFoundError as err:
            raise DataError(f"{run / name} is missing; fuse verify says what else is") from err
        except DataError as err:
            raise DataError(f"{err}; fuse verify {run} --redo && fuse run --resume {run}") from err


def _join_settings(runs: Sequence[Path]) -> dict[str, Any]:
    """The settings that all runs share, once it is sure that they are all shards of one run."""
    shards: dict[str, Path] = {}
    common: Mapping[str, Any] | None = None
    for run in runs:
        settings, shard = _read_settings(run)
        if shard == "1/1" and len(runs) > 1:
            raise DataError(f"{run} is a whole run, no shard; fuse run --shard I/N makes shards")
        if shard in shards:
            raise DataError(f"{run} and {shards[shard]} are both shard {shard}")
        if common not in (None, settings):
            different = list(list_differences(common, settings))[:3]
            raise DataError(
                f"{run} is no shard of the same run as {runs[0]}: settings differ: "
                f"{'; '.join(different)}"
            )
        shards[shard], common = run, settings
    count = int(next(iter(shards)).partition("/")[2])
    missing = next((i for i in range(1, count + 1) if f"{i}/{count}" not in shards), None)
    if missing is not None:
        raise DataError(f"shard {missing}/{count} is missing; {len(shards)} of {count} were given")
    joined = {**(common or {}), "shard": "1/1"}
    joined.pop("listed", None)  # a whole run may get more images
    return joined


def _read_settings(run: Path) -> tuple[dict[str, Any], str]:
    """The settings of a finished shard without the shard, and the shard as ``i/n``."""
    content = read_run_file(run)
    if "photos" not in content:
        raise DataError(f"{run} is not finished; give its command again")
    settings = content["settings"]
    shard, pipeline = settings.pop("shard", None), settings.get("pipeline")
    if not isinstance(shard, str) or not re.fullmatch(
        r"[1-9]\d{0,8}/[1-9]\d{0,8}", shard, re.ASCII
    ):
        raise CocoFormatError(f"{run / RUN_FILE}: shard must be i/n, is {shard!r}")
    if not isinstance(pipeline, dict) or not isinstance(pipeline.get("label_space"), str):
        raise CocoFormatError(f"{run / RUN_FILE}: names no label space")
    return settings, shard
