"""CVAT for images 1.1: one XML; masks are exact, polygons are not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr  # nosec B406 - writes text, parses none

import numpy as np

from fuse.exports.image import Encoded, ExportImage, Form
from fuse.exports.polygons import fit_segments
from fuse.io.files import open_whole
from fuse.types import BoolArray, LabelSpace, SegmentInfo

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Cvat(Form):
    """``annotations.xml``; a segment of several polygons is a group."""

    space: LabelSpace
    stuff: bool
    polygons: bool

    def encode(self, image: ExportImage) -> Encoded:
        """The image's element without its number."""
        segments, notes = image.choose(self.stuff)
        if self.polygons:
            fitted = fit_segments(image, segments, "edges", notes)
            lines = [
                _write_polygon(image.category(s).name, path, s.segment_id)
                for s, polygons in fitted
                for path in polygons.paths
            ]
        else:
            lines = [_write_mask(image, segment) for segment in segments]
        height, width = image.prediction.size
        head = f'name={_quote(image.file_name)} width="{width}" height="{height}"'
        return Encoded((head, lines), len(segments), notes)

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """Images as they come."""
        with open_whole(out) as file:
            file.write(self._make_head().encode())
            for number, (head, lines) in enumerate(contents):
                element = [f'  <image id="{number}" {head}>', *lines, "  </image>\n"]
                file.write("\n".join(element).encode())
            file.write(b"</annotations>\n")

    def _make_head(self) -> str:
        labels = "".join(
            f"        <label>\n          <name>{_escape(category.name)}</name>\n"
            f"          <color>#{_hex(category.color)}</color>\n        </label>\n"
            for category in self.space.categories
            if self.stuff or category.isthing
        )
        return (
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
            f"  <meta>\n    <task>\n      <labels>\n{labels}      </labels>\n    </task>\n"
            "  </meta>\n"
        )


def _hex(color: tuple[int, int, int]) -> str:
    return "".join(f"{channel:02x}" for channel in color)


def _escape(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text))


def _quote(text: str) -> str:
    return quoteattr(_NO_XML.sub("\ufffd", text))


def _write_polygon(name: str, path: np.ndarray[Any, Any], group: int) -> str:
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in path.tolist())
    return (
        f'    <polygon label={_quote(name)} source="auto" occluded="0" points="{points}" '
        f'z_order="0" group_id="{group}"/>'
    )


def _write_mask(image: ExportImage, segment: SegmentInfo) -> str:
    left, top, width, height = segment.bbox
    counts = ", ".join(map(str, count_rows(image.crop(segment)).tolist()))
    return (
        f'    <mask label={_quote(image.category(segment).name)} source="auto" occluded="0" '
        f'rle="{counts}" left="{left}" top="{top}" width="{width}" height="{height}" z_order="0"/>'
    )


def count_rows(mask: BoolArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The lengths of runs along a mask's rows, of the background first.

    >>> count_rows(np.array([[True, False], [False, True]])).tolist()
    [0, 1, 2, 1]
    """
    flat = mask.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [len(flat)]))
    lengths = np.diff(edges)
    counts: np.ndarray[Any, np.dtype[np.int64]] = (
        np.concatenate(([0], lengths)) if flat[0] else lengths
    )
    return counts
