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


def read_labels(path: Path, bits: tuple[int, ...] = (8,)) -> Int32Array:
    """Read a PNG of class or object numbers: int32 (H, W), grey values or palette indices.

    Args:
        path: the PNG.
        bits: how many a grey value may have; palette indices count as 8, however packed.

    Raises:
        CocoFormatError: the file is missing, damaged or of another kind.
    """
    header = read_png_header(path)
    # Fewer bits of grey would be stretched to 0..255.
    found = 8 if header.color_type == "palette" else header.bit_depth
    if header.color_type not in ("palette", "grey") or found not in bits:
        palette = "palette indices or " if 8 in bits else ""
        raise _other_kind(path, header, f"{palette}grey of {' or '.join(map(str, bits))} bits")
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
        "a program may have saved it anew, so take the file as it was made"
    )
