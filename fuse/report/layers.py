"""One image of a report: its picture and its maps, small enough to be sent along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fuse.analysis.opened_run import OpenedRun
from fuse.errors import ImageReadError
from fuse.io.coco.panoptic import ImageId
from fuse.io.images import decode_image, read_content
from fuse.io.png import encode_id_map
from fuse.metrics.matching import SegmentMatch, list_matches
from fuse.ops.matching import find_rows
from fuse.report.runs import hex_color
from fuse.types import Int32Array, LabelSpace, PanopticPrediction
from fuse.types.label_space import id_to_file
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
        values |= {k: id_to_file(values[k]) for k in ("category", "other") if k in values}
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
        layers: ``semantic``, ``instances``, ``fused``, ``truth``, and ``run-1``, ``run-2``, ...
            of the other runs: those there are.
    """

    size: tuple[int, int]
    jpeg: bytes | None
    note: str | None
    layers: Mapping[str, Layer]


def show_image(image_id: ImageId, runs: Sequence[OpenedRun], path: Path | str | None) -> ShownImage:
    """Gather what there is of an image.

    Args:
        image_id: of the report.
        runs: the run, which has the image, and others.
        path: where the image lies, None where that is not known.

    Raises:
        CocoFormatError: a map or a saved prediction is missing or damaged.
    """
    fused = runs[0].dataset.load(image_id)
    scale = min(1.0, LONGEST_SIDE / max(fused.size))
    height, width = (max(1, round(side * scale)) for side in fused.size)
    size = (height, width)
    layers = _net_layers(image_id, runs[0], size)
    layers |= zip(("fused", "truth"), _fused_layers(image_id, fused, runs[0], size), strict=False)
    for place, run in enumerate(runs[1:], start=1):
        if image_id in run.dataset.annotations:
            other = run.dataset.load(image_id)
            layers[f"run-{place}"] = _fused_layers(image_id, other, run, size)[0]
    jpeg, note = _read_picture(path, scale, fused.size, as_stored=runs[0].as_stored)
    return ShownImage(size, jpeg, note, layers)


def _read_picture(
    path: Path | str | None, scale: float, size: tuple[int, int], *, as_stored: bool
) -> tuple[bytes | None, str | None]:
    """The image as a small JPEG, or why there is none."""
    if path is None:
        return None, "the image is not where the run found it; name its folder with --images"
    try:
        image = decode_image(read_content(path), path, as_stored=as_stored).pixels
    except ImageReadError as err:
        return None, str(err)
    if image.shape[:2] != size:
        return None, f"{path} has another size than the map: it is another image"
    return encode_jpeg(shrink(image, scale), JPEG_QUALITY), None


def _net_layers(image_id: ImageId, run: OpenedRun, size: tuple[int, int]) -> dict[str, Layer]:
    """The predictions of the two nets, where they were saved."""
    if run.saved is None:
        return {}
    prediction = run.saved.load(run.own_ids[image_id])
    label_map, instances = prediction.label().label_map, prediction.instances
    shares = _measure_shares(label_map)
    categories = {
        category_id: ShownSegment(category_id, hex_color(region.color), shares[category_id])
        for category_id, region in semantic_regions(label_map, run.space).items()
    }
    threshold = run.saved.fusion.score_threshold
    instance_map, regions = instance_regions(instances, run.space, score_threshold=threshold)
    shares = _measure_shares(instance_map)
    objects = {
        key: ShownSegment(
            int(instances.category_ids[key - 1]),
            hex_color(region.color),
            shares.get(key, 0.0),
            score=float(instances.scores[key - 1]),
        )
        for key, region in regions.items()
    }
    return {
        "semantic": make_layer(label_map, categories, size),
        "instances": make_layer(instance_map, objects, size),
    }


def _measure_shares(segment_map: Int32Array) -> dict[int, float]:
    """The share of a map's pixels that each of its values has."""
    values, counts = np.unique(segment_map, return_counts=True)
    return dict(zip(values.tolist(), (counts / segment_map.size).tolist(), strict=True))


def _fused_layers(
    image_id: ImageId, fused: PanopticPrediction, run: OpenedRun, size: tuple[int, int]
) -> Sequence[Layer]:
    """A run's map and, where there is ground truth, the truth in the run's label space."""
    if run.scorer is None:
        return [make_panoptic_layer(fused, run.space, size)]
    truth = run.scorer.load(image_id, fused.size)
    return make_scored_layers(truth, fused, run.space, size)


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
            hex_color(regions[s.segment_id].color),
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
