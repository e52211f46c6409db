"""PQ counts by the letter of the paper: sets of pixels, plain loops, quadratic."""

from collections import defaultdict

VOID = 0


def slow_counts(truth, pred, *, official=False):
    """``{category_id: [iou_sum, tp, fp, fn]}`` of two PanopticPredictions.

    Sections 4.1 and 4.2 of Kirillov et al. 2019. `official` adds what COCO's scorer does
    beyond the paper: areas of true segments are those claimed, and of several crowds of a
    category only the one listed last excuses.
    """
    true_pixels, predicted_pixels = pixels_by_id(truth), pixels_by_id(pred)
    listed = {segment.segment_id for segment in truth.segments_info}
    void = {
        pixel
        for segment_id, pixels in true_pixels.items()
        if segment_id == VOID or (segment_id not in listed and not official)
        for pixel in pixels
    }
    counts = defaultdict(lambda: [0.0, 0, 0, 0])
    matched_true, matched_predicted = set(), set()
    for t in truth.segments_info:
        for p in pred.segments_info:
            shared = true_pixels[t.segment_id] & predicted_pixels[p.segment_id]
            if not shared or t.iscrowd or t.category_id != p.category_id:
                continue
            area = t.area if official else len(true_pixels[t.segment_id])
            predicted = predicted_pixels[p.segment_id]
            union = area + len(predicted) - len(shared) - len(predicted & void)
            if len(shared) / union > 0.5:
                counts[t.category_id][0] += len(shared) / union
                counts[t.category_id][1] += 1
                matched_true.add(t.segment_id)
                matched_predicted.add(p.segment_id)

    for t in truth.segments_info:
        exists = official or true_pixels[t.segment_id]
        if exists and not t.iscrowd and t.segment_id not in matched_true:
            counts[t.category_id][3] += 1

    for p in pred.segments_info:
        predicted = predicted_pixels[p.segment_id]
        if not predicted or p.segment_id in matched_predicted:
            continue
        crowds = [t for t in truth.segments_info if t.iscrowd and t.category_id == p.category_id]
        excusing = void.union(*(true_pixels[t.segment_id] for t in crowds[-1 if official else 0 :]))
        if len(predicted & excusing) / len(predicted) <= 0.5:
            counts[p.category_id][2] += 1
    return dict(counts)


def pixels_by_id(prediction):
    """Set of (row, column) by segment_id; an id that is not in the map has an empty set."""
    pixels = defaultdict(set)
    for row, line in enumerate(prediction.panoptic_map.tolist()):
        for column, segment_id in enumerate(line):
            pixels[segment_id].add((row, column))
    return pixels
