"""Where the images of a run lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from glob import has_magic
from pathlib import Path

from fuse.analysis.opened_run import OpenedRun
from fuse.errors import DataError
from fuse.io.coco.image_names import name_keys
from fuse.io.coco.panoptic import ImageId
from fuse.io.image_list import ImageList
from fuse.io.image_source import ImageSource
from fuse.io.listing import list_images
from fuse.io.remote import is_url
from fuse.runs.folder import read_recorded_list


def find_images(
    names: Iterable[str],
    runs: Iterable[OpenedRun],
    images: Path | None,
    image_list: ImageList | None = None,
) -> dict[str, Path | str]:
    """Where the images of a run lie, URLs as text; those that are not found have no entry.

    Args:
        names: relative names of the images.
        runs: whose run.json says what their inputs were, URLs and lists among them; the first that
            knows an image counts.
        images: a folder to look in instead. There an image may also lie by its bare name.
        image_list: images to take instead, also by their bare names.

    Raises:
        DataError: there is no image at all in `images`, or in the list.
    """
    wanted = list(names)
    if images or image_list:
        return _find_below([str(images)] if images else [], image_list, wanted)
    found: dict[str, Path | str] = {}
    for run in runs:
        settings = run.run_file.get("settings", {})
        inputs = settings.get("inputs", ())
        present = [
            given for given in inputs if is_url(given) or has_magic(given) or Path(given).exists()
        ]
        with suppress(DataError):  # moved away since: the report says so of each image
            listed = read_recorded_list(settings, run.path)
            images_here = list_images(present, listed=listed).images
            found = {p.relative_name: p.path for p in images_here if _exists(p.path)} | found
    return {name: found[name] for name in wanted if name in found}


def find_stale(
    names: Mapping[ImageId, str],
    found: Mapping[str, Path | str],
    sources: Mapping[ImageId, ImageSource],
) -> set[str]:
    """The images, by name, whose files are no longer what the run read."""
    return {
        name
        for image_id, name in names.items()
        if name in found and image_id in sources and not sources[image_id].is_unchanged(found[name])
    }


def _exists(path: Path | str) -> bool:
    """Whether a file is there; of a URL nobody asks."""
    return isinstance(path, str) or path.exists()


def _find_below(
    inputs: Sequence[str], image_list: ImageList | None, names: Iterable[str]
) -> dict[str, Path | str]:
    """Images by their relative name, or by a bare name that is there once.

    Names may be written as URLs, percent-encoded or with backslashes, see `name_keys`.
    """
    listed = list_images(inputs, listed=image_list).images
    by_path = {image.relative_name: image.path for image in listed}
    bare = [name_keys(image.relative_name)[1] for image in listed]
    uses = Counter(bare)
    by_name = {
        name: image.path for name, image in zip(bare, listed, strict=True) if uses[name] == 1
    }

    def find(name: str) -> Path | str | None:
        path, last, *_ = name_keys(name)
        return by_path.get(name) or by_path.get(path) or by_name.get(last)

    return {name: path for name in names if (path := find(name))}
