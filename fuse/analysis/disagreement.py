"""Where the two nets of a run contradict each other: images and regions worth a label.

A pixel belongs to the instance of the highest score whose mask covers it. The nets disagree on it
in one of three ways:

- ``thing-on-stuff``: it belongs to an instance, the semantic net calls it stuff;
- ``thing-on-thing``: it belongs to an instance, the semantic net calls it another thing;
- ``unclaimed``: the semantic net calls it a thing, it belongs to no instance.

Where the semantic net has no label they do not disagree. No ground truth is needed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuse.fusion import choose_classes, fuse_by_overlap, leave_out_stuff
from fuse.inference.prediction import ImagePrediction
from fuse.io.coco.panoptic import ImageId
from fuse.io.csv_files import write_table
from fuse.io.files import StrPath, write_whole
from fuse.ops.contingency import count_pairs
from fuse.ops.rle import encode_crop
from fuse.runs.saved_predictions import SavedPredictions, open_saved_predictions
from fuse.threads import count_steps, map_threads
from fuse.types import BoolArray, LabelSpace, SegmentInfo
from fuse.types.label_space import id_to_file
from fuse.types.short_repr import ShortRepr

Kind = Literal["thing-on-stuff", "thing-on-thing", "unclaimed"]
KINDS: tuple[Kind, ...] = ("thing-on-stuff", "thing-on-thing", "unclaimed")
MIN_REGION = 100  # pixels; smaller regions count, but are not worth a label


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels of an image that the nets disagree on in one way.

    Attributes:
        kind: how.
        area: pixels.
        semantic_category_id: of the semantic net.
        instance_category_id: of the instance that they belong to; None where there is none.
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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Disagreement(ShortRepr):
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
        rows = [
            (
                image.image_id,
                image.file_name,
                image.share,
                *(image.pixels[kind] for kind in KINDS),
                len(image.regions),
            )
            for image in self.images
        ]
        write_table(path, ("image_id", "file_name", "share", *KINDS, "regions"), rows)

    def write_coco(self, path: Path) -> None:
        """The regions as COCO annotations.

        ``category_id`` is the instance's, or the semantic net's where there is no instance.
        """
        annotations: list[dict[str, Any]] = []
        for image in self.images:
            for region in image.regions:
                fields = _region_to_json(region)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image.image_id,
                        "category_id": id_to_file(
                            region.instance_category_id or region.semantic_category_id
                        ),
                        "segmentation": fields.pop("rle"),
                        "iscrowd": 0,
                        **fields,
                    }
                )
        images = [
            {"id": p.image_id, "file_name": p.file_name, "height": p.size[0], "width": p.size[1]}
            for p in self.images
        ]
        categories = [
            {"id": c.file_id, "name": c.name, "supercategory": c.supercategory}
            for c in self.space.categories
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        write_whole(path, (json.dumps(content, allow_nan=False) + "\n").encode())


def _region_to_json(region: Region) -> dict[str, Any]:
    """As plain values, category ids as in files."""
    instance_id = region.instance_category_id
    return asdict(region) | {
        "semantic_category_id": id_to_file(region.semantic_category_id),
        "instance_category_id": None if instance_id is None else id_to_file(instance_id),
    }


def disagree(
    predictions: StrPath,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Disagreement:
    """Find where the two nets of a run contradict each other.

    Args:
        predictions: output folder of a run with saved predictions.
        workers: threads, by default one per processor.
        on_progress: called with the images done and the images in all.

    Raises:
        FuseError: see `open_saved_predictions`.
    """
    run = open_saved_predictions(predictions)
    image_ids = list(run.dataset.images)
    step = count_steps(on_progress, len(image_ids))
    with map_threads(
        lambda image_id: _measure_image(run, image_id), image_ids, workers, on_result=step
    ) as measured:
        images = sorted(measured, key=lambda image: -image.share)
    return Disagreement(run.space, tuple(images))


def _measure_image(run: SavedPredictions, image_id: ImageId) -> ImageDisagreement:
    prediction = run.load(image_id)
    labels = prediction.label()
    instances = choose_classes(labels, prediction.instances, run.space, run.fusion, run.choices)
    threshold = run.fusion.score_threshold
    regions = find_regions(ImagePrediction(labels, instances), run.space, score_threshold=threshold)
    pixels = Counter(dict.fromkeys(KINDS, 0))
    for region in regions:
        pixels[region.kind] += region.area
    return ImageDisagreement(
        image_id=image_id,
        file_name=run.dataset.image_name(image_id),
        size=prediction.size,
        pixels=dict(pixels),
        regions=tuple(region for region in regions if region.area >= MIN_REGION),
    )


def find_regions(
    prediction: ImagePrediction, space: LabelSpace, *, score_threshold: float
) -> list[Region]:
    """What the nets disagree on in an image, the largest region first.

    Args:
        prediction: of the image, the instances' classes chosen (`choose_classes`).
        space: the label space.
        score_threshold: instances that score less count for nothing.
    """
    labels = prediction.label()
    # The paper's rule without its limits: every instance, and no stuff.
    painted = fuse_by_overlap(
        labels,
        leave_out_stuff(prediction.instances, space),
        space,
        score_threshold=score_threshold,
        overlap_threshold=1.0,
        stuff_area=labels.label_map.size + 1,
    )
    segments = {segment.segment_id: segment for segment in painted.segments_info}
    things = frozenset(space.thing_ids)
    found = []
    for segment_id, label, area in zip(
        *(c.tolist() for c in count_pairs(painted.panoptic_map, labels.label_map)), strict=True
    ):
        segment = segments.get(segment_id)
        kind = _compare_classes(segment.category_id if segment else None, label, things)
        if kind:
            mask = (painted.panoptic_map == segment_id) & (labels.label_map == label)
            found.append(_make_region(kind, mask, area, label, segment))
    return sorted(found, key=lambda region: -region.area)


def _compare_classes(category_id: int | None, label: int, things: frozenset[int]) -> Kind | None:
    """How an instance (None: there is none) and a label disagree, None where they do not."""
    if label in (0, category_id):
        return None
    if category_id is None:
        return "unclaimed" if label in things else None
    return "thing-on-thing" if label in things else "thing-on-stuff"


def _make_region(
    kind: Kind, mask: BoolArray, area: int, label: int, segment: SegmentInfo | None
) -> Region:
    """The pixels (H, W) of one instance and one label."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    crop = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    height, width = mask.shape
    rle = encode_crop(crop, (top, left), (height, width))
    return Region(
        kind=kind,
        area=area,
        semantic_category_id=label,
        instance_category_id=segment.category_id if segment else None,
        score=segment.score if segment else None,
        bbox=(left, top, crop.shape[1], crop.shape[0]),
        rle={"size": rle["size"], "counts": rle["counts"].decode("ascii")},
    )
