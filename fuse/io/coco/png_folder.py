"""A panoptic JSON and the folder of PNGs that belongs to it, where people put them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fuse.errors import CocoFormatError, FuseWarning, first_line
from fuse.io.files import PANOPTIC_FILE, is_run


class NamedPng(Protocol):
    """An entry of a JSON that names a PNG."""

    @property
    def file_name(self) -> str:
        """The PNG, relative to the folder."""
        ...


def find_panoptic_json(path: Path) -> Path:
    """The panoptic JSON itself, or that of a folder.

    Raises:
        CocoFormatError: the folder has none and is no run.
    """
    if not path.is_dir():
        return path
    if not is_run(path) and not (path / PANOPTIC_FILE).exists():
        raise CocoFormatError(
            f"{path} is no run and has no {PANOPTIC_FILE}; give the output folder of fuse run, "
            "or a panoptic JSON"
        )
    return path / PANOPTIC_FILE


def find_png_dir(path: Path, given: Path | None, annotations: Sequence[NamedPng]) -> Path:
    """The folder of the PNGs of a JSON.

    It is the one given, or that of the JSON's name. Where the first PNG lies one folder deeper, as
    archives are unpacked into a folder of their own name, it is that, and a `FuseWarning` says so.
    Where names begin with the folder's own, it is the one above.

    Args:
        path: of the JSON.
        given: the folder, by whoever reads the JSON.
        annotations: of the JSON.

    Raises:
        CocoFormatError: there is no such folder; names an archive that lies in its place.
    """
    png_dir = given or path.with_suffix("")
    if not png_dir.is_dir():
        raise CocoFormatError(f"{path}: its folder of PNGs {png_dir} {_describe_absence(png_dir)}")
    name = annotations[0].file_name.replace("\\", "/") if annotations else ""
    try:
        if not name or (png_dir / name).exists():
            return png_dir
        deeper = [folder for folder in png_dir.iterdir() if (folder / name).is_file()]
    except OSError as err:
        raise CocoFormatError(f"{png_dir}: cannot be read ({first_line(err)})") from err
    if not deeper and (png_dir.parent / name).is_file():
        return png_dir.parent  # whose name the file names begin with
    if len(deeper) != 1:
        return png_dir  # reading a PNG says which one is missing
    warnings.warn(
        FuseWarning(f"{path}: its PNGs lie one folder deeper, and are read there: {deeper[0]}"),
        stacklevel=3,
    )
    return deeper[0]


def _describe_absence(png_dir: Path) -> str:
    """What is there in place of a folder, and what to do."""
    archive = png_dir if png_dir.is_file() else png_dir.with_name(f"{png_dir.name}.zip")
    if archive.is_file():
        return f"is still packed: unpack {archive} beside it"
    return "does not exist; name it with --gt-dir or --pred-dir, or put it beside the JSON"
