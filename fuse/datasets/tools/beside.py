"""The images that belong to label files: found by their names, and those without labels counted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePath

from fuse.errors import DataError
from fuse.findings import Note
from fuse.io.images import list_endings
from fuse.io.listing import is_shown


class ImageFolders:
    """The folders in which the images of label files lie, each listed once."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def list_images(self, folder: Path) -> dict[str, list[Path]]:
        """The images in a folder by their names without ending; none where it is not there."""
        if folder not in self._listed:
            by_stem: dict[str, list[Path]] = {}
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                is_image = path.name.lower().endswith(list_endings())
                if is_image and is_shown(PurePath(path.name)) and path.is_file():
                    by_stem.setdefault(path.stem, []).append(path)
            self._listed[folder] = by_stem
        return self._listed[folder]

    def find_named(self, path: Path) -> Path:
        """The image of that name; else one whose ending is in other case, as ``a.JPG``.

        The path itself where there is neither.
        """
        if path.is_file():
            return path
        found = self.list_images(path.parent).get(path.stem, [])
        return next((one for one in found if one.name.lower() == path.name.lower()), path)

    def find_by_stem(self, place: Path) -> Path | None:
        """The image that is called so but for its ending; None where there is none.

        Raises:
            DataError: there are two.
        """
        found = self.list_images(place.parent).get(place.name, [])
        if len(found) > 1:
            raise DataError(
                f"{found[0]} and {found[1]} would both be the image of one label file; remove "
                "one, or rename it"
            )
        return found[0] if found else None

    def note_unlabelled(self, labelled: Iterable[Path]) -> list[Note]:
        """A note where images lie beside labelled ones and have no labels.

        Args:
            labelled: the images that have a label file; they need not be there.
        """
        known = {Path(os.path.abspath(path)) for path in labelled}  # noqa: PTH100 - follows no link
        others = [
            path
            for folder in sorted({path.parent for path in known})
            for listed in self.list_images(folder).values()
            for path in listed
            if path not in known
        ]
        return [Note("image-unlabelled", str(others[0]), len(others))] if others else []
