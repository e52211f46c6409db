"""Random views of photos, with their objects or their label maps."""

from dataclasses import dataclass

import cv2
import numpy as np
from tiny_training.photos import Array
from torch import Tensor


@dataclass(frozen=True)
class View:
    """A scaled, mirrored, shifted window of a photo, as one 2 x 3 affine matrix."""

    matrix: Array
    side: int

    def warp_image(self, image: Array) -> Array:
        """Show an RGB image through the view; outside of the photo lies the mean colour."""
        shrink = float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))
        matrix = self.matrix
        if shrink < 0.6:  # warping skips pixels when it shrinks much: average them first
            half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            ratio = np.array([image.shape[1] / half.shape[1], image.shape[0] / half.shape[0], 1])
            image, matrix = half, matrix * ratio
        return cv2.warpAffine(image, matrix, (self.side, self.side), borderValue=(124, 116, 104))

    def warp_mask(self, mask: Array, border: int = 0) -> Array:
        """Show a map of labels through the view, without mixing them."""
        size_wh = (self.side, self.side)
        return cv2.warpAffine(
            mask, self.matrix, size_wh, flags=cv2.INTER_NEAREST, borderValue=border
        )

    def warp_boxes(self, boxes: Array) -> Array:
        """Move boxes (N, 4) into the view, without cutting them off at its edge."""
        corners = boxes.reshape(-1, 2, 2) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.concatenate([corners.min(1), corners.max(1)], 1)


def draw_view(
    rng: np.random.Generator,
    height: int,
    width: int,
    side: int,
    short_sides: tuple[int, int],
    largest_turn: float = 0.0,
) -> View:
    """Draw a view: the photo's short side becomes one of `short_sides` (uniform in the log).

    Half of the views are turned about their middle, by up to `largest_turn` degrees.
    """
    target = np.exp(rng.uniform(np.log(short_sides[0]), np.log(short_sides[1])))
    scale = target / min(height, width)
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    scale_x, scale_y = scale * stretch, scale / stretch
    free_x, free_y = side - width * scale_x, side - height * scale_y
    # the photo is placed anywhere inside the canvas, or the canvas anywhere inside the photo
    shift_x, shift_y = rng.uniform(0, 1) * free_x, rng.uniform(0, 1) * free_y
    matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
    if rng.random() < 0.5:
        matrix = np.array([[-scale_x, 0, side - shift_x], [0, scale_y, shift_y]])
    if largest_turn and rng.random() < 0.5:
        middle = (side / 2, side / 2)
        turn = cv2.getRotationMatrix2D(middle, rng.uniform(-largest_turn, largest_turn), 1.0)
        matrix = turn @ np.vstack([matrix, (0, 0, 1)])
    return View(matrix, side)


def jitter_colour(rng: np.random.Generator, image: Array, strength: float = 1.0) -> Array:
    """Change brightness, contrast and saturation of an RGB uint8 image a little."""
    if rng.random() < 0.3:
        return image
    gain = rng.uniform(1 - 0.3 * strength, 1 + 0.3 * strength)
    pixels = image.astype(np.float32)
    grey = pixels.mean(2, keepdims=True)
    pixels = grey + (pixels - grey) * rng.uniform(1 - 0.4 * strength, 1 + 0.4 * strength)
    middle = grey.mean()
    pixels = (pixels - middle) * rng.uniform(1 - 0.25 * strength, 1 + 0.25 * strength) + middle
    return (pixels * gain).clip(0, 255).astype(np.uint8)


def paste_windows(
    rng: np.random.Generator, images: Tensor, targets: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    """CutMix (Yun et al., ICCV 2019): some samples get a window of the sample before them.

    Args:
        rng: source of chance.
        images: (N, 3, H, W).
        targets: (N, ..., h, w), whose sides divide those of the images.
        share: of the samples that get one.

    Returns:
        Both with the windows, a quarter to half of each view.
    """
    images, targets = images.clone(), targets.clone()
    donors, labels = images.roll(1, 0), targets.roll(1, 0)
    side, cells = images.shape[-1], targets.shape[-1]
    stride = side // cells
    for row in np.flatnonzero(rng.random(len(images)) < share):
        area, shape = rng.uniform(0.25, 0.5), np.exp(rng.uniform(-0.5, 0.5))
        height, width = (min(round(cells * np.sqrt(area * s)), cells) for s in (shape, 1 / shape))
        top, left = rng.integers(cells - height + 1), rng.integers(cells - width + 1)
        window = np.s_[..., top : top + height, left : left + width]
        pixels = np.s_[
            ..., top * stride : (top + height) * stride, left * stride : (left + width) * stride
        ]
        images[row][pixels], targets[row][window] = donors[row][pixels], labels[row][window]
    return images, targets
