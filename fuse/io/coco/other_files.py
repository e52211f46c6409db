"""What a file is that is no panoptic JSON, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import msgspec

from fuse.errors import CocoFormatError
from fuse.io.files import PANOPTIC_FILE, is_run
from fuse.io.json_toml import read_json


class _InstanceRecord(msgspec.Struct):
    segmentation: msgspec.Raw
    bbox: msgspec.Raw


class _InstancesFile(msgspec.Struct):
    annotations: tuple[_InstanceRecord, ...]


def refuse_other(path: Path, err: CocoFormatError) -> NoReturn:
    """Raise the error of reading a panoptic JSON, with what to do where that is known."""
    if path.name == PANOPTIC_FILE and is_run(path.parent):
        raise CocoFormatError(f"{err}; fuse run --resume {path.parent} writes it") from err
    if _holds_instances(path):
        raise CocoFormatError(
            f"{path}: these are instances, not panoptic segments; take the panoptic JSON of the "
            "same images, as panoptic_val2017.json, or make one: fuse convert coco-instances "
            f"{path} -o gt.json"
        ) from err
    raise err


def _holds_instances(path: Path) -> bool:
    """Whether a JSON that is no panoptic one has COCO instances."""
    try:
        return bool(read_json(path, _InstancesFile, "").annotations)
    except CocoFormatError:
        return False
