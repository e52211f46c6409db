"""Images: which files are meant, what their maps are called, and their pixels."""

from __future__ import annotations

import glob
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from io import BytesIO
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from fuse.errors import DataError, ImageReadError
from fuse.io.remote import is_url, list_url, read_url
from fuse.io.run_files import is_run
from fuse.types import UInt8Array

IMAGE_ENDINGS = (
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
# Named one by one, so that a file which only calls itself .jpg cannot start Ghostscript or
# another of Pillow's rarer decoders.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM")
MAX_PIXELS = 2 * 89_478_485  # where Pillow itself refuses; 512 MiB of RGB
# Pillow warns from half of that on. Images of 100 megapixels are ordinary by now.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

_MAP_ENDINGS = (".png", ".jpg", ".npz")  # of an image's map, picture and kept prediction

_EXIF_ORIENTATION = 0x0112
_TIFF_BITS_PER_SAMPLE = 258


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image on disk or behind a URL.

    Attributes:
        path: where it lies; text where it is a URL.
        relative_name: its path inside the folder that was given, with ``/``; unique in a list.
    """

    path: Path | str
    relative_name: str


def list_images(inputs: Sequence[str], *, leave_out: Path | None = None) -> list[ImageFile]:
    """The images that folders, files and globs stand for, each once, by relative_name.

    Folders are searched to any depth for the usual endings in any case, without hidden
    files and without the output folders of runs; links are followed, each folder once. A file
    given by its own name is taken whatever its ending. A name is relative to the folder that
    was given, to the part of a glob before its first wildcard, or for a file to its own
    folder; where two images would share one, all names are relative to the folder that holds
    all images.

    Args:
        inputs: folders, files and globs; also behind URLs, see `fuse.io.remote`.
        leave_out: a folder whose files are never images, as the output folder may lie
            inside an input.

    Raises:
        DataError: an input does not exist or a folder in it cannot be read, or no image is
            found at all.
    """
    real_folder = cache(Path.resolve)
    left_out = leave_out.resolve() if leave_out else None
    images: dict[PurePath, ImageFile] = {}
    in_output = 0
    for given in inputs:
        for image in _list_input(given):
            if isinstance(image.path, str):
                images.setdefault(PurePosixPath(image.path), image)
                continue
            folder = real_folder(image.path.parent)
            if left_out is None or not folder.is_relative_to(left_out):
                images.setdefault(folder / image.path.name, image)
            else:
                in_output += 1
    if in_output and not images:
        raise DataError(
            f"all {in_output} images of {', '.join(inputs)} lie in the output folder {leave_out}, "
            "where none are looked for; give another output folder"
        )
    if not images:
        raise DataError(
            f"no images in {', '.join(inputs)}: looked for files ending in "
            f"{' '.join(IMAGE_ENDINGS)} in any case, hidden files left out"
        )
    return sorted(_name_apart(images), key=lambda image: image.relative_name)


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
    for name in relative_names:
        path = PurePath(name)
        if path.anchor or ".." in path.parts or not path.name:
            raise DataError(f"photo name {name!r} is not a path inside a folder")
    names = [PurePath(name).with_suffix(".png").as_posix() for name in relative_names]
    kept = [f"{PurePath(name).as_posix()}.png" for name in relative_names]
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
    path = PurePosixPath(png_name.casefold())
    return bool(folders) and any(str(path.with_suffix(e)) in folders for e in _MAP_ENDINGS)


def read_image(path: str | Path) -> UInt8Array:
    """Read an image: uint8 (H, W, 3), RGB, turned upright by its EXIF orientation.

    Of 16-bit channels the high byte is kept. Transparent pixels are laid over white, as
    viewers show them: what colour they hide is up to the program that saved them. Of
    animations and files with several pages the first is read. CMYK, palettes, Lab and
    YCbCr are converted; embedded colour profiles are not applied.

    Raises:
        ImageReadError: the file is missing, unreadable, not a picture, cut short, damaged,
            has more than MAX_PIXELS pixels or no fixed range of values (float, 32-bit).
    """
    try:
        with _open_image(path) as file, Image.open(file, formats=_FORMATS) as image:
            image.load()
            return _turn_upright(_to_rgb(image), _orientation(image))
    except ImageReadError:
        raise
    except UnidentifiedImageError as err:
        kinds = ", ".join(_FORMATS)
        raise ImageReadError(f"{path}: not a picture (readable are {kinds})") from err
    except Image.DecompressionBombError as err:
        raise ImageReadError(f"{path}: more than {MAX_PIXELS:,} pixels ({err})") from err
    except Exception as err:  # decoders raise almost anything on damaged files
        reason = getattr(err, "strerror", None) or " ".join(str(err).split()) or repr(err)
        raise ImageReadError(f"{path}: cannot be read ({reason})") from err


def _list_input(given: str) -> Iterator[ImageFile]:
    """The images that one folder, file or glob stands for."""
    path = Path(given)
    if not given:
        raise DataError("an empty path was given instead of a folder, file or glob")
    if is_url(given):
        for url, name in list_url(given):
            if _is_image_path(PurePosixPath(name)):
                yield ImageFile(url, name)
    elif path.is_dir():
        yield from _walk(path, path)
    elif path.exists():
        yield ImageFile(path, path.name)
    elif glob.has_magic(given):
        yield from _list_glob(given)
    else:
        raise DataError(f"{given}: there is no such file or folder")


def _list_glob(pattern: str) -> Iterator[ImageFile]:
    """The images among the files and in the folders that a glob matches."""
    parts = Path(pattern).parts
    wild = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:wild])
    matched = False
    if "**" in parts:  # glob.glob would follow link loops without an end
        for image in _walk(base, base):
            if _path_matches(PurePath(image.relative_name).parts, parts[wild:]):
                matched = True
                yield image
    else:
        for match in map(Path, glob.iglob(pattern)):  # noqa: PTH207 Path.glob takes no full path
            matched = True
            if match.is_dir():
                if not is_run(match):  # named by the pattern, not by the user
                    yield from _walk(match, base)
            elif _is_image_name(match.name):
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


def _walk(folder: Path, base: Path) -> Iterator[ImageFile]:
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
            (name for name in folders if not name.startswith(".")),
            key=lambda name: ((here / name).is_symlink(), name),
        )
        prefix = here.relative_to(base)
        for name in names:
            if _is_image_name(name):
                yield ImageFile(here / name, (prefix / name).as_posix())


def _is_image_name(name: str) -> bool:
    """True for a file name with an image's ending that is not hidden."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_ENDINGS)


def _is_image_path(path: PurePosixPath) -> bool:
    """True for a relative path of an image that is not hidden, nor in a hidden folder."""
    return _is_image_name(path.name) and not any(part.startswith(".") for part in path.parts)


def _name_apart(images: dict[PurePath, ImageFile]) -> list[ImageFile]:
    """The images by real path; if two share a name, all are named from their common folder."""
    if len({image.relative_name for image in images.values()}) == len(images):
        return list(images.values())
    try:
        base = os.path.commonpath(images)
    except ValueError as err:  # two drives of Windows
        raise DataError("images on two drives share a name; run each on its own") from err
    return [
        ImageFile(image.path, real_path.relative_to(base).as_posix())
        for real_path, image in images.items()
    ]


def _open_image(path: str | Path) -> BinaryIO:
    """The bytes of an image, from a disk or behind a URL."""
    if is_url(str(path)):
        content = read_url(str(path))
        if not content:
            raise ImageReadError(f"{path}: the file is empty")
        return BytesIO(content)
    path = Path(path)
    if not path.is_file() or path.stat().st_size == 0:
        raise ImageReadError(f"{path}: {_why_no_file(path)}")
    return path.open("rb")


def _why_no_file(path: Path) -> str:
    """Why a path is no file with content; a named pipe would block its reader."""
    if path.is_file():
        return "the file is empty"
    if path.is_dir():
        return "a folder, not an image"
    return "not a regular file" if path.exists() else "there is no such file"


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8, of a loaded image; 1 is upright.

    Pillow turns TIFFs itself while loading, and a PNG may carry its EXIF behind the pixels:
    so this must be asked after loading.
    """
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 damaged EXIF says nothing about the pixels: leave them as stored
        return 1


def _turn_upright(pixels: UInt8Array, orientation: int) -> UInt8Array:
    """Stored pixels (H, W, 3) as they are meant to be seen (EXIF 2.32, section 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _to_rgb(image: Image.Image) -> UInt8Array:
    """The pixels of a loaded image of any mode as writable uint8 (H, W, 3)."""
    sixteen_bit_grey = image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in ("PNG", "PPM")
    )
    if sixteen_bit_grey:
        values = np.asarray(image)
        grey = (values >> (_bits_per_sample(image) - 8)).astype(np.uint8)
        if "transparency" in image.info:  # one value of a PNG, of as many bits
            grey[values == image.info["transparency"]] = 255
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("32-bit or float values have no fixed range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, rgba)
    if image.mode == "LAB":
        image = _lab_to_rgb(image)
    return np.array(image.convert("RGB"))


def _bits_per_sample(image: Image.Image) -> int:
    """Bits that a grey value of more than 8 bits uses; TIFFs of 12 bits exist."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0])


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    """A CIE L*a*b* image (white point D50) as sRGB."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("Lab colours could not be converted")
    return converted
