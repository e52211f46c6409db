"""Where the two nets of a run contradict each other: images and regions worth a label.

An instance claims its pixels for its category, of several the one that scores highest. The nets
disagree on a pixel in one of three ways:

- ``thing-on-stuff``: an instance claims it, the semantic net calls it stuff;
- ``thing-on-thing``: an instance claims it, the semantic net calls it another thing;
- ``unclaimed``: the semantic net calls it a thing, no instance claims it.

Where the semantic net says nothing, nobody disagrees. No ground truth is needed.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuse.fusion import fuse_by_overlap
from fuse.inference.prediction import ImagePrediction, choose_classes
from fuse.io.coco.panoptic import ImageId, ImageRecord
from fuse.io.files import take_text, write_whole
from fuse.ops.contingency import count_pairs
from fuse.ops.rle import encode_crop
from fuse.runs.saved_predictions import SavedPredictions, open_saved_predictions
from fuse.threads import map_threads
from fuse.types import Int32Array, LabelSpace, PanopticPrediction

Kind = Literal["thing-on-stuff", "thing-on-thing", "unclaimed"]
KINDS: tuple[Kind, ...] = ("thing-on-stuff", "thing-on-thing", "unclaimed")
MIN_REGION = 100  # pixels; smaller regions count, but are not worth a label


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels of an image that the nets disagree on in one way.

    Attributes:
        kind: how.
        area: pixels.
        semantic_category_id: what the semantic net calls them.
        instance_category_id: what the instance that claims them is; None where none does.
        score: of that instance.
        bbox: COCO xywh around them.
        rle: COCO's compressed RLE of them, counts as text.
    """

    kind: Kind
    area: int
    semantic_category_id: int
    instance_category_id: int | None
    score: float | None
    bbox: tuple[int, int, int, int]
    rle: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImageDisagreement:
    """How much the nets disagree on an image.

    Attributes:
        image_id: of the run.
        file_name: of the image.
        size: (height, width).
        pixels: by kind.
        regions: of at least MIN_REGION pixels, the largest first.
    """

    image_id: ImageId
    file_name: str
    size: tuple[int, int]
    pixels: dict[Kind, int]
    regions: tuple[Region, ...]

    @property
    def share(self) -> float:
        """Pixels that the nets disagree on, as a share of the image."""
        return sum(self.pixels.values()) / (self.size[0] * self.size[1])

    def to_json(self) -> dict[str, Any]:
        """As plain values, without the masks."""
        return {
            "image_id": self.image_id,
            "file_name": self.file_name,
            "share": self.share,
            "pixels": dict(self.pixels),
            "regions": len(self.regions),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Disagreement:
    """How much two nets disagree on the images of a run.

    Attributes:
        space: the label space.
        images: those with the largest share first.
    """

    space: LabelSpace
    images: tuple[ImageDisagreement, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "label_space": self.space.name,
            "photos": [image.to_json() for image in self.images],
        }

    def write_csv(self, path: Path) -> None:
        """A row per image: share of the image, pixels of each kind, number of regions."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("image_id", "file_name", "share", *KINDS, "regions"))
        for image in self.images:
            pixels = (image.pixels[kind] for kind in KINDS)
            name, count = image.file_name, len(image.regions)
            writer.writerow((image.image_id, name, image.share, *pixels, count))
        write_whole(path, text.getvalue().encode())

    def write_coco(self, path: Path) -> None:
        """The regions as COCO annotations.

        ``category_id`` is the instance's, or the semantic net's where no instance claims the
        region; ``instance_category_id`` and ``semantic_category_id`` are what each net says.
        """
        annotations: list[dict[str, Any]] = []
        for image in self.images:
            for region in image.regions:
                claims = asdict(region)
                category_id = region.instance_category_id or region.semantic_category_id
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image.image_id,
                        "category_id": category_id,
                        "segmentation": claims.pop("rle"),
                        "iscrowd": 0,
                        **claims,
                    }
                )
        images = [
            {"id": p.image_id, "file_name": p.file_name, "height": p.size[0], "width": p.size[1]}
            for p in self.images
        ]
        categories = [
            {"id": c.category_id, "name": c.name, "supercategory": c.supercategory}
            for c in self.space.categories
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        write_whole(path, (json.dumps(content, allow_nan=False) + "\n").encode())


@take_text
def disagree(
    predictions: Path,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Disagreement:
    """Find where the two nets of a run contradict each other.

    Args:
        predictions: output folder of a run with kept predictions.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        FuseError: see `open_saved_predictions`.
    """
    run = open_saved_predictions(predictions)
    listed = run.dataset.images.values()
    found: list[ImageDisagreement] = []
    with map_threads(lambda image: _look_at(run, image), listed, workers) as looked:
        for disagreement in looked:
            found.append(disagreement)
            if on_progress:
                on_progress(len(found), len(listed))
    return Disagreement(run.space, tuple(sorted(found, key=lambda one: -one.share)))


def _look_at(run: SavedPredictions, image: ImageRecord) -> ImageDisagreement:
    kept = run.load(image.image_id)
    labels = kept.label()
    instances = choose_classes(labels, kept.instances, run.space, run.fusion, run.choices)
    regions = find_regions(
        ImagePrediction(labels, instances),
        run.space,
        score_threshold=run.fusion.score_threshold,
    )
    pixels = Counter(dict.fromkeys(KINDS, 0))
    for region in regions:
        pixels[region.kind] += region.area
    return ImageDisagreement(
        image_id=image.image_id,
        file_name=image.file_name,
        size=kept.instances.size,
        pixels=dict(pixels),
        regions=tuple(region for region in regions if region.area >= MIN_REGION),
    )


def find_regions(
    kept: ImagePrediction, space: LabelSpace, *, score_threshold: float
) -> list[Region]:
    """What the nets disagree on in an image, the largest region first.

    Args:
        kept: what they said, the instances' classes chosen (`choose_classes`).
        space: the label space.
        score_threshold: instances that score less claim nothing.
    """
    labels = kept.label()
    # The paper's rule without its limits: every instance, and no stuff.
    claims = fuse_by_overlap(
        labels,
        kept.instances,
        space,
        score_threshold=score_threshold,
        overlap_threshold=1.0,
        stuff_area=labels.label_map.size + 1,
    )
    segments = {segment.segment_id: segment for segment in claims.segments_info}
    things = frozenset(space.thing_ids)
    regions = []
    for segment_id, label, area in zip(
        *(c.tolist() for c in count_pairs(claims.panoptic_map, labels.label_map)), strict=True
    ):
        segment = segments.get(segment_id)
        kind = _tell_kind(segment.category_id if segment else None, label, things)
        if kind:
            regions.append((area, kind, label, segment_id))
    regions.sort(key=lambda region: -region[0])
    return [
        _make_region(claims, labels.label_map, kind, label, segment_id)
        for _, kind, label, segment_id in regions
    ]


def _tell_kind(claimed: int | None, label: int, things: frozenset[int]) -> Kind | None:
    """How a claim and a label disagree, None where they do not."""
    if label == 0 or label == claimed:
        return None
    if claimed is None:
        return "unclaimed" if label in things else None
    return "thing-on-thing" if label in things else "thing-on-stuff"


def _make_region(
    claims: PanopticPrediction, label_map: Int32Array, kind: Kind, label: int, segment_id: int
) -> Region:
    """The pixels of one claim and one label."""
    mask = (claims.panoptic_map == segment_id) & (label_map == label)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    crop = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    rle = encode_crop(crop, (top, left), claims.size)
    segment = next((s for s in claims.segments_info if s.segment_id == segment_id), None)
    return Region(
        kind=kind,
        area=int(np.count_nonzero(crop)),
        semantic_category_id=label,
        instance_category_id=segment.category_id if segment else None,
        score=segment.score if segment else None,
        bbox=(left, top, crop.shape[1], crop.shape[0]),
        rle={"size": rle["size"], "counts": rle["counts"].decode("ascii")},
    )
