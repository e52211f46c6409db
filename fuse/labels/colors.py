"""Colours for classes that have none."""

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
