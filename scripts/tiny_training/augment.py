"""Random views of photos, with their objects or their label maps."""

from dataclasses import dataclass

import cv2
import numpy as np
from tiny_training.photos import Array


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
    rng: np.random.Generator, height: int, width: int, side: int, short_sides: tuple[int, int]
) -> View:
    """Draw a view: the photo's short side becomes one of `short_sides` (uniform in the log)."""
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
    return View(matrix, side)


def jitter_colour(rng: np.random.Generator, image: Array) -> Array:
    """Change brightness, contrast and saturation of an RGB uint8 image a little."""
    if rng.random() < 0.3:
        return image
    gain = rng.uniform(0.7, 1.3)
    pixels = image.astype(np.float32)
    grey = pixels.mean(2, keepdims=True)
    pixels = grey + (pixels - grey) * rng.uniform(0.6, 1.4)
    middle = grey.mean()
    pixels = (pixels - middle) * rng.uniform(0.75, 1.25) + middle
    return (pixels * gain).clip(0, 255).astype(np.uint8)
