"""Forms with a text file per image: labelme's JSON, YOLO's segments."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from fuse.errors import DataError
from fuse.exports.image import Encoded, ExportImage, Form
from fuse.exports.polygons import fit_segments
from fuse.io.files import make_parent
from fuse.io.png import encode_labels
from fuse.types import LabelSpace, SegmentInfo

LABELME_VERSION = "5.5.0"  # whose shapes these are: polygons and masks


def write_files(out: Path, contents: Iterable[Sequence[tuple[str, bytes]]]) -> None:
    """Write the files of all images below a folder, by relative name.

    Raises:
        DataError: two images would have one file.
    """
    for files in contents:
        for name, content in files:
            try:
                with make_parent(out, name).open("xb") as file:
                    file.write(content)
            except FileExistsError as err:
                raise DataError(
                    f"{name} would be of two images; rename one, or export each folder on its own"
                ) from err


@dataclass(frozen=True)
class Labelme(Form):
    """``<image>.json`` to lie beside the image; polygons of a segment, or exact masks."""

    space: LabelSpace
    stuff: bool
    polygons: bool

    def encode(self, image: ExportImage) -> Encoded:
        """One JSON."""
        segments, notes = image.choose(self.stuff)
        if self.polygons:
            fitted = fit_segments(image, segments, "centres", notes)
            shapes = [
                self._describe(image, s, "polygon", path.tolist())
                for s, polygons in fitted
                for path in polygons.paths
            ]
        else:
            shapes = [self._describe_mask(image, segment) for segment in segments]
        height, width = image.prediction.size
        content: dict[str, Any] = {
            "version": LABELME_VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": PurePosixPath(image.file_name).name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        encoded = msgspec.json.format(msgspec.json.encode(content), indent=2)
        return Encoded([(f"{image.stem}.json", encoded)], len(segments), notes)

    def _describe(
        self, image: ExportImage, segment: SegmentInfo, kind: str, points: list[list[float]]
    ) -> dict[str, Any]:
        score = "" if segment.score is None else f"score {segment.score:.4f}"
        return {
            "label": image.category(segment).name,
            "points": points,
            "group_id": segment.segment_id,
            "description": score,
            "shape_type": kind,
            "flags": {},
            "mask": None,
        }

    def _describe_mask(self, image: ExportImage, segment: SegmentInfo) -> dict[str, Any]:
        """A mask of its own size; its corners are the first and the last pixel."""
        x, y, width, height = segment.bbox
        corners = [[float(x), float(y)], [float(x + width - 1), float(y + height - 1)]]
        shape = self._describe(image, segment, "mask", corners)
        pixels = image.crop(segment).astype(np.int32) * 255
        return shape | {"mask": base64.b64encode(encode_labels(pixels)).decode()}

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """A file per image."""
        write_files(out, contents)


@dataclass(frozen=True)
class YoloSeg(Form):
    """``labels/<image>.txt``: class and a polygon in shares of the image; ``data.yaml``.

    A segment is one path around all its parts, as a line is one object.
    """

    space: LabelSpace
    stuff: bool

    def encode(self, image: ExportImage) -> Encoded:
        """The lines of an image."""
        segments, notes = image.choose(self.stuff)
        fitted = fit_segments(image, segments, "one path", notes)
        numbers = {category_id: n for n, category_id in enumerate(self._list_ids())}
        scale = np.array(image.prediction.size[::-1], dtype=np.float64)
        lines = [
            " ".join([str(numbers[s.category_id]), *_format(polygons.paths[0] / scale)])
            for s, polygons in fitted
        ]
        text = "".join(f"{line}\n" for line in lines)
        return Encoded([(f"labels/{image.stem}.txt", text.encode())], len(segments), notes)

    def _list_ids(self) -> list[int]:
        categories = self.space.categories
        return [c.category_id for c in categories if self.stuff or c.isthing]

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """A file per image, and the names of the classes."""
        write_files(out, contents)
        names = [self.space.by_id[i].name for i in self._list_ids()]
        quoted = "".join(
            f"  {n}: {msgspec.json.encode(name).decode()}\n" for n, name in enumerate(names)
        )
        head = "path: .\ntrain: images\nval: images\nnames:\n"
        (out / "data.yaml").write_text(head + quoted, encoding="utf-8")


def _format(path: np.ndarray[Any, Any]) -> list[str]:
    """Numbers of a path in 0..1, x and y in turn."""
    return [f"{number:.6f}" for number in path.reshape(-1).tolist()]
