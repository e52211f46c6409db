"""An image is the same pixels, however it is held; and what is no image says what would be one."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fuse.errors import ImageReadError
from fuse.io.given import copy_in_memory, find_path, is_image, to_image
from fuse.io.images import read_image
from fuse.types import NamedImage

CHELSEA = Path(__file__).parents[2] / "examples" / "images" / "chelsea.jpg"
PIXELS = read_image(CHELSEA)
TENSOR = torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(str(CHELSEA), id="str"),
        pytest.param(CHELSEA, id="path"),
        pytest.param(f"file://{CHELSEA}", id="url"),
        pytest.param(Image.open(CHELSEA), id="pil that is not read yet"),
        pytest.param(Image.fromarray(PIXELS), id="pil"),
        pytest.param(PIXELS, id="array"),
        pytest.param(PIXELS[::-1, :, ::-1][::-1, :, ::-1], id="array of another layout"),
        pytest.param((PIXELS / 255).astype(np.float32), id="array of floats"),
        pytest.param(TENSOR, id="tensor"),
        pytest.param(TENSOR.float().div(255).requires_grad_(), id="tensor of floats"),
        pytest.param(NamedImage(PIXELS), id="named"),
    ],
)
def test_every_kind_gives_the_pixels_of_the_file(given):
    assert is_image(given)
    image = to_image(given)
    assert np.array_equal(image.pixels, PIXELS)
    assert image.pixels.flags.c_contiguous


def test_a_pil_image_is_turned_upright_as_its_file_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(
        to_image(Image.open(tmp_path / "turned.png")).pixels, read_image(tmp_path / "turned.png")
    )
    assert to_image(tmp_path / "turned.png").size == PIXELS.shape[1::-1]


def test_where_an_image_came_from():
    with Image.open(CHELSEA) as picture:
        assert find_path(CHELSEA) == find_path(picture) == str(CHELSEA)
    assert find_path("s3://bucket/a.jpg") == "s3://bucket/a.jpg"
    assert find_path(PIXELS) is find_path(TENSOR) is find_path(Image.fromarray(PIXELS)) is None
    assert to_image(CHELSEA).file_name == "chelsea.jpg"


def test_an_array_that_is_filled_again_is_copied():
    buffer, tensor = np.zeros((2, 2, 3), np.uint8), torch.zeros(3, 2, 2)
    copies = copy_in_memory(buffer), copy_in_memory(tensor)
    buffer += 1
    tensor += 1
    assert [copy.max() for copy in copies] == [0, 0]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.zeros((3, 4, 5), np.uint8), ValueError, r"the channels come last: image.transpose\(1"),
        (np.zeros((4, 5, 4), np.uint8), ValueError, r"image\[..., :3\]"),
        (np.zeros((4, 5), np.uint8), ValueError, r"np.dstack\(\[image\] \* 3\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), ValueError, r"list\(images\)"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, r"got shape \(0, 5, 3\)"),
        (np.zeros((4, 5, 3), np.int64), TypeError, r"got int64; give image.astype\(np.uint8\)$"),
        (np.full((4, 5, 3), -1), TypeError, r"got int64; give values of 0..255 as image.astype"),
        (np.full((4, 5, 3), 256, np.uint16), TypeError, r"give \(image >> 8\).astype\(np.uint8\)"),
        (np.zeros((4, 5, 3), bool), TypeError, r"give image.astype\(np.uint8\) \* 255"),
        (torch.zeros(3, 4, 5, dtype=torch.int64), TypeError, r"image.to\(torch.uint8\)"),
        (np.full((4, 5, 3), 200.0), ValueError, r"got 200..200; give image.astype\(np.uint8\)"),
        (np.full((4, 5, 3), -2.0), ValueError, "got -2..-2; undo its normalisation"),
        (np.full((4, 5, 3), np.nan), ValueError, "must lie in 0..1, got nan"),
        (torch.zeros(4, 5, 3), ValueError, r"the channels come first: image.permute\(2, 0, 1\)"),
        (torch.zeros(4, 4, 5), ValueError, r"image\[:3\]"),
        (torch.zeros(1, 4, 5), ValueError, r"image.expand\(3, -1, -1\)"),
        (torch.zeros(2, 3, 4, 5), ValueError, r"list\(images\)"),
        (torch.full((3, 4, 5), 255.0), ValueError, r"give image.to\(torch.uint8\)"),
        (b"\xff\xd8", TypeError, r"got bytes; give PIL.Image.open\(io.BytesIO"),
        (io.BytesIO(b"\xff\xd8"), TypeError, r"got BytesIO; of an open file give PIL.Image.open"),
        ([PIXELS], TypeError, "got list; give each by itself: "),
        (7, TypeError, r"an image is a path, .* got int"),
        (CHELSEA.parent, ImageReadError, r"images: a folder.*\.glob\('\*\.jpg'\)\)\)$"),
        ("no/*.png", ImageReadError, r"pipeline\(sorted\(Path\('no'\)\.glob\('\*\.png'\)\)\)"),
        ("none.jpg", ImageReadError, "none.jpg: there is no such file"),
        (Image.new("F", (3, 3)), ImageReadError, "32-bit or float values have no fixed range"),
    ],
)
def test_what_is_no_image_says_what_came_and_what_mends_it(given, error, message):
    with pytest.raises(error, match=message) as caught:
        to_image(given)
    assert "\n" not in str(caught.value)


def test_an_open_file_is_one_image_and_not_its_lines():
    assert is_image(io.BytesIO(b"a\nb"))


def test_a_pil_image_that_is_cut_short_is_told():
    half = Image.open(io.BytesIO(CHELSEA.read_bytes()[:9000]))
    with pytest.raises(ImageReadError, match="PIL image: cannot be read"):
        to_image(half)
