"""Annotation PNGs: the stored numbers, and one error line for every other kind."""

from functools import partial

import numpy as np
import pytest
from dataset_folders import write_png
from PIL import Image

from fuse.errors import CocoFormatError
from fuse.io.png import read_label_colors, read_labels, read_png_header

read_wide_labels = partial(read_labels, bits=(16,))
read_any_labels = partial(read_labels, bits=(8, 16))

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (5, 7)).astype(np.uint8)
WIDE = RNG.integers(0, 2**16, (5, 7)).astype(np.uint16)
COLORS = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "palette", "read"),
    [
        (BYTES, False, read_labels),
        (BYTES, True, read_labels),
        (BYTES % 16, True, read_labels),  # Pillow packs two indices into a byte
        (WIDE, False, read_wide_labels),
        (WIDE, False, read_any_labels),
        (BYTES, True, read_any_labels),
        (COLORS, False, read_label_colors),
    ],
)
def test_stored_numbers_come_back(pixels, palette, read, tmp_path):
    write_png(tmp_path / "a.png", pixels, palette)
    found = read(tmp_path / "a.png")
    assert (found == pixels).all()
    assert found.dtype == (np.uint8 if pixels.ndim == 3 else np.int32)


def test_few_palette_bits(tmp_path):
    image = Image.fromarray(BYTES % 4)
    image.putpalette([value for i in range(4) for value in (i * 60, 0, 0)])
    image.save(tmp_path / "a.png", bits=2)
    assert read_png_header(tmp_path / "a.png").bit_depth == 2
    assert (read_labels(tmp_path / "a.png") == BYTES % 4).all()


@pytest.mark.parametrize(
    ("pixels", "read", "message"),
    [
        (WIDE, read_labels, "is grey of 16 bits, should be palette indices or grey of 8 bits"),
        (COLORS, read_labels, "is rgb of 8 bits, should be palette"),
        (BYTES, read_wide_labels, "is grey of 8 bits, should be grey of 16 bits"),
        (BYTES, read_label_colors, "is grey of 8 bits, should be rgb of 8 bits"),
        (BYTES > 9, read_labels, "is grey of 1 bits, should be palette"),
        (COLORS, read_any_labels, "should be palette indices or grey of 8 or 16 bits"),
    ],
)
def test_other_kinds_are_refused(pixels, read, message, tmp_path):
    write_png(tmp_path / "a.png", pixels)
    with pytest.raises(CocoFormatError, match=message) as raised:
        read(tmp_path / "a.png")
    assert str(raised.value).startswith(str(tmp_path / "a.png"))


@pytest.mark.parametrize("read", [read_labels, read_wide_labels, read_label_colors])
def test_files_that_cannot_be_read(read, tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(CocoFormatError, match=r"a\.png: cannot be read \(No such file"):
        read(path)
    for content, message in ((b"", "the file is empty"), (b"GIF89a", "the file does not")):
        path.write_bytes(content)
        with pytest.raises(CocoFormatError, match=rf"a\.png: not a PNG \({message}"):
            read(path)


def test_a_file_that_is_cut_short(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, RNG.integers(0, 256, (99, 99)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CocoFormatError, match=r"a\.png: cannot be read as PNG"):
        read_labels(path)


def test_the_header_alone(tmp_path):
    write_png(tmp_path / "a.png", WIDE)
    header = read_png_header(tmp_path / "a.png")
    assert (header.size, header.bit_depth, header.color_type) == ((5, 7), 16, "grey")
