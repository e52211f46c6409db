"""Which image files are meant, and what their maps are called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePath, PurePosixPath

from fuse.errors import DataError
from fuse.io.files import is_run
from fuse.io.image_list import ImageList
from fuse.io.images import HEIF_ENDINGS, list_endings
from fuse.io.remote import is_url, list_url

_MAP_ENDINGS = (".png", ".jpg", ".npz")  # of an image's map, picture and saved prediction
# What systems leave beside images: thumbnails of a disk station, forks of macOS, waste baskets.
_SYSTEM_NAMES = (
    *("@eadir", "__macosx", "#recycle", "$recycle.bin", "system volume information"),
    *("thumbs.db", "desktop.ini"),
)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image on disk or behind a URL.

    Attributes:
        path: where it lies; text where it is a URL.
        relative_name: its path inside the folder that was given, with ``/``; unique in a list.
    """

    path: Path | str
    relative_name: str


@dataclass(frozen=True, slots=True)
class ImageListing:
    """What inputs stand for.

    Attributes:
        images: each once, by relative_name.
        unread: how many other files lie in the folders, by their ending in lower case; hidden
            ones and those of systems are not counted.
        doubled: names in a list of images that stand for an image once more.
    """

    images: list[ImageFile]
    unread: Mapping[str, int]
    doubled: Sequence[str] = ()


def list_images(
    inputs: Sequence[str], *, listed: ImageList | None = None, leave_out: Path | None = None
) -> ImageListing:
    """The images that folders, files, globs and lists stand for, each once, by relative_name.

    Folders are searched to any depth for the usual endings in any case, without hidden
    files and without the output folders of runs; links are followed, each folder once. A file
    given by its own name is taken whatever its ending. A name is relative to the folder that
    was given, to the part of a glob before its first wildcard, or for a file to its own
    folder; where two images would share one, all names are relative to the folder that holds
    all images.

    Args:
        inputs: folders, files and globs; also behind URLs, see `fuse.io.remote`.
        listed: images by name, which are taken whether they are there or not.
        leave_out: a folder whose files are never images, as the output folder may lie
            inside an input.

    Raises:
        DataError: an input does not exist or a folder in it cannot be read, or no image is
            found at all, or none of those in the list.
    """
    left_out = leave_out.resolve() if leave_out else None
    images: dict[str, ImageFile] = {}  # by real path
    unread: Counter[str] = Counter()
    in_output = 0

    @cache
    def place(folder: str) -> str | None:
        real = Path(folder).resolve()
        return None if left_out and real.is_relative_to(left_out) else str(real)

    def key_of(image: ImageFile) -> str | None:
        """The real path; None where it lies in the output folder."""
        if isinstance(image.path, str):
            return image.path
        folder, name = os.path.split(image.path)
        real = place(folder)
        return real and os.path.join(real, name)  # noqa: PTH118 - a million of them

    for given in inputs:
        for image in _list_input(given, unread):
            if key := key_of(image):
                images.setdefault(key, image)
            else:
                in_output += 1
    doubled = []
    for image in _list_listed(listed):
        key = key_of(image)
        if key is None:
            raise DataError(f"{listed}: {image.path} lies in the output folder")
        if images.setdefault(key, image) is not image:
            doubled.append(image.relative_name)
    if in_output and not images:
        raise DataError(
            f"all {in_output} images of {', '.join(inputs)} lie in the output folder {leave_out}, "
            "where none are looked for; give another output folder"
        )
    if not images:
        raise DataError(
            f"no images in {', '.join(inputs)}: looked for files ending in "
            f"{' '.join(list_endings())} in any case, hidden files left out"
            f"{_hint_at_heif(unread)}"
        )
    in_order = sorted(_name_apart(images), key=lambda image: image.relative_name)
    return ImageListing(in_order, dict(sorted(unread.items())), doubled)


def describe_unread(unread: Mapping[str, int]) -> str:
    """Files that are not read, in words.

    >>> describe_unread({".json": 1, ".tga": 2})
    '1 .json, 2 .tga'
    """
    listed = ", ".join(
        f"{count} {ending or 'without an ending'}" for ending, count in unread.items()
    )
    return listed + _hint_at_heif(unread)


def _hint_at_heif(unread: Mapping[str, int]) -> str:
    found = sorted(unread.keys() & set(HEIF_ENDINGS))
    return f"; for {' '.join(found)}: pip install 'panoptic-fuse[heif]'" if found else ""


def png_names(relative_names: Sequence[str]) -> list[str]:
    """What the map of each image is called, in the order given: the ending becomes .png.

    Images that would share a map (``a.jpg`` beside ``a.png``), or whose map would be called as
    a folder of images is, keep their ending and get .png behind it. Names that differ in case
    alone count as the same, so a run gives the same names on every file system.

    Raises:
        DataError: a name is absolute or leads out of its folder, or folders leave an image's map
            no name.

    >>> png_names(["a.jpg", "a.png", "trip/b.JPEG"])
    ['a.jpg.png', 'a.png.png', 'trip/b.png']
    """
    names, kept = [], []
    for name in relative_names:
        path = PurePath(name)
        if path.anchor or ".." in path.parts or not path.name:
            raise DataError(f"image name {name!r} is not a path inside a folder")
        plain = path.as_posix()
        names.append(f"{plain.removesuffix(path.suffix)}.png")
        kept.append(f"{plain}.png")
    folders = _find_map_like_folders(relative_names)
    while True:
        # A kept name may meet another image's short one (a.jpg beside a.jpg.bmp).
        uses = Counter(name.casefold() for name in names)
        clashing = [
            i
            for i, name in enumerate(names)
            if uses[name.casefold()] > 1 or _is_taken(name, folders)
        ]
        changing = [i for i in clashing if names[i] != kept[i]]
        if not changing:
            break
        for i in changing:
            names[i] = kept[i]
    stuck = next((name for name in kept if _is_taken(name, folders)), None)
    if stuck is not None and stuck in names:
        raise DataError(f"the map of an image would be called {stuck}, as a folder of images is")
    return names


def _find_map_like_folders(relative_names: Sequence[str]) -> set[str]:
    """The folders of images, in lower case, that are called as the files of a run are."""
    holding = {name.casefold().rpartition("/")[0] for name in relative_names}
    paths = map(PurePosixPath, holding)
    folders = {str(folder) for path in paths for folder in (path, *path.parents)}
    return {name for name in folders if name.endswith(_MAP_ENDINGS)}


def _is_taken(png_name: str, folders: Set[str]) -> bool:
    """Whether a file that an image leads to would have the name of one of the folders."""
    if not folders:
        return False
    path = PurePosixPath(png_name.casefold())
    return any(str(path.with_suffix(e)) in folders for e in _MAP_ENDINGS)


def _list_input(given: str, unread: Counter[str]) -> Iterator[ImageFile]:
    """The images that one folder, file or glob stands for."""
    path = Path(given)
    if not given:
        raise DataError("an empty path was given instead of a folder, file or glob")
    if is_url(given):
        for url, name in list_url(given):
            if is_shown(PurePosixPath(name)) and _is_image(name, unread):
                yield ImageFile(url, name)
    elif path.is_dir():
        yield from _walk(path, path, unread)
    elif path.exists():
        yield ImageFile(path, path.name)
    elif glob.has_magic(given):
        yield from _list_glob(given, unread)
    else:
        raise DataError(f"{given}: there is no such file or folder")


def _list_listed(listed: ImageList | None) -> Iterator[ImageFile]:
    """The images of a list, as often as they stand there."""
    for path, name in listed.locate() if listed else ():
        yield ImageFile(path if is_url(path) else Path(path), name)


def _list_glob(pattern: str, unread: Counter[str]) -> Iterator[ImageFile]:
    """The images among the files and in the folders that a glob matches."""
    parts = Path(pattern).parts
    wild = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:wild])
    matched = False
    if "**" in parts:  # glob.glob would follow link loops without an end
        for image in _walk(base, base, Counter()):  # most of it is not meant
            if _path_matches(PurePath(image.relative_name).parts, parts[wild:]):
                matched = True
                yield image
    else:
        for match in map(Path, glob.iglob(pattern)):  # noqa: PTH207 Path.glob takes no full path
            matched = True
            if match.is_dir():
                if not is_run(match):  # named by the pattern, not by the user
                    yield from _walk(match, base, unread)
            elif _is_image(match.name, unread):
                yield ImageFile(match, match.relative_to(base).as_posix())
    if not matched:
        raise DataError(f"{pattern}: no file or folder matches")


def _path_matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """True where a path, or a folder it lies in, matches; ``**`` is any number of folders."""
    if not patterns:
        return True
    if patterns[0] == "**":
        return any(_path_matches(parts[i:], patterns[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch(parts[0], patterns[0]) and _path_matches(parts[1:], patterns[1:])


def _walk(folder: Path, base: Path, unread: Counter[str]) -> Iterator[ImageFile]:
    """The images in a folder and below, named relative to base; each real folder once."""

    def refuse(err: OSError) -> None:
        raise DataError(f"{err.filename}: folder cannot be read ({err.strerror})") from err

    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        here = Path(root)
        if here != folder and is_run(here):  # its PNGs and pictures are no images
            folders.clear()
            continue
        # Links last, so that a folder is known by its own name rather than by a link's.
        folders[:] = sorted(
            (name for name in folders if _is_shown_name(name)),
            key=lambda name: ((here / name).is_symlink(), name),
        )
        prefix = here.relative_to(base)
        for name in names:
            if _is_image(name, unread):
                yield ImageFile(here / name, (prefix / name).as_posix())


def _is_image(name: str, unread: Counter[str]) -> bool:
    """Whether a file is an image by its ending; others that are not hidden are counted."""
    if not _is_shown_name(name):
        return False
    if name.lower().endswith(list_endings()):
        return True
    unread[PurePosixPath(name).suffix.lower()] += 1
    return False


def _is_shown_name(name: str) -> bool:
    """Whether a file or folder is neither hidden nor a system's own."""
    return not name.startswith(".") and name.lower() not in _SYSTEM_NAMES


def is_shown(path: PurePath) -> bool:
    """Whether no part of a relative path is hidden or a system's own, as ``._a.jpg`` of macOS."""
    return all(map(_is_shown_name, path.parts))


def _name_apart(images: Mapping[str, ImageFile]) -> list[ImageFile]:
    """The images by real path; if two share a name, all are named from their common folder."""
    if len({image.relative_name for image in images.values()}) == len(images):
        return list(images.values())
    try:
        base = os.path.commonpath([PurePath(path) for path in images])
    except ValueError as err:  # two drives of Windows
        raise DataError("images on two drives share a name; run each on its own") from err
    return [
        ImageFile(image.path, PurePath(real_path).relative_to(base).as_posix())
        for real_path, image in images.items()
    ]
