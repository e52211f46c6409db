"""Images in, grids of logits out: sizes, padding and the two corner conventions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from fuse.errors import ConfigError, ModelOutputError
from fuse.labels import load_space
from fuse.models.adapters.semantic_net import ImageInput, SemanticNet, crop_padding
from fuse.ops.argmax import upsample_argmax
from fuse.types import NamedImage


def read_logits(semantic):
    """float64 (C, H, W): the logits at the places that a `SemanticLogits` says its pixels read."""
    logits = semantic.logits.astype(np.float64)
    axes = []
    for axis in (0, 1):
        last = logits.shape[1 + axis] - 1
        place = np.arange(semantic.size[axis]) * semantic.scale[axis] + semantic.offset[axis]
        place = place.clip(0, last)
        first = place.astype(int).clip(max=max(last - 1, 0))
        axes.append((first, np.minimum(first + 1, last), place - first))
    (top, bottom, y), (left, right, x) = axes
    upper = logits[:, top] * (1 - y)[:, None] + logits[:, bottom] * y[:, None]
    return upper[:, :, left] * (1 - x) + upper[:, :, right] * x


def random_logits(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float16)


@pytest.mark.parametrize("align_corners", [False, True], ids=["half-pixel", "align_corners"])
@pytest.mark.parametrize("size", [(50, 61), (64, 33), (1, 1), (64, 96)], ids=str)
def test_padding_is_cut_as_if_the_whole_input_had_been_upsampled(size, align_corners):
    padded = (64, 96)
    logits = random_logits((4, 16, 24))
    semantic = crop_padding(logits, size, size, padded, align_corners)
    whole = F.interpolate(
        torch.from_numpy(logits).double()[None],
        padded,
        mode="bilinear",
        align_corners=align_corners,
    )[0].numpy()
    expected = whole[:, : size[0], : size[1]]
    np.testing.assert_allclose(read_logits(semantic), expected, atol=1e-6)
    ids = np.array([3, 5, 8, 21], dtype=np.int32)
    label_map = upsample_argmax(
        semantic.logits, size, ids, scale=semantic.scale, offset=semantic.offset
    )
    top = np.sort(expected, axis=0)
    clear = top[-1] - top[-2] > 1e-5
    assert (label_map == ids[expected.argmax(0)])[clear].all()
    # No more cells than the image's last pixel reads.
    assert semantic.logits.shape[1] <= size[0] // 4 + 2


@pytest.mark.parametrize("align_corners", [False, True], ids=["half-pixel", "align_corners"])
def test_a_resized_image_reads_the_logits_at_its_own_pixel_centres(align_corners):
    """One interpolation straight to the image, not one to the input and a second one."""
    size, resized, padded = (30, 45), (40, 60), (64, 64)
    logits = random_logits((2, 16, 16))
    semantic = crop_padding(logits, size, resized, padded, align_corners)
    grid = []
    for pixels, inner, outer in zip(size, resized, padded, strict=True):
        place = (np.arange(pixels) + 0.5) * inner / pixels  # in the input, edges at 0 and inner
        # grid_sample counts from -1 to 1: over the edges, or over the centres of the corners.
        grid.append(2 * (place - 0.5) / (outer - 1) - 1 if align_corners else 2 * place / outer - 1)
    y, x = np.meshgrid(*grid, indexing="ij")
    expected = F.grid_sample(
        torch.from_numpy(logits).double()[None],
        torch.from_numpy(np.stack([x, y], axis=-1))[None],
        padding_mode="border",
        align_corners=align_corners,
    )[0].numpy()
    np.testing.assert_allclose(read_logits(semantic), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "size", "resized", "padded"),
    [
        ({}, (33, 47), (33, 47), (33, 47)),
        ({"divisor": 32}, (33, 64), (33, 64), (64, 64)),
        ({"min_size": 520}, (480, 640), (520, 693), (520, 693)),
        ({"min_size": 520}, (640, 480), (693, 520), (693, 520)),
        ({"min_size": 512, "max_size": 600, "divisor": 32}, (400, 800), (300, 600), (320, 608)),
        ({"min_size": 10, "max_size": 20}, (1, 900), (1, 20), (1, 20)),
        ({"size": [512, 256]}, (480, 640), (512, 256), (512, 256)),
        ({"size": (512, 512), "letterbox": True}, (480, 640), (384, 512), (512, 512)),
        ({"size": (64, 64), "letterbox": True}, (2, 900), (1, 64), (64, 64)),
    ],
)
def test_sizes(options, size, resized, padded):
    image_input = ImageInput(**options)
    assert image_input.resized_size(size) == resized
    assert image_input.padded_size(resized) == padded
    image = NamedImage(np.full((*size, 3), 255, dtype=np.uint8))
    inputs = image_input.prepare([image, image], "cpu")
    assert inputs.shape == (2, 3, *padded)
    # White, normalised, then zeros.
    white = (1 - 0.485) / 0.229
    np.testing.assert_allclose(inputs[1, 0, : resized[0], : resized[1]], white, atol=1e-5)
    assert not inputs[:, :, resized[0] :].any()
    assert not inputs[:, :, :, resized[1] :].any()


def test_antialias_is_torchvisions():
    from torchvision.transforms.functional import resize

    image = NamedImage(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    pixels = torch.from_numpy(image.pixels).permute(2, 0, 1).float() / 255
    for antialias in (True, False):
        image_input = ImageInput((0, 0, 0), (1, 1, 1), min_size=40, antialias=antialias)
        (prepared,) = image_input.prepare([image], "cpu")
        expected = resize(pixels, [40], antialias=antialias)
        np.testing.assert_allclose(prepared, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5,)}, "mean must be three numbers"),
        ({"std": (0.2, 0.0, 0.2)}, "std must be above 0"),
        ({"min_size": 0}, "at least 1 pixel"),
        ({"size": (512, 0)}, "at least 1 pixel"),
        ({"size": [512]}, r"size must be \[height, width\], got \[512\]"),
        ({"divisor": 0}, "divisor must be at least 1 pixel, got 0"),
    ],
)
def test_impossible_inputs(options, message):
    with pytest.raises(ConfigError, match=message):
        ImageInput(**options)


def make_model(forward, **options):
    space = load_space("coco_super")
    return SemanticNet(
        "toy net",
        forward,
        ImageInput(**options),
        label_space=space,
        category_ids=np.array([0, 13], dtype=np.int32),
        weights_hash="0",
        align_corners=False,
        device="cpu",
        precision="float32",
    )


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (torch.zeros(1, 3, 4, 4), r"got \(1, 3, 4, 4\)"),
        (torch.zeros(1, 4, 4), r"got \(1, 4, 4\)"),
        ({"out": torch.zeros(1, 2, 4, 4)}, "got dict"),
    ],
)
def test_an_answer_of_another_shape_is_refused(answer, got):
    model = make_model(lambda images: answer)
    with pytest.raises(ModelOutputError, match=f"toy net: must answer .*2 classes.*{got}"):
        model.predict([NamedImage(np.zeros((8, 8, 3), dtype=np.uint8))])


def test_a_read_only_image_is_taken_and_left_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    image.flags.writeable = False
    before = image.copy()
    model = make_model(lambda images: images[:, :2])
    (semantic,) = model.predict([NamedImage(image[:, ::-1])])  # not contiguous either
    assert (image == before).all()
    expected = (image[:, ::-1, 0] / 255 - 0.485) / 0.229
    np.testing.assert_allclose(semantic.logits[0], expected, atol=2e-3)
