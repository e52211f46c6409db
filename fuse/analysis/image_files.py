"""Where the images of a run lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any

from fuse.errors import DataError
from fuse.io.listing import list_images
from fuse.io.remote import is_url


def find_images(
    names: Iterable[str], run_files: Iterable[Mapping[str, Any]], images: Path | None
) -> dict[str, Path | str]:
    """Where the images of a run lie, URLs as text; those that are not found have no entry.

    Args:
        names: relative names of the images.
        run_files: what the run.json of each run says of its inputs, URLs among them; the first
            that knows an image counts.
        images: a folder to look in instead. There an image may also lie by its bare name.

    Raises:
        DataError: there is no image at all in `images`.
    """
    wanted = list(names)
    if images:
        return _find_below(images, wanted)
    found: dict[str, Path | str] = {}
    for run_file in run_files:
        inputs = run_file.get("settings", {}).get("inputs", ())
        present = [
            given for given in inputs if is_url(given) or has_magic(given) or Path(given).exists()
        ]
        with suppress(DataError):  # moved away since: the report says so of each image
            found = {p.relative_name: p.path for p in list_images(present).images} | found
    return {name: found[name] for name in wanted if name in found}


def _find_below(images: Path, names: Iterable[str]) -> dict[str, Path | str]:
    """Images in a folder by their relative name, or by a bare name that is there once."""
    listed = list_images([str(images)]).images
    by_path = {image.relative_name: image.path for image in listed}
    bare = [PurePosixPath(image.relative_name).name for image in listed]
    uses = Counter(bare)
    by_name = {
        name: image.path for name, image in zip(bare, listed, strict=True) if uses[name] == 1
    }
    found = {name: by_path.get(name, by_name.get(PurePosixPath(name).name)) for name in names}
    return {name: path for name, path in found.items() if path}
