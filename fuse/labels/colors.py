"""Colours for classes that have none, and colours as numbers."""

from __future__ import annotations

Color = tuple[int, int, int]


def voc_color(number: int) -> Color:
    """The colour of a number in PASCAL VOC's map: its bits, spread over the channels.

    >>> voc_color(1), voc_color(15)
    ((128, 0, 0), (192, 128, 128))
    """
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            channels[channel] |= (number >> (3 * place + channel) & 1) << (7 - place)
    return channels[0], channels[1], channels[2]


def encode_color(color: Color) -> int:
    """R + 256 G + 65536 B, as panoptic PNGs code their ids.

    >>> encode_color((1, 2, 0))
    513
    """
    red, green, blue = color
    return red + 256 * green + 65536 * blue
