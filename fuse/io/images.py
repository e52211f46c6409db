"""The pixels of an image file; `fuse.io.listing` says which files are meant."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from fuse.errors import FuseWarning, ImageReadError
from fuse.io.files import StrPath
from fuse.io.image_damage import collect_warnings, find_damage
from fuse.io.remote import is_url, read_url
from fuse.types import MAX_PIXELS, UInt8Array

# Named one by one, so that a file which only calls itself .jpg cannot start Ghostscript or
# another of Pillow's rarer decoders. The last three are not in every build.
HEIF_ENDINGS = (".heic", ".heics", ".heif", ".heifs", ".hif")
_ENDINGS = {
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg", ".jps", ".mpo", ".pjpeg"),
    "PNG": (".apng", ".png"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "AVIF": (".avif",),
    "JPEG2000": (".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx"),
    "HEIF": HEIF_ENDINGS,
}

# Of files with more than one image; phones put previews and depths behind theirs in other formats.
FRAMED = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
FIRST_READ = "animations or files of several pages are among the images; the first of each is read"
ZIP = b"PK\x03\x04"
STRIP_PIXELS = 1 << 20
# Pillow takes the memory of a large image in blocks. From blocks of its own 16 MiB the C library
# keeps much when they are free; larger ones it gives back.
Image.core.set_block_size(64 << 20)  # type: ignore[attr-defined] # documented, but not in stubs
_EXIF_ORIENTATION = 0x0112
_TIFF_BITS_PER_SAMPLE = 258


@cache
def list_formats() -> tuple[str, ...]:
    """The formats that can be read here, by Pillow's names; HEIF needs the extra ``heif``."""
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    return tuple(name for name in _ENDINGS if name in Image.OPEN)


@cache
def list_endings() -> tuple[str, ...]:
    """Endings of the files that can be read here, in lower case."""
    return tuple(sorted(ending for name in list_formats() for ending in _ENDINGS[name]))


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """An image and what is wrong with its file.

    Attributes:
        pixels: uint8 (H, W, 3), see `read_image`.
        damage: what is missing or was warned of although there is a picture; None where nothing
            is known to be.
    """

    pixels: UInt8Array
    damage: str | None = None


def read_image(path: StrPath, *, as_stored: bool = False) -> UInt8Array:
    """Read an image: uint8 (H, W, 3), RGB, turned upright by its EXIF orientation.

    Of 16-bit channels the high byte is kept. Transparent pixels are laid over white, as
    viewers show them: what colour they hide is up to the program that saved them. Of
    animations and files with several pages the first is read, which a `FuseWarning` tells.
    CMYK, palettes, Lab and YCbCr are converted; embedded colour profiles are not applied. Of an
    image that its decoder takes although data is missing there is what there is, with a warning
    that says so.

    Args:
        path: of the file, or its URL.
        as_stored: leave the pixels as the file has them, whatever its EXIF orientation; of TIFFs,
            which are turned while they are decoded, too.

    Raises:
        ImageReadError: the file is missing, unreadable, not a picture, cut short, damaged,
            has more than MAX_PIXELS pixels or no fixed range of values (float, 32-bit).
    """
    decoded = decode_image(read_content(path), path, as_stored=as_stored)
    if decoded.damage:
        warnings.warn(f"{path}: {decoded.damage}", stacklevel=2)
    return decoded.pixels


def read_image_size(path: Path, content: bytes | None = None) -> tuple[int, int]:
    """(height, width) of an image file as `read_image` would return it, without its pixels.

    Args:
        path: the file.
        content: of it, where it is in memory; the path is for messages then.

    Raises:
        ImageReadError: as `read_image`.
    """
    try:
        source = path if content is None else BytesIO(content)
        with Image.open(source, formats=list_formats()) as image:
            width, height = image.size
            turned = _orientation(image) >= 5  # on its side
    except UnidentifiedImageError as err:
        raise ImageReadError(f"{path}: not an image that can be read here") from err
    except Exception as err:  # decoders raise almost anything on damaged files
        raise ImageReadError(f"{path}: cannot be read ({_reason(err)})") from err
    return (width, height) if turned else (height, width)


def decode_image(
    content: bytes,
    path: StrPath,
    on_size: Callable[[int], None] = lambda _: None,
    *,
    as_stored: bool = False,
) -> DecodedImage:
    """`read_image` of a file's content, and what is wrong with it.

    Args:
        content: of the file.
        path: for messages.
        on_size: called with the number of pixels before there is room for them.
        as_stored: leave the pixels as the file has them, whatever its EXIF orientation.

    Raises:
        ImageReadError: the content is no image, or one that cannot be read.
    """
    with collect_warnings() as found:
        pixels, has_several = _decode(content, path, on_size, as_stored=as_stored)
    if has_several:  # in words that are the same for all, so that it is told once
        warnings.warn(FuseWarning(FIRST_READ), stacklevel=2)
    found += filter(None, [find_damage(content)])
    return DecodedImage(pixels, "; ".join(dict.fromkeys(found)) or None)


def _decode(
    content: bytes, path: StrPath, on_size: Callable[[int], None], *, as_stored: bool
) -> tuple[UInt8Array, bool]:
    """The pixels, and whether the file has others behind them."""
    try:
        # Closed, as Pillow may keep an image's pixels until Python looks for cycles.
        with closing(Image.open(BytesIO(content), formats=list_formats())) as image:
            on_size(image.width * image.height)
            several = image.format in FRAMED and bool(getattr(image, "is_animated", False))
            return stored_rgb(image) if as_stored else upright_rgb(image), several
    except ImageReadError:
        raise
    except UnidentifiedImageError as err:
        kinds = ", ".join(list_formats())
        packed = ", but a zip archive: unpack it" if content.startswith(ZIP) else ""
        raise ImageReadError(f"{path}: not a picture{packed} (readable are {kinds})") from err
    except Image.DecompressionBombError as err:
        raise ImageReadError(f"{path}: more than {MAX_PIXELS:,} pixels ({err})") from err
    except Exception as err:  # decoders raise almost anything on damaged files
        raise ImageReadError(f"{path}: cannot be read ({_reason(err)})") from err


def upright_rgb(image: Image.Image) -> UInt8Array:
    """The pixels of Pillow's image as `read_image` gives them; raises what its decoder raises."""
    image.load()
    return _turn_upright(_to_rgb(image), _orientation(image))


def stored_rgb(image: Image.Image) -> UInt8Array:
    """The same, not turned."""
    stored = _orientation(image) if image.format == "TIFF" else 1  # which loading turns
    image.load()
    return _turn_back(_to_rgb(image), stored)


def read_content(path: StrPath) -> bytes:
    """The bytes of an image file, on a disk or behind a URL.

    Raises:
        ImageReadError: it is missing, unreadable, empty or no regular file.
    """
    try:
        if is_url(str(path)):
            content = read_url(str(path))
        elif Path(path).is_file():
            content = Path(path).read_bytes()
        else:
            raise ImageReadError(f"{path}: {_why_no_file(Path(path))}")
    except ImageReadError:
        raise
    except Exception as err:  # file systems behind URLs raise their own
        raise ImageReadError(f"{path}: cannot be read ({_reason(err)})") from err
    if not content:
        raise ImageReadError(f"{path}: the file is empty")
    return content


def _reason(err: Exception) -> str:
    return getattr(err, "strerror", None) or " ".join(str(err).split()) or repr(err)


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


def _turn_back(pixels: UInt8Array, orientation: int) -> UInt8Array:
    """Upright pixels (H, W, 3) as they were stored: `_turn_upright` the other way round."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)  # all others are their own inverse
    return _turn_upright(pixels, inverse)


def _to_rgb(image: Image.Image) -> UInt8Array:
    """The pixels of a loaded image of any mode as writable uint8 (H, W, 3).

    Strip by strip, as the steps between take several times the room of the pixels.
    """
    is_grey16 = image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in ("PNG", "PPM")
    )
    bits = _bits_per_sample(image) if is_grey16 else None
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    rows = max(STRIP_PIXELS // image.width, 1)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        pixels[top : top + rows] = _strip_to_rgb(strip, bits)
    return pixels


def _strip_to_rgb(image: Image.Image, grey_bits: int | None) -> UInt8Array:
    """`_to_rgb` of a strip; grey_bits are those of a value of more than 8 bits."""
    if grey_bits is not None:
        values = np.asarray(image)
        grey = (values >> (grey_bits - 8)).astype(np.uint8)
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
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


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
