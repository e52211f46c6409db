"""Panoptic maps as PNG: segment_id = R + 256 G + 65536 B, COCO's coding.

PNG is little more than rows, each filtered by its neighbours, in one zlib stream. Here
zlib-ng does the stream and a kernel goes between rows and ids in one pass, without an RGB
picture in between; Pillow reads the kinds of PNG that panoptic maps should not have.

What reads raises CocoFormatError, with the path, for a file that is missing, no PNG, damaged, cut
short or of a kind that has no such numbers.
"""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from zlib_ng import zlib_ng

from fuse.errors import CocoFormatError, describe_size
from fuse.io.files import read_regular, refuse_special, write_whole
from fuse.ops.png_filters import NO_BAD_ROW, filter_rows, unfilter_rows
from fuse.ops.row_deltas import RowDeltas
from fuse.types import MAX_PIXELS, MAX_SEGMENT_ID, Int32Array, UInt8Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_BYTES = 33  # the signature and the IHDR chunk
COLOR_TYPES = {0: "grey", 2: "rgb", 3: "palette", 4: "grey-alpha", 6: "rgba"}
# The first level of zlib-ng that finds a map's runs: less than half the bytes of level 1 in
# the same time. Level 4 saves 6 % more and takes a third longer.
COMPRESSION_LEVEL = 2
MAX_INFLATION = 1032  # bytes that one byte of a zlib stream can become
SAFE_BYTES = 2**28


@dataclass(frozen=True, slots=True)
class PngHeader:
    """The IHDR chunk of a PNG.

    Attributes:
        size: (height, width).
        bit_depth: bits per channel, or per index of a palette.
        color_type: a value of COLOR_TYPES.
        is_interlaced: whether the rows come in several passes.
    """

    size: tuple[int, int]
    bit_depth: int
    color_type: str
    is_interlaced: bool


def write_id_map(path: str | Path, panoptic_map: Int32Array) -> str:
    """Write what `encode_id_map` makes by `write_whole`; returns SHA-256 of the file in hex."""
    return write_whole(Path(path), encode_id_map(panoptic_map))


def encode_id_map(panoptic_map: Int32Array) -> bytes:
    """The bytes of a panoptic map's 8-bit RGB PNG; the same map gives the same bytes.

    Raises:
        ValueError: an id does not fit three bytes, or the map has no pixels.
        TypeError: the map is not int32.
    """
    if panoptic_map.dtype != np.int32:
        raise TypeError(f"a panoptic map must be int32, got {panoptic_map.dtype}")
    if panoptic_map.ndim != 2 or panoptic_map.size == 0:
        raise ValueError(f"a panoptic map must be (H, W) with pixels, got {panoptic_map.shape}")
    rows, all_bits = filter_rows(np.ascontiguousarray(panoptic_map))
    if not 0 <= all_bits <= MAX_SEGMENT_ID:
        raise ValueError(f"segment ids must lie in 0..{MAX_SEGMENT_ID}")
    height, width = panoptic_map.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib_ng.compress(rows, COMPRESSION_LEVEL)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
    return SIGNATURE + b"".join(chunks)


def encode_labels(label_map: Int32Array) -> bytes:
    """The bytes of a grey PNG of these numbers, of 8 bits, or 16 where one is above 255.

    Raises:
        ValueError: a number does not fit 16 bits, or the map has no pixels.
    """
    if label_map.ndim != 2 or label_map.size == 0:
        raise ValueError(f"a label map must be (H, W) with pixels, got {label_map.shape}")
    low, high = int(label_map.min()), int(label_map.max())
    if not 0 <= low <= high < 2**16:
        raise ValueError(f"labels must lie in 0..{2**16 - 1}")
    bits = 8 if high < 2**8 else 16
    height, width = label_map.shape
    rows = np.zeros((height, 1 + width * bits // 8), dtype=np.uint8)  # filter 0 in front
    rows[:, 1:] = label_map.astype(">u1" if bits == 8 else ">u2").view(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    pixels = zlib_ng.compress(rows.tobytes(), COMPRESSION_LEVEL)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
    return SIGNATURE + b"".join(chunks)


def read_id_map(path: str | Path) -> Int32Array:
    """Read the panoptic map of a PNG: int32 (H, W), a segment_id per pixel, 0 = void."""
    return read_row_deltas(Path(path))[0].to_map()


def read_row_deltas(path: Path) -> tuple[RowDeltas, PngHeader]:
    """Read a panoptic map as row deltas, and the kind of its PNG.

    RGB of 8 bits is what the format asks for. RGBA is read without its alpha, a palette through
    its colours, and grey, with alpha or not, as the segment_id.
    """
    try:
        encoded = read_regular(path)
    except OSError as err:
        raise CocoFormatError(f"{path}: cannot be read ({err.strerror})") from err
    try:
        header, pixels = parse_chunks(encoded)
        if header.color_type == "rgb" and header.bit_depth == 8 and not header.is_interlaced:
            deltas = _decode_rgb(header, pixels)
        else:
            deltas = RowDeltas.from_map(_decode_other(header, encoded))
    except (ValueError, struct.error, zlib_ng.error) as err:  # type: ignore[misc] # wrong stub
        raise CocoFormatError(f"{path}: not a panoptic PNG ({err})") from err
    return deltas, header


def read_png_header(path: Path) -> PngHeader:
    """Read the size and the kind of a PNG, not its pixels."""
    try:
        refuse_special(path)
        with path.open("rb") as file:
            return _parse_header(file.read(HEADER_BYTES))
    except OSError as err:
        raise CocoFormatError(f"{path}: cannot be read ({err.strerror})") from err
    except (ValueError, struct.error) as err:
        raise CocoFormatError(f"{path}: not a PNG ({err})") from err


def are_swapped(unlisted: Int32Array, found: Int32Array, listed: Int32Array) -> bool:
    """Whether the ids of a PNG are those of its JSON with red and blue swapped.

    Args:
        unlisted: int32, ids that only the PNG has, void aside.
        found: int32, ids that both have.
        listed: int32, ids of the JSON.

    >>> ids = np.array([5, 700], dtype=np.int32)
    >>> are_swapped(swap_channels(ids), ids[:0], ids), are_swapped(ids + 1, ids[:0], ids)
    (True, False)
    """
    return (
        len(unlisted) > 0
        and bool(np.isin(swap_channels(unlisted), listed).all())
        and bool((swap_channels(found) == found).all())
    )


def check_channels(path: Path, panoptic_map: Int32Array, listed: Int32Array) -> None:
    """Raise CocoFormatError for a PNG whose red and blue are swapped, see `are_swapped`."""
    ids = np.setdiff1d(panoptic_map, np.zeros(1, np.int32))
    is_listed = np.isin(ids, listed)
    if are_swapped(ids[~is_listed], ids[is_listed], listed):
        raise CocoFormatError(
            f"{path}: red and blue are swapped; write it as RGB: OpenCV's imwrite takes BGR"
        )


def swap_channels(ids: Int32Array) -> Int32Array:
    """The ids of pixels whose red and blue are swapped, as OpenCV writes what is RGB."""
    return (ids & 0xFF) << 16 | ids & 0xFF00 | ids >> 16


def read_labels(path: Path, bits: tuple[int, ...] = (8,)) -> Int32Array:
    """Read a PNG of class or object numbers: int32 (H, W), grey values or palette indices.

    Args:
        path: the PNG.
        bits: how many a grey value may have; palette indices count as 8, however packed.
    """
    header = read_png_header(path)
    # Fewer bits of grey would be stretched to 0..255.
    found = 8 if header.color_type == "palette" else header.bit_depth
    if header.color_type not in ("palette", "grey") or found not in bits:
        palette = "palette indices or " if 8 in bits else ""
        raise _other_kind(path, header, f"{palette}grey of {' or '.join(map(str, bits))} bits")
    return _read_pixels(path).astype(np.int32)


def decode_grey(encoded: bytes) -> Int32Array:
    """The grey values of a PNG in memory, of whatever bits: int32 (H, W).

    Raises:
        ValueError: it is no PNG, damaged, or has colours.
    """
    header = _parse_header(encoded)
    if header.color_type not in ("grey", "palette", "grey-alpha"):
        raise ValueError(f"is {header.color_type}, should be grey")
    return _decode_other(header, encoded)


def decode_alpha(encoded: bytes) -> Int32Array:
    """How opaque the pixels of a PNG in memory are: int32 (H, W), 0..255.

    Raises:
        ValueError: it is no PNG, damaged, or of pixels that cannot be transparent.
    """
    _parse_header(encoded)
    image = _open_png(encoded)
    if not image.has_transparency_data:
        raise ValueError("no pixel of the PNG can be transparent")
    return np.asarray(image.convert("RGBA"))[..., 3].astype(np.int32)


def read_label_colors(path: Path) -> UInt8Array:
    """Read a PNG whose colour channels are numbers: uint8 (H, W, 3)."""
    header = read_png_header(path)
    if (header.color_type, header.bit_depth) != ("rgb", 8):
        raise _other_kind(path, header, "rgb of 8 bits")
    return _read_pixels(path)


def read_four_channels(path: Path) -> UInt8Array:
    """Read a PNG whose colour and alpha channels are numbers: uint8 (H, W, 4)."""
    header = read_png_header(path)
    if (header.color_type, header.bit_depth) != ("rgba", 8):
        raise _other_kind(path, header, "rgba of 8 bits")
    return _read_pixels(path)


def _chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG: length, kind, content, checksum."""
    checksum = zlib_ng.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _parse_header(encoded: bytes) -> PngHeader:
    """The header of a PNG of which at least the first HEADER_BYTES are there."""
    if not encoded.startswith(SIGNATURE + b"\0\0\0\x0dIHDR"):
        raise ValueError("the file does not start as a PNG" if encoded else "the file is empty")
    width, height, bit_depth, color_type, _, _, interlace = struct.unpack_from(
        ">IIBBBBB", encoded, 16
    )
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(
            f"{describe_size((height, width))}; 1 to {MAX_PIXELS:,} pixels can be read"
        )
    if color_type not in COLOR_TYPES:
        raise ValueError(f"there is no colour type {color_type}")
    return PngHeader((height, width), bit_depth, COLOR_TYPES[color_type], interlace != 0)


def parse_chunks(encoded: bytes) -> tuple[PngHeader, bytes]:
    """The header of a PNG and its compressed pixels."""
    header = _parse_header(encoded)
    pixels, position = [], HEADER_BYTES
    while position < len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, position)
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            pixels.append(encoded[position + 8 : position + 8 + length])
        position += 12 + length
    return header, b"".join(pixels)


def _decode_rgb(header: PngHeader, pixels: bytes) -> RowDeltas:
    """The ids of an 8-bit RGB PNG. The stream's own checksum shows damage."""
    height, width = header.size
    row_bytes = 1 + 3 * width
    rows = _inflate(pixels, height * row_bytes + 1)  # one byte too many is enough to tell
    if len(rows) != height * row_bytes:
        raise ValueError("cut short, or of another size than it says")
    filtered = np.frombuffer(rows, dtype=np.uint8).reshape(height, row_bytes)
    deltas, bad_row = unfilter_rows(filtered)
    if bad_row != NO_BAD_ROW:
        raise ValueError(f"row {bad_row} has a filter that does not exist")
    return deltas


def _inflate(pixels: bytes, limit: int) -> bytes:
    """A whole zlib stream.

    Raises:
        ValueError: the stream has more bytes than the limit, or is cut short.
        zlib_ng.error: the stream is damaged.
    """
    if len(pixels) * MAX_INFLATION <= SAFE_BYTES:
        # The other way says what is wrong. The stub takes the error for a value.
        with suppress(zlib_ng.error):  # type: ignore[arg-type]
            inflated: bytes = zlib_ng.decompress(pixels, bufsize=limit)
            return inflated
    # No stream can fill the memory this way, but it takes half as long again.
    inflater = zlib_ng.decompressobj()
    inflated = inflater.decompress(pixels, limit)
    if not inflater.eof:
        raise ValueError("cut short, or of another size than it says")
    return inflated


def _decode_other(header: PngHeader, encoded: bytes) -> Int32Array:
    """The ids of a PNG of another kind than a panoptic map should have."""
    if header.bit_depth == 16 and header.color_type != "grey":
        raise ValueError(f"{header.color_type} of 16 bits; segment ids need RGB of 8 bits")
    image = _open_png(encoded)
    if header.color_type == "grey":
        # Pillow stretches grey of 2 and 4 bits to 0..255; ids are the stored values.
        stretch = {2: 85, 4: 17}.get(header.bit_depth, 1)
        return np.asarray(image).astype(np.int32) // stretch
    if header.color_type == "grey-alpha":
        return np.asarray(image)[..., 0].astype(np.int32)
    rgba = np.asarray(image.convert("RGBA"))
    return rgba.view("<i4")[..., 0].astype(np.int32, copy=False) & MAX_SEGMENT_ID


def _open_png(encoded: bytes) -> Image.Image:
    """A PNG in memory, decoded; ValueError where that cannot be."""
    try:
        with Image.open(io.BytesIO(encoded), formats=("PNG",)) as image:
            image.load()
    except Exception as err:  # decoders raise almost anything on damaged files
        raise ValueError(str(err)) from err
    return image


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
