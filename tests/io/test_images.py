"""Images: their pixels, whatever format they are in."""

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from fuse.errors import FuseWarning, ImageReadError
from fuse.io.images import list_endings, list_formats, read_image
from fuse.types import MAX_PIXELS

# -- pixels --------------------------------------------------------------------------------

HEIGHT, WIDTH = 24, 40


@pytest.fixture
def pixels() -> np.ndarray:
    """Smooth colours, uint8 (24, 40, 3), that JPEG keeps to within a few values."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([6 * x, 10 * y, 255 - 3 * x - 3 * y], axis=-1).astype(np.uint8)


def grey_of(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def save(path: Path, array: np.ndarray, **options) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def assert_reads_as(path: Path, expected: np.ndarray, tolerance: int = 0) -> None:
    image = read_image(path)
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    assert image.dtype == np.uint8
    assert image.shape == expected.shape
    assert image.flags.writeable
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "webp"])
def test_rgb_without_loss(tmp_path, pixels, ending):
    options = {"lossless": True} if ending == "webp" else {}
    assert_reads_as(save(tmp_path / f"a.{ending}", pixels, **options), pixels)


@pytest.mark.parametrize(
    ("ending", "kind"), [("avif", "AVIF"), ("jp2", "JPEG2000"), ("heic", "HEIF")]
)
def test_formats_that_not_every_build_has(tmp_path, pixels, ending, kind):
    if kind not in list_formats():
        pytest.skip(f"no decoder of {kind} here")
    options = {"irreversible": False} if ending == "jp2" else {"quality": 90}
    path = save(tmp_path / f"a.{ending}", pixels, **options)
    assert f".{ending}" in list_endings()
    assert_reads_as(path, pixels, 0 if ending == "jp2" else 12)


def test_jpeg_equals_opencv(tmp_path, pixels):
    path = save(tmp_path / "a.jpg", pixels, quality=90)
    assert_reads_as(path, cv2.imread(str(path))[..., ::-1])


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "bmp", "pgm"])
def test_greyscale(tmp_path, pixels, ending):
    path = save(tmp_path / f"a.{ending}", grey_of(pixels))
    assert_reads_as(path, grey_of(pixels), tolerance=4 if ending == "jpg" else 0)


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path, ending):
    grey = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    cv2.imwrite(str(tmp_path / f"a.{ending}"), grey)
    assert_reads_as(tmp_path / f"a.{ending}", grey / 257, tolerance=1)
    assert read_image(tmp_path / f"a.{ending}")[-1, -1, 0] == 255


def test_sixteen_bit_grey_of_the_other_byte_order(tmp_path):
    grey = np.linspace(0, 65535, HEIGHT * WIDTH).astype(">u2").reshape(HEIGHT, WIDTH)
    Image.frombytes("I;16B", (WIDTH, HEIGHT), grey.tobytes()).save(tmp_path / "a.tif")
    assert_reads_as(tmp_path / "a.tif", grey / 257, tolerance=1)


def test_twelve_bit_tiff_uses_its_whole_range(tmp_path):
    grey = np.linspace(0, 4095, HEIGHT * WIDTH).astype(np.uint16)
    pairs = grey.astype(np.uint32).reshape(-1, 2)
    packed = (pairs[:, 0] << 12 | pairs[:, 1]).astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:]
    tags = {256: WIDTH, 257: HEIGHT, 258: 12, 259: 1, 262: 1, 273: 200, 277: 1, 278: HEIGHT}
    tags[279] = packed.size
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    header += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    (tmp_path / "a.tif").write_bytes(header.ljust(200, b"\0") + packed.tobytes())
    assert_reads_as(tmp_path / "a.tif", grey.reshape(HEIGHT, WIDTH) / 4095 * 255, tolerance=1)


# No TIFF of 4 channels: OpenCV does not say in them that the last is alpha.
@pytest.mark.parametrize(("ending", "channels"), [("png", 3), ("png", 4), ("tif", 3)])
def test_sixteen_bit_colour(tmp_path, pixels, ending, channels):
    deep = pixels[..., ::-1].astype(np.uint16) * 257
    if channels == 4:
        deep = np.dstack([deep, np.full((HEIGHT, WIDTH), 65535, np.uint16)])
    cv2.imwrite(str(tmp_path / f"a.{ending}"), deep)
    assert_reads_as(tmp_path / f"a.{ending}", pixels, tolerance=1)


@pytest.mark.parametrize("ending", ["png", "gif", "tif", "bmp"])
def test_palette(tmp_path, pixels, ending):
    palette_image = Image.fromarray(pixels).quantize(64)
    palette_image.save(tmp_path / f"a.{ending}")
    colors = np.array(palette_image.getpalette(), np.uint8).reshape(-1, 3)
    assert_reads_as(tmp_path / f"a.{ending}", colors[np.asarray(palette_image)])


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_one_bit(tmp_path, pixels, ending):
    black_and_white = grey_of(pixels) > 120
    Image.fromarray(black_and_white).save(tmp_path / f"a.{ending}")
    assert_reads_as(tmp_path / f"a.{ending}", black_and_white * 255)


def over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    if rgb.ndim == 2:
        rgb = rgb[..., None]
    share = alpha[..., None] / 255
    return np.broadcast_to(share * rgb + (1 - share) * 255, (*alpha.shape, 3))


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_alpha_lies_over_white(tmp_path, pixels, ending):
    alpha = np.linspace(0, 255, HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH)
    options = {"lossless": True, "exact": True} if ending == "webp" else {}
    path = save(tmp_path / f"a.{ending}", np.dstack([pixels, alpha]), **options)
    assert_reads_as(path, over_white(pixels, alpha), tolerance=1)


def test_grey_with_alpha(tmp_path, pixels):
    alpha = np.linspace(0, 255, HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH)
    grey = grey_of(pixels)
    grey_alpha = Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))
    grey_alpha.save(tmp_path / "a.png")
    assert_reads_as(tmp_path / "a.png", over_white(grey, alpha), tolerance=1)


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_palette_with_a_transparent_entry(tmp_path, pixels, ending):
    palette_image = Image.fromarray(pixels).quantize(16)
    palette_image.save(tmp_path / f"a.{ending}", transparency=3)
    indices = np.asarray(palette_image)
    expected = np.array(palette_image.getpalette(), np.uint8).reshape(-1, 3)[indices]
    expected[indices == 3] = 255
    assert (indices == 3).any()
    assert_reads_as(tmp_path / f"a.{ending}", expected)


def test_sixteen_bit_grey_with_a_transparent_value(tmp_path):
    grey = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    grey[:5] = 4096
    image = Image.frombytes("I;16", (WIDTH, HEIGHT), grey.tobytes())
    image.save(tmp_path / "a.png", transparency=4096)
    assert_reads_as(tmp_path / "a.png", np.where(grey == 4096, 255, grey >> 8))


def test_rgb_with_a_transparent_colour(tmp_path, pixels):
    pixels[:5] = (1, 2, 3)
    expected = pixels.copy()
    expected[:5] = 255
    assert_reads_as(save(tmp_path / "a.png", pixels, transparency=(1, 2, 3)), expected)


def test_cmyk_jpeg_of_adobe_is_not_inverted(tmp_path, pixels):
    cmyk = Image.fromarray(pixels).convert("CMYK")
    cmyk.save(tmp_path / "a.jpg", quality=95)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()
    assert_reads_as(tmp_path / "a.jpg", pixels, tolerance=12)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_tiff_of_other_colour_modes(tmp_path, pixels, mode):
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        try:
            image.load()
        except OSError:
            pytest.skip("this Pillow cannot read what it writes")  # 12.0, YCbCr
    assert_reads_as(tmp_path / "a.tif", pixels, tolerance=3)


def test_lab_tiff(tmp_path, pixels):
    pixels = (pixels // 2 + 64).astype(np.uint8)  # well inside the gamut
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    ImageCms.applyTransform(Image.fromarray(pixels), to_lab).save(tmp_path / "a.tif")
    assert_reads_as(tmp_path / "a.tif", pixels, tolerance=10)  # Lab has 8 bits too


@pytest.mark.parametrize("ending", ["gif", "webp", "tif", "png"])
def test_first_frame_is_read(tmp_path, pixels, ending):
    frames = [Image.fromarray(np.full_like(pixels, value)) for value in (200, 90, 10)]
    options = {"lossless": True} if ending == "webp" else {}
    path = tmp_path / f"a.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    with Image.open(path) as image:
        assert image.n_frames == 3
    with pytest.warns(FuseWarning, match=r"the first of each is read"):
        assert_reads_as(path, np.full_like(pixels, 200))
    frames[0].save(path, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_reads_as(path, np.full_like(pixels, 200))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, pixels, ending, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if ending == "webp" else {}
    path = save(tmp_path / f"a.{ending}", pixels, exif=exif, **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    if ending == "jpg":  # a reader that has its own orientation code
        assert np.array_equal(expected, cv2.imread(str(path))[..., ::-1])
    assert_reads_as(path, expected)
    assert_reads_as(
        path, np.asarray(UPRIGHT[orientation](pixels)), tolerance=12 if ending == "jpg" else 0
    )


UPRIGHT = {  # the words of the EXIF standard: where row 0 and column 0 lie in the upright image
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0nonsense", id="no TIFF header"),
        pytest.param(b"Exif\0\0II*\0\x08\0\0\0\xff\xff", id="cut short"),
        pytest.param(
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
            id="orientation 99",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*EXIF.*:UserWarning")
def test_damaged_exif_leaves_the_image_as_stored(tmp_path, pixels, exif):
    path = save(tmp_path / "a.jpg", pixels, exif=exif)
    plain = save(tmp_path / "plain.jpg", pixels)
    assert_reads_as(path, read_image(plain))


def test_ending_need_not_match_the_content(tmp_path, pixels):
    save(tmp_path / "a.png", pixels)
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert_reads_as(tmp_path / "a.jpg", pixels)


def test_threads_read_the_same(tmp_path, pixels):
    path = save(tmp_path / "a.jpg", pixels)
    expected, results = read_image(path), []
    threads = [threading.Thread(target=lambda: results.append(read_image(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(result, expected) for result in results)


# -- bad files -----------------------------------------------------------------------------


def encode(pixels: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_picture_cut_short_fails_instead_of_coming_back_half_grey(tmp_path, kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    if kind == "progressive":
        encoded = encode(noise, "JPEG", progressive=True)
    else:
        encoded = encode(noise, kind)
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded[: int(len(encoded) * share)])
    with pytest.raises(ImageReadError, match=r"a\.jpg: ") as failure:
        read_image(path)
    assert "\n" not in str(failure.value)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size; its pixels are missing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, b"IDAT" + zlib.compress(bytes(100)), b"IEND")
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "the file is empty", id="zero bytes"),
        pytest.param(b"hello, world", r"not a picture \(readable are JPEG, PNG,", id="text"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a pict", id="eps"),
        pytest.param(b"\xff\xd8\xff", "not a picture", id="three bytes of a JPEG"),
        pytest.param(png_header(40_000, 40_000), f"more than {MAX_PIXELS:,} pixels", id="huge"),
        pytest.param(png_header(64, 64), "cannot be read", id="PNG without pixels"),
        pytest.param(png_header(0, 64), r"a\.jpg: ", id="no width"),
    ],
)
def test_what_is_no_picture_says_why(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageReadError, match=reason) as failure:
        read_image(tmp_path / "a.jpg")
    assert str(tmp_path / "a.jpg") in str(failure.value)


def test_hundred_megapixels_are_no_bomb(tmp_path):
    """Pillow would warn of a bomb; what fails is only that this one's pixels are missing."""
    (tmp_path / "a.png").write_bytes(png_header(10_000, 10_000))
    with pytest.raises(ImageReadError, match="cannot be read"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("path", "reason"),
    [("missing.jpg", "there is no such file"), ("folder.jpg", "a folder"), ("pipe.jpg", "regular")],
)
def test_what_is_no_file_says_why(tmp_path, path, reason):
    (tmp_path / "folder.jpg").mkdir()
    if path == "pipe.jpg":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no named pipes on this system")
        os.mkfifo(tmp_path / path)
    with pytest.raises(ImageReadError, match=reason):
        read_image(tmp_path / path)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_values_without_a_fixed_range_are_refused(tmp_path, mode):
    Image.new(mode, (8, 8), 1).save(tmp_path / "a.tif")
    with pytest.raises(ImageReadError, match="no fixed range"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"])
@pytest.mark.filterwarnings("ignore:.*a.bin:UserWarning")
def test_any_damage_is_an_image_read_error_or_a_picture(tmp_path, pixels, kind):
    """Flip bytes at random places: never another exception, and no trace on the caller."""
    rng = np.random.default_rng(7)
    encoded = np.frombuffer(encode(pixels, kind), np.uint8)
    path = tmp_path / "a.bin"
    failures = 0
    for _ in range(60):
        damaged = encoded.copy()
        places = rng.integers(0, min(len(damaged), 400), 3)
        damaged[places] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            assert read_image(path).shape[2] == 3
        except ImageReadError:
            failures += 1
    assert failures


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_pixels_as_they_are_stored(tmp_path, orientation, ending):
    stored = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"image.{ending}"
    Image.fromarray(stored).save(
        path, exif=exif, **({"lossless": True} if ending == "webp" else {})
    )
    np.testing.assert_array_equal(read_image(path, as_stored=True), stored)
    assert read_image(path).shape == ((7, 5, 3) if orientation > 4 else (5, 7, 3))
