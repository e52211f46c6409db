"""The `calibrate` stage: PQ on the photos held out of the training, by threshold.

Ten photos have panoptic truth. The others have complete objects only: all that is no object is
taken as one stuff segment there, so that false things count, and only their things are scored.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tiny_training.photos import Array, Photo, decode_mask, read_image, read_segment_ids

from fuse.fusion import fuse_by_overlap
from fuse.inference.pipeline import Pipeline
from fuse.metrics.matching import match_segments
from fuse.metrics.pq import PQStats, sum_stats, summarize
from fuse.types import Instances, PanopticPrediction, SegmentInfo, SemanticPrediction
from fuse.types import NamedImage as Picture

FIRST_STUFF_ID = 13
BACKGROUND_ID = 23  # wall: any stuff would do
SCORE_FLOOR = 0.1
SCORE_THRESHOLDS = (0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
OVERLAP_THRESHOLDS = (0.3, 0.5, 0.7)
STUFF_AREAS = (0.0, 0.005, 0.01, 0.0133, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06)  # shares of the photo

Answer = tuple[Photo, PanopticPrediction, SemanticPrediction, Instances]


def print_calibration(photos: list[Photo], root: Path, overrides: list[str]) -> None:
    """Print PQ of things by score and overlap threshold, and PQ of stuff by smallest area."""
    nets = Pipeline.load("tiny", overrides)
    answers = list(predict_held_out(nets, [photo for photo in photos if photo.held_out], root))
    for overlap in OVERLAP_THRESHOLDS:
        for threshold in SCORE_THRESHOLDS:
            things, _ = score_rule(nets, answers, threshold, overlap, 0.0133)
            print(f"score {threshold:.2f} overlap {overlap:.1f}: things {things:.2f}")
    for area in STUFF_AREAS:
        _, stuff = score_rule(nets, answers, 0.5, 0.5, area)
        print(f"stuff area {area:.4f}: stuff {stuff:.2f}")


def measure_pq(photos: list[Photo], root: Path, overrides: list[str]) -> dict[str, float]:
    """Measure and print PQ on images with panoptic truth, by the preset's own thresholds."""
    nets = Pipeline.load("tiny", overrides, device="cpu")
    rule = nets.config.fusion
    answers = list(predict_held_out(nets, photos, root))
    things, stuff = score_rule(
        nets, answers, rule.score_threshold, rule.overlap_threshold, rule.stuff_area
    )
    figures = {"pq_things": things, "pq_stuff": stuff, "pq": (12 * things + 15 * stuff) / 27}
    print(figures, flush=True)
    return figures


def predict_held_out(nets: Pipeline, photos: list[Photo], root: Path) -> Iterator[Answer]:
    """Run the nets over photos and yield their answers beside the truth."""
    for photo in photos:
        image = read_image(root / photo.file_name)
        (raw,) = nets.predict([Picture(image)], score_threshold=SCORE_FLOOR)
        found = nets.to_target(raw)
        yield photo, read_truth(photo, root), found.label(), found.instances


def score_rule(
    nets: Pipeline, answers: list[Answer], score: float, overlap: float, area: float
) -> tuple[float, float]:
    """PQ of things over all photos, and of stuff over those with panoptic truth, in percent."""
    every, panoptic = [], []
    for photo, truth, semantic, instances in answers:
        fused = fuse_by_overlap(
            semantic,
            instances,
            nets.space,
            score_threshold=score,
            overlap_threshold=overlap,
            stuff_area=area,
        )
        stats: PQStats = match_segments(truth, fused)
        every.append(stats)
        if photo.panoptic:
            panoptic.append(stats)
    things = summarize(sum_stats(every), nets.space).things.pq
    stuff = summarize(sum_stats(panoptic), nets.space).stuff.pq
    return 100 * things, 100 * stuff


def read_truth(photo: Photo, root: Path) -> PanopticPrediction:
    """Read a photo's panoptic truth in supercategories, or make it of its objects."""
    if photo.panoptic is None:
        return make_truth(photo)
    truth_map = np.zeros((photo.height, photo.width), np.int32)
    segment_ids = read_segment_ids(root / photo.panoptic)
    numbers: dict[tuple[int, int], int] = {}
    categories: list[tuple[int, bool]] = []
    for segment_id, category_id in photo.segments.items():
        isthing = category_id < FIRST_STUFF_ID
        key = (category_id, segment_id if isthing else 0)  # stuff of one class is one segment
        if key not in numbers:
            categories.append((category_id, segment_id in photo.crowds))
            numbers[key] = len(categories)
        truth_map[segment_ids == segment_id] = numbers[key]
    return describe_map(truth_map, categories)


def make_truth(photo: Photo) -> PanopticPrediction:
    """Make a panoptic truth of a photo's objects, small ones on top of large ones."""
    truth_map = np.ones((photo.height, photo.width), np.int32)
    masks = [decode_mask(labelled).astype(bool) for labelled in photo.objects]
    for index in np.argsort([-mask.sum() for mask in masks], kind="stable"):
        truth_map[masks[index]] = index + 2
    categories = [(BACKGROUND_ID, False)]
    categories += [(labelled.category_id, labelled.confidence == 0) for labelled in photo.objects]
    return describe_map(truth_map, categories)


def describe_map(truth_map: Array, categories: list[tuple[int, bool]]) -> PanopticPrediction:
    """Describe the segments 1, 2, ... of a map by their (category_id, is a crowd)."""
    areas = np.bincount(truth_map.ravel(), minlength=len(categories) + 1)
    segments = tuple(
        SegmentInfo(number, category_id, int(areas[number]), (0, 0, 0, 0), crowd)
        for number, (category_id, crowd) in enumerate(categories, 1)
        if areas[number]
    )
    return PanopticPrediction(truth_map, segments)
