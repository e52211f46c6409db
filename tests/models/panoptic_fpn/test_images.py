"""Images into the net's input, label maps and masks back, against full-size arithmetic."""

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from reference import panoptic_fpn as slow

from fuse.models.panoptic_fpn.images import (
    label_pixels,
    paste_masks,
    prepare_images,
    resized_size,
)
from fuse.types import NamedImage

MEAN = torch.tensor([103.53, 116.28, 123.675])[:, None, None]
STD = torch.tensor([1.0, 57.0, 58.0])[:, None, None]


def make_image(rng, height, width):
    return NamedImage(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((426, 640), (800, 1202)),  # 1201.88 rounds up
        ((640, 426), (1202, 800)),
        ((800, 1333), (800, 1333)),
        ((500, 834), (799, 1333)),  # 800 x 1334.4 is too wide; 799.16 rounds down
        ((1024, 2048), (667, 1333)),  # 666.5 rounds up
        ((2, 2), (800, 800)),
        ((1, 9000), (1, 1333)),  # 0.15 would be no row at all
    ],
)
def test_sizes_are_rounded_as_detectron2_does(size, resized):
    assert resized_size(size, 800, 1333) == resized


def test_images_become_blue_green_red_resized_by_pil_and_padded_after_normalisation():
    rng = np.random.default_rng(0)
    images = [make_image(rng, 50, 61), make_image(rng, 50, 61)]
    listed = prepare_images(images, (33, 40), MEAN, STD)
    assert listed.shape == (2, 3, 64, 64)
    for pixels, image in zip(listed, images, strict=True):
        small = np.asarray(
            Image.fromarray(image.pixels).resize((40, 33), Image.Resampling.BILINEAR)
        )
        expected = (small[:, :, ::-1].astype(np.float32) - MEAN[:, 0, 0].numpy()) / STD[
            :, 0, 0
        ].numpy()
        np.testing.assert_array_equal(pixels[:, :33, :40].permute(1, 2, 0), expected)
        assert (pixels[:, 33:] == 0).all()
        assert (pixels[:, :, 40:] == 0).all()


@pytest.mark.parametrize(
    ("resized", "size"),
    [((50, 61), (97, 70)), ((64, 64), (30, 31)), ((1, 64), (1, 200)), ((33, 40), (33, 40))],
)
def test_labels_are_those_of_two_interpolations(resized, size):
    rng = np.random.default_rng(1)
    cells = [-(-side // 32) * 8 for side in resized]
    logits = torch.from_numpy(rng.normal(size=(6, *cells)).astype(np.float32))
    labels = label_pixels(logits, resized, size)
    expected = slow.label_pixels(logits, resized, size)
    assert labels.shape == size
    assert len(np.unique(expected)) == 6 or size[0] == 1
    assert (labels.numpy() == expected).mean() > 0.999


def test_labels_of_one_step_would_differ():
    """Why there are two steps at all: along borders one step gives other classes."""
    logits = torch.from_numpy(np.random.default_rng(2).normal(size=(6, 16, 16)).astype(np.float32))
    one_step = torch.nn.functional.interpolate(
        logits[None], size=(150, 150), mode="bilinear", align_corners=False
    )[0].argmax(dim=0)
    two_steps = label_pixels(logits, (64, 64), (150, 150))
    assert 0.9 < (one_step == two_steps).float().mean() < 0.999


def test_masks_are_those_of_a_grid_sample_over_the_image():
    rng = np.random.default_rng(3)
    size, count = (70, 90), 40
    corners = np.sort(rng.random((count, 2, 2)) * [size[1], size[0]], axis=1)
    boxes = corners.reshape(count, 4).astype(np.float32)
    boxes[0] = [0, 0, size[1], size[0]]
    boxes[1] = [3.4, 5.2, 3.5, 60]  # between two centres of pixels
    boxes[2] = [80.25, 60.5, 90, 70]
    probs = rng.random((count, 28, 28)).astype(np.float32)
    probs[3] = 1
    probs[4] = 0
    masks = paste_masks(probs, boxes, size)
    found = coco_mask.decode(list(masks.rles)).transpose(2, 0, 1).astype(bool)
    expected = np.stack([slow.paste(*one, size) for one in zip(probs, boxes, strict=True)])
    assert expected[3].any()
    assert not expected[4].any()
    assert (found != expected).sum() <= 1e-4 * expected.sum()


def test_a_pixel_at_the_threshold_belongs_to_the_mask():
    """A box from pixel centre to pixel centre: there the mask is halfway to the 0 around it."""
    (rle,) = paste_masks(
        np.ones((1, 28, 28), dtype=np.float32), np.array([[1.5, 2, 4.5, 4]], "f4"), (6, 7)
    ).rles
    assert np.argwhere(coco_mask.decode(rle)).tolist() == [
        [y, x] for y in (2, 3) for x in (1, 2, 3, 4)
    ]


def test_no_instances_have_no_masks():
    assert len(paste_masks(np.zeros((0, 28, 28), "f4"), np.zeros((0, 4), "f4"), (6, 7))) == 0
