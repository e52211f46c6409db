"""Boundary PQ by the letter of Cheng et al. 2021: pixel sets, distances to every pixel."""

from collections import defaultdict
from math import hypot

from reference.pq import VOID, pixels_by_id


def band_of(pixels, width):
    """Those of a set of pixels that are at most so far from a pixel that is not in it."""
    reach = range(-width, width + 1)
    return {
        (y, x)
        for y, x in pixels
        if any((y + dy, x + dx) not in pixels for dy in reach for dx in reach)
    }


def slow_boundary_counts(truth, pred, ratio=0.02):
    """``{category_id: [iou_sum, tp, fp, fn]}`` with IoU = min(mask IoU, boundary IoU)."""
    width = max(1, round(ratio * hypot(*truth.panoptic_map.shape)))
    true_pixels, predicted_pixels = pixels_by_id(truth), pixels_by_id(pred)
    listed = {s.segment_id for s in truth.segments_info}
    void = {
        pixel
        for i, pixels in true_pixels.items()
        if i == VOID or i not in listed
        for pixel in pixels
    }
    counts = defaultdict(lambda: [0.0, 0, 0, 0])
    matched_true, matched_predicted = set(), set()
    for t in truth.segments_info:
        for p in pred.segments_info:
            if t.iscrowd or t.category_id != p.category_id:
                continue
            mine, theirs = true_pixels[t.segment_id], predicted_pixels[p.segment_id]
            iou = 1.0
            for a, b in ((mine, theirs), (band_of(mine, width), band_of(theirs, width))):
                union = len(a) + len(b) - len(a & b) - len(b & void)
                iou = min(iou, len(a & b) / union if union else 0)
            if iou > 0.5:
                counts[t.category_id][0] += iou
                counts[t.category_id][1] += 1
                matched_true.add(t.segment_id)
                matched_predicted.add(p.segment_id)
    for t in truth.segments_info:
        if true_pixels[t.segment_id] and not t.iscrowd and t.segment_id not in matched_true:
            counts[t.category_id][3] += 1
    for p in pred.segments_info:
        predicted = predicted_pixels[p.segment_id]
        if not predicted or p.segment_id in matched_predicted:
            continue
        crowds = [t for t in truth.segments_info if t.iscrowd and t.category_id == p.category_id]
        excusing = void.union(*(true_pixels[t.segment_id] for t in crowds))
        if len(predicted & excusing) / len(predicted) <= 0.5:
            counts[p.category_id][2] += 1
    return dict(counts)
