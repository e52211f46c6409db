"""A result below a notebook's cell: its picture and a table of its segments."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from fuse.viz.drawing import Picture
from fuse.viz.render import encode_jpeg, panoptic_regions, shrink

if TYPE_CHECKING:
    from fuse.results.result import PanopticResult

LONGEST_SIDE = 800  # pixels of the picture
JPEG_QUALITY = 85
MOST_ROWS = 30


def to_html(result: PanopticResult, caption: str, picture: Picture) -> str:
    """HTML that needs nothing else: no script, no file, no address."""
    pixels = np.asarray(picture)
    small = shrink(pixels, min(1.0, LONGEST_SIDE / max(pixels.shape[:2])))
    code = base64.b64encode(encode_jpeg(small, JPEG_QUALITY)).decode()
    rows = "".join(_row(result, place) for place in range(min(len(result), MOST_ROWS)))
    if len(result) > MOST_ROWS:
        rows += f'<tr><td colspan="6">and {len(result) - MOST_ROWS} more</td></tr>'
    titles = ("id", "", "class", "score", "pixels", "share")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return (
        f"<figure style='margin:0'><figcaption><code>{escape(caption)}</code></figcaption>"
        f"<img alt='{escape(caption, quote=True)}' style='max-width:100%' "
        f"src='data:image/jpeg;base64,{code}'></figure>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(result: PanopticResult, place: int) -> str:
    segment = result[place]
    red, green, blue = panoptic_regions(result, result.space)[segment.id].color
    swatch = (
        "<span style='display:inline-block;width:1em;height:1em;"
        f"background:rgb({red},{green},{blue})'></span>"
    )
    score = "" if segment.score is None else f"{segment.score:.2f}"
    share = f"{segment.area / result.panoptic_map.size:.1%}"
    cells = (segment.id, swatch, escape(segment.name), score, f"{segment.area:,}", share)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
