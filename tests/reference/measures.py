"""PQ-dagger, PQ by size and over thresholds by the letter: sets of pixels and plain loops."""

from collections import defaultdict

from reference.pq import VOID, pixels_by_id


def list_ious(truth, pred):
    """(true segment, predicted segment, IoU) of one category, without crowds."""
    true_pixels, predicted_pixels = pixels_by_id(truth), pixels_by_id(pred)
    void = find_void(truth, true_pixels)
    for t in truth.segments_info:
        for p in pred.segments_info:
            mine, theirs = true_pixels[t.segment_id], predicted_pixels[p.segment_id]
            if t.iscrowd or t.category_id != p.category_id or not mine & theirs:
                continue
            union = len(mine) + len(theirs) - len(mine & theirs) - len(theirs & void)
            yield t, p, len(mine & theirs) / union


def find_void(truth, true_pixels):
    listed = {s.segment_id for s in truth.segments_info}
    return {
        pixel
        for i, pixels in true_pixels.items()
        if i == VOID or i not in listed
        for pixel in pixels
    }


def slow_threshold_counts(truth, pred, threshold, size=None):
    """``{category_id: [iou_sum, tp, fp, fn]}`` at a threshold, of segments of (low, high) pixels.

    True segments count by their own size, false positives by theirs.
    """
    true_pixels, predicted_pixels = pixels_by_id(truth), pixels_by_id(pred)
    void = find_void(truth, true_pixels)

    def counts_here(pixels):
        return size is None or size[0] <= len(pixels) < size[1]

    counts = defaultdict(lambda: [0.0, 0, 0, 0])
    true_matched, pred_matched = set(), set()
    for t, p, iou in list_ious(truth, pred):
        if iou > threshold:
            true_matched.add(t.segment_id)
            pred_matched.add(p.segment_id)
            if counts_here(true_pixels[t.segment_id]):
                counts[t.category_id][0] += iou
                counts[t.category_id][1] += 1
    for t in truth.segments_info:
        pixels = true_pixels[t.segment_id]
        if pixels and not t.iscrowd and t.segment_id not in true_matched and counts_here(pixels):
            counts[t.category_id][3] += 1
    for p in pred.segments_info:
        pixels = predicted_pixels[p.segment_id]
        if not pixels or p.segment_id in pred_matched or not counts_here(pixels):
            continue
        crowds = [t for t in truth.segments_info if t.iscrowd and t.category_id == p.category_id]
        excusing = void.union(*(true_pixels[t.segment_id] for t in crowds))
        if len(pixels & excusing) / len(pixels) <= 0.5:
            counts[p.category_id][2] += 1
    return dict(counts)


def slow_dagger_counts(truth, pred, stuff_ids):
    """``{category_id: [iou_sum, segments, 0, 0]}`` of stuff, as Porzi et al. 2019 have it."""
    true_pixels = pixels_by_id(truth)
    counts = defaultdict(lambda: [0.0, 0, 0, 0])
    for t in truth.segments_info:
        if t.category_id in stuff_ids and not t.iscrowd and true_pixels[t.segment_id]:
            counts[t.category_id][1] += 1
    for t, _, iou in list_ious(truth, pred):
        if t.category_id in stuff_ids:
            counts[t.category_id][0] += iou
    return dict(counts)
