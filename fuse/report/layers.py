"""One image of a report: its picture and its maps, small enough to be sent along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fuse.errors import ImageReadError
from fuse.io.coco.panoptic import ImageId
from fuse.io.images import read_image
from fuse.io.png import encode_id_map
from fuse.metrics.segments import SegmentMatch, list_matches
from fuse.ops.matching import find_rows
from fuse.report.runs import ShownRun
from fuse.types import Int32Array, LabelSpace, PanopticPrediction
from fuse.viz.render import (
    encode_jpeg,
    instance_regions,
    panoptic_regions,
    sample_map,
    semantic_regions,
    shrink,
)

LONGEST_SIDE = 640  # pixels of an image in a report: sharp on a laptop, 50 images in some 6 MB
JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class ShownSegment:
    """What a report says of a segment.

    Attributes:
        category: its category_id.
        color: as ``#rrggbb``.
        share: of the image's pixels that are its own.
        score: of a thing.
        kind: ``tp``, ``fp``, ``fn``, ``excused``; ``crowd`` is not scored; None without truth.
        iou: of the match; of a segment without one the largest with one of its category.
        partner: number of the matched segment in the layer that this one was held against.
        other: without a match, the category that covers it with IoU > 0.5.
    """

    category: int
    color: str
    share: float
    score: float | None = None
    kind: str | None = None
    iou: float | None = None
    partner: int | None = None
    other: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values, without those that are None."""
        values = {k: v for k, v in asdict(self).items() if v is not None}
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A map of an image.

    Attributes:
        png: a PNG of numbers coded as segment ids are: 0 = void, k = the k-th segment.
        segments: what the numbers stand for, from 1 on.
    """

    png: bytes
    segments: tuple[ShownSegment, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ShownImage:
    """An image with its maps, all of one size.

    Attributes:
        size: (height, width) of the maps and the picture.
        jpeg: the picture; None where it is not to be had.
        note: why not.
        layers: ``semantic``, ``instances``, ``fused``, ``truth``, ``second``: those there are.
    """

    size: tuple[int, int]
    jpeg: bytes | None
    note: str | None
    layers: Mapping[str, Layer]


def show_image(
    image_id: ImageId, run: ShownRun, second: ShownRun | None, path: Path | str | None
) -> ShownImage:
    """Gather what there is of an image.

    Args:
        image_id: of the report.
        run: the run; it has the image.
        second: the other run, if there is one; it may lack the image.
        path: where the image lies, None where that is not known.

    Raises:
        CocoFormatError: a map or a kept prediction is missing or damaged.
    """
    fused = run.dataset.load(image_id)
    scale = min(1.0, LONGEST_SIDE / max(fused.size))
    height, width = (max(1, round(side * scale)) for side in fused.size)
    size = (height, width)
    layers = _net_layers(image_id, run, size)
    if run.scorer is None:
        layers["fused"] = make_panoptic_layer(fused, run.space, size)
    else:
        truth = run.scorer.load(image_id, fused.size)
        layers["fused"], layers["truth"] = make_scored_layers(truth, fused, run.space, size)
    if second is not None and image_id in second.dataset.annotations:
        layers["second"] = _second_layer(image_id, second, size)
    jpeg, note = _read_picture(path, scale, fused.size)
    return ShownImage(size, jpeg, note, layers)


def _read_picture(
    path: Path | str | None, scale: float, size: tuple[int, int]
) -> tuple[bytes | None, str | None]:
    """The image as a small JPEG, or why there is none."""
    if path is None:
        return None, "the image is not where the run found it; name its folder with --images"
    try:
        image = read_image(path)
    except ImageReadError as err:
        return None, str(err)
    if image.shape[:2] != size:
        return None, f"{path} has another size than the map: it is another image"
    return encode_jpeg(shrink(image, scale), JPEG_QUALITY), None


def _net_layers(image_id: ImageId, run: ShownRun, size: tuple[int, int]) -> dict[str, Layer]:
    """What the two nets said, where that was kept."""
    if run.kept is None:
        return {}
    kept = run.kept.load(run.own_ids[image_id])
    label_map = kept.label().label_map
    areas = dict(zip(*_count(label_map), strict=True))
    semantic = {
        category_id: ShownSegment(category_id, _hex(region.color), areas[category_id])
        for category_id, region in semantic_regions(label_map, run.space).items()
    }
    threshold = run.kept.fusion.score_threshold
    instance_map, regions = instance_regions(kept.instances, run.space, score_threshold=threshold)
    areas = dict(zip(*_count(instance_map), strict=True))
    instances = {
        key: ShownSegment(
            int(kept.instances.category_ids[key - 1]),
            _hex(region.color),
            areas.get(key, 0.0),
            score=float(kept.instances.scores[key - 1]),
        )
        for key, region in regions.items()
    }
    return {
        "semantic": make_layer(label_map, semantic, size),
        "instances": make_layer(instance_map, instances, size),
    }


def _count(segment_map: Int32Array) -> tuple[list[int], list[float]]:
    """The values of a map, and the share of its pixels that each has."""
    values, counts = np.unique(segment_map, return_counts=True)
    return values.tolist(), (counts / segment_map.size).tolist()


def _second_layer(image_id: ImageId, second: ShownRun, size: tuple[int, int]) -> Layer:
    fused = second.dataset.load(image_id)
    if second.scorer is None:
        return make_panoptic_layer(fused, second.space, size)
    truth = second.scorer.load(image_id, fused.size)
    return make_scored_layers(truth, fused, second.space, size)[0]


def make_panoptic_layer(
    prediction: PanopticPrediction, space: LabelSpace, size: tuple[int, int]
) -> Layer:
    """A panoptic map in its order, at another size."""
    return make_layer(prediction.panoptic_map, _show_segments(prediction, space), size)


def make_scored_layers(
    truth: PanopticPrediction,
    prediction: PanopticPrediction,
    space: LabelSpace,
    size: tuple[int, int],
) -> tuple[Layer, Layer]:
    """Layers of a prediction and of the truth, each segment with what it counts as."""
    shown_truth, shown = _show_segments(truth, space), _show_segments(prediction, space)
    true_places = {key: place for place, key in enumerate(shown_truth, start=1)}
    places = {key: place for place, key in enumerate(shown, start=1)}
    for match in list_matches(truth, prediction):
        true_id, pred_id = match.truth_id, match.pred_id
        if true_id is not None:
            partner = None if pred_id is None else places[pred_id]
            shown_truth[true_id] = _judge(shown_truth[true_id], match, partner)
        if pred_id is not None:
            partner = None if true_id is None else true_places[true_id]
            shown[pred_id] = _judge(shown[pred_id], match, partner)
    return (
        make_layer(prediction.panoptic_map, shown, size),
        make_layer(truth.panoptic_map, shown_truth, size),
    )


def _judge(segment: ShownSegment, match: SegmentMatch, partner: int | None) -> ShownSegment:
    return replace(
        segment,
        kind=match.kind,
        iou=match.iou,
        partner=partner,
        other=match.other_category_id,
    )


def _show_segments(prediction: PanopticPrediction, space: LabelSpace) -> dict[int, ShownSegment]:
    """What is known of each segment without a truth, by segment_id."""
    regions = panoptic_regions(prediction, space)
    pixels = prediction.panoptic_map.size
    return {
        s.segment_id: ShownSegment(
            s.category_id,
            _hex(regions[s.segment_id].color),
            s.area / pixels,
            score=s.score,
            kind="crowd" if s.iscrowd else None,
        )
        for s in prediction.segments_info
    }


def make_layer(
    segment_map: Int32Array, segments: Mapping[int, ShownSegment], size: tuple[int, int]
) -> Layer:
    """A map at another size, its segments numbered from 1 in the order given.

    Pixels of what is not among the segments become void.
    """
    sampled = sample_map(segment_map, size)
    listed = np.array(list(segments), dtype=np.int32)
    numbers = find_rows(np.ascontiguousarray(sampled).reshape(-1), listed) + 1
    png = encode_id_map(numbers.astype(np.int32).reshape(size))
    return Layer(png, tuple(segments.values()))


def _hex(color: Iterable[int]) -> str:
    """``#rrggbb``.

    >>> _hex((255, 0, 16))
    '#ff0010'
    """
    return "#" + "".join(f"{channel:02x}" for channel in color)
