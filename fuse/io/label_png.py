"""Annotation PNGs of datasets: the numbers that are stored, whatever colours they are shown in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fuse.errors import CocoFormatError
from fuse.io.png import PngHeader, read_png_header
from fuse.types import Int32Array, UInt8Array


def read_labels(path: Path) -> Int32Array:
    """Read a PNG of class or object numbers: int32 (H, W), grey values or palette indices.

    Raises:
        CocoFormatError: the file is missing or damaged, or is no grey or palette PNG of 8 bits.
    """
    header = read_png_header(path)
    # Fewer bits of grey would be stretched to 0..255.
    if header.color_type != "palette" and (header.color_type, header.bit_depth) != ("grey", 8):
        raise _other_kind(path, header, "palette indices or grey of 8 bits")
    return _read_pixels(path).astype(np.int32)


def read_any_labels(path: Path) -> Int32Array:
    """Read a label map of another tool: int32 (H, W), grey values or palette indices.

    Raises:
        CocoFormatError: the file is missing or damaged, or has no number of 8 or 16 bits per pixel.
    """
    header = read_png_header(path)
    kind = (header.color_type, header.bit_depth)
    if header.color_type != "palette" and kind not in (("grey", 8), ("grey", 16)):
        raise CocoFormatError(
            f"{path}: is {header.color_type} of {header.bit_depth} bits; a label map has one "
            "number per pixel: grey of 8 or 16 bits, or palette indices"
        )
    return _read_pixels(path).astype(np.int32)


def read_wide_labels(path: Path) -> Int32Array:
    """Read a PNG of 16-bit numbers: int32 (H, W).

    Raises:
        CocoFormatError: the file is missing or damaged, or is no grey PNG of 16 bits.
    """
    header = read_png_header(path)
    if (header.color_type, header.bit_depth) != ("grey", 16):
        raise _other_kind(path, header, "grey of 16 bits")
    return _read_pixels(path).astype(np.int32)


def read_label_colors(path: Path) -> UInt8Array:
    """Read a PNG whose colour channels are numbers: uint8 (H, W, 3).

    Raises:
        CocoFormatError: the file is missing or damaged, or is no RGB PNG of 8 bits.
    """
    header = read_png_header(path)
    if (header.color_type, header.bit_depth) != ("rgb", 8):
        raise _other_kind(path, header, "rgb of 8 bits")
    return _read_pixels(path)


def _read_pixels(path: Path) -> npt.NDArray[Any]:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image)
    except Exception as err:  # decoders raise almost anything on damaged files
        reason = getattr(err, "strerror", None) or str(err)
        raise CocoFormatError(f"{path}: cannot be read as PNG ({reason})") from err


def _other_kind(path: Path, header: PngHeader, wanted: str) -> CocoFormatError:
    return CocoFormatError(
        f"{path}: is {header.color_type} of {header.bit_depth} bits, should be {wanted}; "
        "some program has saved it anew, so take the file of the download"
    )
