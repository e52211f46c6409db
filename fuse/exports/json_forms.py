"""Forms that are one JSON: COCO instances, and tasks of Label Studio with predictions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fuse.exports.image import Encoded, ExportImage, Form
from fuse.exports.polygons import fit_segments
from fuse.io.coco.categories import categories_to_json
from fuse.io.files import open_whole
from fuse.io.remote import is_url
from fuse.ops.segment_rles import encode_brushes, encode_segments
from fuse.types import LabelSpace, SegmentInfo
from fuse.types.label_space import id_to_file
from fuse.version import __version__

PERCENT = 100.0
IN_URLS = re.compile("[%?#&+;]")  # of a name, what means something else in a URL


def list_ids(segments: Iterable[SegmentInfo]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Their segment ids: int32 (N,)."""
    return np.array([segment.segment_id for segment in segments], dtype=np.int32)


@dataclass(frozen=True)
class CocoInstances(Form):
    """``images``, ``annotations`` with compressed RLE, ``categories``; exact.

    Annotations of predicted segments have a score, as in result files.
    """

    space: LabelSpace
    stuff: bool

    def encode(self, image: ExportImage) -> Encoded:
        """The image's entry and its annotations, which have no id yet."""
        segments, notes = image.choose(self.stuff, has_crowds=True)
        codes = encode_segments(image.prediction.panoptic_map, list_ids(segments))
        height, width = image.prediction.size
        annotations = []
        for segment, code in zip(segments, codes, strict=True):
            score = {} if segment.score is None else {"score": float(segment.score)}
            annotations.append(
                {
                    "image_id": image.image_id,
                    "category_id": id_to_file(segment.category_id),
                    "segmentation": {"size": [height, width], "counts": code.decode()},
                    "area": segment.area,
                    "bbox": list(segment.bbox),
                    "iscrowd": int(segment.iscrowd),
                    **score,
                }
            )
        entry = {"id": image.image_id, "file_name": image.file_name}
        entry |= {"height": height, "width": width}
        return Encoded((entry, annotations), len(segments), notes)

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """Annotations as they come, the images' small entries behind them."""
        images, count = [], 0
        with open_whole(out) as file:
            file.write(b'{"annotations":[')
            for entry, annotations in contents:
                images.append(msgspec.json.encode(entry))
                for annotation in annotations:
                    file.write(b",\n" if count else b"\n")
                    count += 1
                    file.write(msgspec.json.encode({"id": count, **annotation}))
            file.write(b'],\n"images":[\n' + b",\n".join(images))
            categories = map(msgspec.json.encode, categories_to_json(self.space))
            file.write(b'],\n"categories":[\n' + b",\n".join(categories) + b"]}\n")


@dataclass(frozen=True)
class LabelStudio(Form):
    """A task per image with a prediction for pre-labelling: brush masks, exact, or polygons.

    ``data.image`` is the image's name behind a prefix, as ``/data/local-files/?d=``.
    """

    space: LabelSpace
    stuff: bool
    polygons: bool
    prefix: str

    def encode(self, image: ExportImage) -> Encoded:
        """A task."""
        segments, notes = image.choose(self.stuff)
        results = []
        if self.polygons:
            fitted = fit_segments(image, segments, "edges", notes)
            for segment, polygons in fitted:
                scale = PERCENT / np.array(image.prediction.size[::-1], dtype=np.float64)
                results += [
                    self._describe(image, segment, "polygonlabels", {"points": path}, part)
                    for part, path in enumerate((p * scale).tolist() for p in polygons.paths)
                ]
        else:
            codes = encode_brushes(image.prediction.panoptic_map, list_ids(segments))
            results = [
                self._describe(
                    image, segment, "brushlabels", {"format": "rle", "rle": code.tolist()}, 0
                )
                for segment, code in zip(segments, codes, strict=True)
            ]
        prediction = {"model_version": f"fuse {__version__}", "result": results}
        name = image.file_name
        if not is_url(name):
            name = IN_URLS.sub(lambda found: f"%{ord(found[0]):02X}", name)
        task = {"data": {"image": self.prefix + name}, "predictions": [prediction]}
        return Encoded(msgspec.json.encode(task), len(segments), notes)

    def _describe(
        self, image: ExportImage, segment: SegmentInfo, kind: str, value: dict[str, Any], part: int
    ) -> dict[str, Any]:
        """One region; the parts of a segment have its id and a letter of their own."""
        height, width = image.prediction.size
        score = {} if segment.score is None else {"score": float(segment.score)}
        return {
            "id": f"s{segment.segment_id}" + (f"-{part}" if part else ""),
            "type": kind,
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            **score,
            "value": {**value, kind: [image.category(segment).name]},
            "meta": {"text": [f"s{segment.segment_id}"]},
        }

    def write(self, out: Path, contents: Iterable[Any]) -> None:
        """A list of tasks."""
        with open_whole(out) as file:
            file.write(b"[")
            for place, task in enumerate(contents):
                file.write((b",\n" if place else b"\n") + task)
            file.write(b"]\n")
