"""Panoptic maps as PNG, against Pillow, OpenCV and a byte-by-byte encoder with all filters."""

import io
import itertools
import os
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import blocky_map
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from real_data import COCO_ANNOTATIONS, needs_real_data
from reference.png_rows import FILTERS, filter_row, ids_to_rgb

from fuse.errors import CocoFormatError
from fuse.io.png import (
    encode_id_map,
    read_id_map,
    read_png_header,
    read_row_deltas,
    write_id_map,
)
from fuse.types import MAX_SEGMENT_ID

ids = st.sampled_from([0, 1, 2, 255, 256, 65535, 65536, 2**23, MAX_SEGMENT_ID])
panoptic_maps = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=ids | st.integers(0, MAX_SEGMENT_ID),
)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png_of_rows(
    rows: bytes,
    width: int,
    height: int,
    *,
    color_type: int = 2,
    bit_depth: int = 8,
    pieces: int = 1,
) -> bytes:
    """A PNG of filtered rows, its pixels cut into several chunks."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    pixels = zlib.compress(rows)
    cuts = [len(pixels) * piece // pieces for piece in range(pieces + 1)]
    chunks = [chunk(b"IDAT", pixels[a:b]) for a, b in itertools.pairwise(cuts)]
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tEXt", b"Comment\0maps may carry text")
        + b"".join(chunks)
        + chunk(b"IEND", b"")
    )


def read_bytes(folder: Path, encoded: bytes) -> np.ndarray:
    (folder / "map.png").write_bytes(encoded)
    return read_id_map(folder / "map.png")


def ids_of(rgb: np.ndarray) -> np.ndarray:
    """The definition: R + 256 G + 65536 B."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), 2, 0)
    return red + 256 * green + 65536 * blue


# -- writing -------------------------------------------------------------------------------


@given(panoptic_maps)
def test_other_readers_see_the_same_ids(panoptic_map):
    encoded = encode_id_map(panoptic_map)
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        image.verify()  # each chunk's checksum
    pillow = np.array(Image.open(io.BytesIO(encoded)))
    opencv = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.array_equal(ids_of(pillow), panoptic_map)
    assert np.array_equal(ids_of(opencv), panoptic_map)


@given(panoptic_maps)
def test_written_map_reads_back(tmp_path_factory, panoptic_map):
    path = tmp_path_factory.getbasetemp() / "round_trip.png"
    write_id_map(path, panoptic_map)
    deltas, png = read_row_deltas(path)
    assert deltas.to_map().dtype == np.int32
    assert np.array_equal(deltas.to_map(), panoptic_map)
    assert (png.color_type, png.bit_depth) == ("rgb", 8)


def test_same_map_same_bytes_and_it_stays_untouched():
    panoptic_map = blocky_map(np.random.default_rng(0), (48, 64), [0, 7, 70_000])
    panoptic_map.flags.writeable = False
    strided = np.asfortranarray(panoptic_map)
    assert encode_id_map(panoptic_map) == encode_id_map(panoptic_map) == encode_id_map(strided)


def test_files_stay_small():
    """Not more than 1.4 times what Pillow writes (issue 3's bar), on blobs with slanted edges."""
    y, x = np.mgrid[:480, :640]
    rng = np.random.default_rng(0)
    centers = rng.random((40, 2)) * (480, 640)
    distance = np.hypot(*(np.stack([y, x])[:, None] - centers.T[..., None, None]))
    panoptic_map = distance.argmin(axis=0).astype(np.int32)
    file = io.BytesIO()
    Image.fromarray(ids_to_rgb(panoptic_map)).save(file, "PNG")
    assert len(encode_id_map(panoptic_map)) <= 1.4 * len(file.getvalue())


@pytest.mark.parametrize("bad_id", [-1, MAX_SEGMENT_ID + 1, 2**31 - 1, -(2**31)])
def test_ids_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, bad_id):
    panoptic_map = np.zeros((4, 5), dtype=np.int32)
    panoptic_map[2, 3] = bad_id
    with pytest.raises(ValueError, match=r"segment ids must lie in 0\.\.16777215"):
        write_id_map(tmp_path / "map.png", panoptic_map)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (2, 3, 3), (6,)])
def test_maps_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(H, W\) with pixels"):
        encode_id_map(np.zeros(shape, dtype=np.int32))


def test_other_integers_are_refused():
    with pytest.raises(TypeError, match="must be int32, got int64"):
        encode_id_map(np.zeros((2, 2), dtype=np.int64))


def test_cut_off_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "map.png"
    write_id_map(path, np.ones((2, 2), dtype=np.int32))
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_id_map(path, np.zeros((9, 9), dtype=np.int32))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_threads_write_and_read_on_their_own(tmp_path):
    maps = [blocky_map(np.random.default_rng(i), (60, 80), [0, i, 256 * i]) for i in range(8)]
    read_back: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        write_id_map(tmp_path / f"{index}.png", maps[index])
        read_back[index] = read_id_map(tmp_path / f"{index}.png")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(read_back[index], maps[index]) for index in range(8))


# -- reading RGB ---------------------------------------------------------------------------


@given(panoptic_maps, st.data())
def test_rows_of_any_filter_are_read(tmp_path_factory, panoptic_map, data):
    height, width = panoptic_map.shape
    kinds = data.draw(st.lists(st.sampled_from(FILTERS), min_size=height, max_size=height))
    pixel_rows = ids_to_rgb(panoptic_map).reshape(height, -1).astype(int).tolist()
    rows = b"".join(
        filter_row(kind, row, above, bytes_per_pixel=3)
        for kind, row, above in zip(
            kinds, pixel_rows, [[0] * 3 * width, *pixel_rows[:-1]], strict=True
        )
    )
    encoded = png_of_rows(rows, width, height, pieces=data.draw(st.integers(1, 4)))
    assert np.array_equal(ids_of(np.array(Image.open(io.BytesIO(encoded)))), panoptic_map)
    assert np.array_equal(read_bytes(tmp_path_factory.getbasetemp(), encoded), panoptic_map)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_maps_written_by_opencv_and_pillow_are_read(tmp_path, level):
    panoptic_map = blocky_map(np.random.default_rng(1), (50, 70), [0, 5, 300, 99_999])
    rgb = ids_to_rgb(panoptic_map)
    cv2.imwrite(str(tmp_path / "a.png"), rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, level])
    Image.fromarray(rgb).save(tmp_path / "b.png", compress_level=level)
    assert np.array_equal(read_id_map(tmp_path / "a.png"), panoptic_map)
    assert np.array_equal(read_id_map(tmp_path / "b.png"), panoptic_map)


@pytest.mark.slow
@needs_real_data
def test_real_truth_maps_read_like_opencv():
    paths = sorted(COCO_ANNOTATIONS.glob("*/*.png"))
    assert paths
    for path in paths:
        assert np.array_equal(read_id_map(path), ids_of(cv2.imread(str(path))[..., ::-1]))


# -- reading what a panoptic map should not be ---------------------------------------------


def read_back_as(path: Path, array: np.ndarray, mode: str | None = None, **options: object):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return read_row_deltas(path)


SMALL_IDS = np.arange(60, dtype=np.int32).reshape(6, 10) * 4


def test_alpha_is_dropped(tmp_path):
    rgba = np.dstack([ids_to_rgb(1000 * SMALL_IDS), np.full((6, 10), 77, np.uint8)])
    deltas, png = read_back_as(tmp_path / "a.png", rgba)
    assert png.color_type == "rgba"
    assert np.array_equal(deltas.to_map(), 1000 * SMALL_IDS)


def test_transparent_colour_of_rgb_is_an_id_like_any(tmp_path):
    deltas, png = read_back_as(tmp_path / "a.png", ids_to_rgb(SMALL_IDS), transparency=(4, 0, 0))
    assert png.color_type == "rgb"
    assert np.array_equal(deltas.to_map(), SMALL_IDS)


@pytest.mark.parametrize("colors", [2, 4, 16, 60])
def test_palette_is_read_through_its_colours(tmp_path, colors):
    panoptic_map = np.arange(60, dtype=np.int32).reshape(6, 10) % colors * 4001
    palette_image = Image.fromarray(ids_to_rgb(panoptic_map)).quantize(colors)
    palette_image.save(tmp_path / "a.png")
    deltas, png = read_row_deltas(tmp_path / "a.png")
    assert png.color_type == "palette"
    assert png.bit_depth == {2: 1, 4: 2, 16: 4, 60: 8}[colors]
    assert np.array_equal(deltas.to_map(), panoptic_map)


def test_grey_values_are_ids(tmp_path):
    deltas, png = read_back_as(tmp_path / "a.png", SMALL_IDS.astype(np.uint8))
    assert (png.color_type, png.bit_depth) == ("grey", 8)
    assert np.array_equal(deltas.to_map(), SMALL_IDS)


def test_sixteen_bit_grey_values_are_ids(tmp_path):
    deltas, png = read_back_as(tmp_path / "a.png", (1000 * SMALL_IDS).astype(np.uint16))
    assert (png.color_type, png.bit_depth) == ("grey", 16)
    assert np.array_equal(deltas.to_map(), (1000 * SMALL_IDS).astype(np.uint16))


@pytest.mark.parametrize("bit_depth", [1, 2, 4])
def test_grey_of_few_bits_keeps_its_stored_values(tmp_path, bit_depth):
    values = np.arange(24).reshape(3, 8) % 2**bit_depth
    bits = (values[..., None] >> np.arange(bit_depth - 1, -1, -1) & 1).astype(np.uint8)
    packed = np.packbits(bits.reshape(3, -1), axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    encoded = png_of_rows(rows, 8, 3, color_type=0, bit_depth=bit_depth)
    assert np.array_equal(read_bytes(tmp_path, encoded), values)


def test_grey_with_alpha_is_read_by_its_grey(tmp_path):
    grey_alpha = Image.merge(
        "LA", (Image.fromarray(SMALL_IDS.astype(np.uint8)), Image.new("L", (10, 6), 9))
    )
    grey_alpha.save(tmp_path / "a.png")
    deltas, png = read_row_deltas(tmp_path / "a.png")
    assert png.color_type == "grey-alpha"
    assert np.array_equal(deltas.to_map(), SMALL_IDS)


def test_interlaced_map_is_read(tmp_path):
    panoptic_map = blocky_map(np.random.default_rng(2), (19, 23), [0, 5, 300, 99_999])
    encoded = png_of_rows(b"".join(adam7_rows(ids_to_rgb(panoptic_map))), 23, 19)
    encoded = encoded.replace(encoded[12:33], interlaced_header(encoded[12:29]))
    assert np.array_equal(read_bytes(tmp_path, encoded), panoptic_map)


def adam7_rows(rgb: np.ndarray):
    """Unfiltered rows of the seven passes (PNG specification, section 8)."""
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2))
    for y, y_step, x, x_step in (*passes, (1, 2, 0, 1)):
        for row in rgb[y::y_step, x::x_step]:
            yield b"\0" + row.tobytes()


def interlaced_header(header: bytes) -> bytes:
    """The IHDR chunk, from its kind on, that says the pixels are interlaced."""
    header = header[:-1] + b"\1"
    return header + struct.pack(">I", zlib.crc32(header))


def test_colours_of_sixteen_bits_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((3, 4, 3), np.uint16))
    with pytest.raises(CocoFormatError, match=r"a\.png: .*rgb of 16 bits; segment ids need"):
        read_id_map(tmp_path / "a.png")


# -- bad files -----------------------------------------------------------------------------


GOOD = encode_id_map(blocky_map(np.random.default_rng(3), (30, 40), [0, 9, 9999]))


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"\xff\xd8\xff\xe0JFIF", "does not start as a PNG", id="JPEG"),
        pytest.param(b"hello", "does not start as a PNG", id="text"),
        pytest.param(GOOD[:20], "not a panoptic PNG", id="cut in the header"),
        pytest.param(GOOD[:80], "cut short", id="cut in the pixels"),
        pytest.param(GOOD[:33], "cut short", id="no pixels"),
        pytest.param(png_of_rows(bytes(13 * 2), 4, 3), "cut short", id="too few rows"),
        pytest.param(png_of_rows(bytes(13 * 4), 4, 3), "of another size", id="too many rows"),
        pytest.param(png_of_rows(bytes(10**7), 4, 3), "of another size", id="bomb"),
        pytest.param(
            png_of_rows(bytes(13) + b"\5" + bytes(25), 4, 3), "row 1 has a filter", id="filter 5"
        ),
        pytest.param(png_of_rows(b"", 0, 3), "0 wide, 3 high;", id="no width"),
        pytest.param(png_of_rows(b"", 40_000, 40_000), "40000 wide, 40000 high;", id="huge"),
        pytest.param(png_of_rows(b"", 4, 3, color_type=5), "no colour type 5", id="colour type"),
        pytest.param(png_of_rows(b"", 4, 3, color_type=6), "not a panoptic PNG", id="no rgba"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, encoded, reason):
    with pytest.raises(CocoFormatError, match=reason) as failure:
        read_bytes(tmp_path, encoded)
    assert str(tmp_path / "map.png") in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("length", range(0, len(GOOD) - 16, 7))
def test_map_cut_anywhere_is_an_error_never_a_partial_map(tmp_path, length):
    with pytest.raises(CocoFormatError):
        read_bytes(tmp_path, GOOD[:length])


@pytest.mark.parametrize("place", range(41, len(GOOD) - 16))
def test_damaged_pixels_are_an_error_never_other_ids(tmp_path, place):
    damaged = bytearray(GOOD)
    damaged[place] ^= 1 << place % 8
    with pytest.raises(CocoFormatError):
        read_bytes(tmp_path, bytes(damaged))


@pytest.mark.parametrize("kind", ["P", "L", "LA", "RGBA"])
def test_any_damage_to_other_kinds_is_an_error_or_a_map(tmp_path, kind):
    rng = np.random.default_rng(5)
    file = io.BytesIO()
    Image.fromarray(ids_to_rgb(SMALL_IDS)).convert(kind).save(file, "PNG")
    failures = 0
    for _ in range(200):
        damaged = bytearray(file.getvalue())
        damaged[int(rng.integers(8, len(damaged)))] ^= 1 << int(rng.integers(8))
        try:
            assert read_bytes(tmp_path, bytes(damaged)).shape
        except CocoFormatError:
            failures += 1
    assert failures


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.png", "No such file"), ("folder.png", "cannot be read")]
)
def test_what_cannot_be_opened_says_why(tmp_path, name, reason):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(CocoFormatError, match=reason):
        read_id_map(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for read in (read_png_header, read_id_map):
        with pytest.raises(CocoFormatError, match="not a regular file"):
            read(tmp_path / "a.png")
