"""PNG's five row filters, byte by byte as the specification (section 9) defines them.

And COCO's coding of segment ids as colours.
"""

import numpy as np

FILTERS = (0, 1, 2, 3, 4)  # None, Sub, Up, Average, Paeth


def ids_to_rgb(panoptic_map: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): segment_id = R + 256 G + 65536 B."""
    channels = [panoptic_map >> shift & 255 for shift in (0, 8, 16)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def filter_row(kind: int, row: list[int], above: list[int], *, bytes_per_pixel: int) -> bytes:
    """The filter's number and the row's bytes less their prediction, modulo 256."""
    filtered = [kind]
    for i, value in enumerate(row):
        has_left = i >= bytes_per_pixel
        left = row[i - bytes_per_pixel] if has_left else 0
        above_left = above[i - bytes_per_pixel] if has_left else 0
        prediction = (
            0,
            left,
            above[i],
            (left + above[i]) // 2,
            paeth(left, above[i], above_left),
        )[kind]
        filtered.append((value - prediction) % 256)
    return bytes(filtered)


def paeth(left: int, above: int, above_left: int) -> int:
    """The neighbour closest to left + above - above_left; ties go to the first named."""
    estimate = left + above - above_left
    return min((left, above, above_left), key=lambda neighbour: abs(estimate - neighbour))
