"""Images that decoders take although part of them is missing."""

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from fuse.io.image_damage import collect_warnings, count_row_bytes, find_damage
from fuse.io.images import decode_image, read_image
from fuse.io.png import PngHeader

END_OF_JPEG = b"\xff\xd9"


def encode(kind, mode="RGB", size=(97, 61), **options):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 4), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise, "RGBA").convert(mode).save(file, kind, **options)
    return file.getvalue()


def zero_middle(content, count=4096):
    middle = len(content) // 2
    return content[:middle] + bytes(count) + content[middle + count :]


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("L", {}),
        ("CMYK", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"subsampling": 0, "quality": 100}),
        ("RGB", {"restart_marker_blocks": 4}),
    ],
)
def test_half_a_jpeg_is_told_from_a_whole_one(mode, options):
    whole = encode("JPEG", mode, size=(256, 200), **options)
    assert find_damage(whole) is None
    assert find_damage(whole + b"what cameras add") is None
    closed = whole[: len(whole) // 2] + END_OF_JPEG
    assert "Corrupt JPEG data" in find_damage(closed)
    assert "Corrupt JPEG data" in find_damage(zero_middle(whole))
    decoded = decode_image(closed, "a.jpg")  # Pillow's own decoder says nothing
    assert decoded.damage
    assert decoded.pixels.shape == (256, 200, 3)


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def split_png(content):
    """A PNG's chunks before its pixels, and the bytes of its rows."""
    place, before, rows = 8, [], b""
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        body = content[place + 8 : place + 8 + length]
        if kind == b"IDAT":
            rows += body
        elif kind != b"IEND" and not rows:
            before.append(chunk(kind, body))
        place += 12 + length
    return content[:8] + b"".join(before), zlib.decompress(rows)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_without_half_its_rows_is_told_from_a_whole_one(mode):
    whole = encode("PNG", mode) if mode != "I;16" else encode_16_bits()
    assert find_damage(whole) is None
    head, rows = split_png(whole)
    for kept in (0, len(rows) // 2, len(rows) - 1):
        half = head + chunk(b"IDAT", zlib.compress(rows[:kept])) + chunk(b"IEND", b"")
        assert find_damage(half) == f"{len(rows) - kept:,} bytes of its pixels are missing"


def encode_16_bits():
    file = io.BytesIO()
    Image.fromarray(np.arange(97 * 61, dtype=np.uint16).reshape(97, 61)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (8, 8), (9, 17)])
@pytest.mark.parametrize(("kind", "channels"), [("grey", 1), ("rgb", 3)])
@pytest.mark.parametrize("bits", [1, 8])
def test_rows_of_an_interlaced_png_are_counted(size, kind, channels, bits):
    """Against a picture of the order in which the pixels come (PNG 1.2, section 2.6)."""
    order = np.array(
        [
            *([1, 6, 4, 6, 2, 6, 4, 6], [7] * 8, [5, 6, 5, 6, 5, 6, 5, 6], [7] * 8),
            *([3, 6, 4, 6, 3, 6, 4, 6], [7] * 8, [5, 6, 5, 6, 5, 6, 5, 6], [7] * 8),
        ]
    )
    height, width = size
    passes = np.tile(order, (height // 8 + 1, width // 8 + 1))[:height, :width]
    expected = 0
    for number in range(1, 8):
        for row in passes:
            if pixels := int((row == number).sum()):
                expected += 1 + -(-pixels * channels * bits // 8)
    assert count_row_bytes(PngHeader(size, bits, kind, True)) == expected


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000"])
def test_a_stretch_of_zeros_is_damage_where_pixels_are_packed(kind):
    whole = encode(kind, size=(300, 300), quality=100) if kind != "JPEG2000" else encode(kind)
    assert find_damage(whole) is None
    assert "zeros" in find_damage(zero_middle(whole))


def test_black_pixels_are_no_damage():
    for kind in ("BMP", "PPM", "TIFF", "PNG", "JPEG"):
        file = io.BytesIO()
        Image.new("RGB", (400, 300)).save(file, kind)
        assert find_damage(file.getvalue()) is None


def test_what_is_missing_is_a_warning_of_read_image(tmp_path):
    whole = encode("JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[: len(whole) // 2] + END_OF_JPEG)
    with pytest.warns(UserWarning, match=r"a\.jpg: Corrupt JPEG data"):
        read_image(path)


def test_what_pillow_warns_of_is_damage_on_its_own_thread_only():
    """Cut EXIF of one image must not be told of another that is read at the same time."""
    bad = encode("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    good = encode("JPEG")
    found = {}

    def read(name, content):
        found[name] = [decode_image(content, name).damage for _ in range(20)]

    threads = [threading.Thread(target=read, args=pair) for pair in (("bad", bad), ("good", good))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["good"] == [None] * 20
    assert all("EXIF" in damage for damage in found["bad"])


def test_warnings_are_as_they_were_afterwards():
    before = (warnings.showwarning, warnings.filters[:])
    with collect_warnings() as found:
        assert warnings.showwarning != before[0]
    assert (warnings.showwarning, warnings.filters[:]) == before
    assert found == []
