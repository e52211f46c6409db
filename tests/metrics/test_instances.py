import contextlib
import io

import numpy as np
import pytest
from factories import TOY_SPACE, full_masks, panoptic_truth
from panoptic_maps import SPACE, panoptic
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fuse.metrics.instances import mask_ap

SIZE = (150, 140)  # room for small, medium and large instances


def random_photo(rng):
    """Ground truth of large blocks, and detections: its things, shifted, and other shapes."""
    truth = panoptic_truth(rng, SIZE, segments=12, block=int(rng.choice([12, 40, 130])))
    masks = [
        (np.roll(truth.panoptic_map == s.segment_id, rng.integers(-3, 4, 2), (0, 1)), s.category_id)
        for s in truth.segments_info
        if s.category_id in TOY_SPACE.thing_ids
    ]
    masks += [(mask, rng.choice(TOY_SPACE.thing_ids)) for mask in full_masks(rng, SIZE, 6)]
    detections = [
        {
            "category_id": int(category_id),
            "score": float(rng.integers(1, 20) / 20),  # ties are common
            "segmentation": coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)),
        }
        for mask, category_id in masks
    ]
    return truth, detections


def official_stats(photos):
    """The figures of pycocotools, and its AP per category."""
    images, annotations, results = [], [], []
    for image_id, (truth, detections) in enumerate(photos, start=1):
        images.append({"id": image_id, "height": SIZE[0], "width": SIZE[1]})
        for segment in truth.segments_info:
            if not TOY_SPACE.by_id[segment.category_id].isthing:
                continue
            mask = np.asfortranarray(truth.panoptic_map == segment.segment_id, dtype=np.uint8)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": segment.category_id,
                    "segmentation": coco_mask.encode(mask),
                    "area": int(mask.sum()),
                    "iscrowd": int(segment.iscrowd),
                }
            )
        results += [{**detection, "image_id": image_id} for detection in detections]
    coco = COCO()
    coco.dataset = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": category_id} for category_id in TOY_SPACE.thing_ids],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        scorer = COCOeval(coco, coco.loadRes(results), "segm")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    precision = scorer.eval["precision"][:, :, :, 0, -1]
    return scorer.stats[:6], [precision[:, :, k].mean() for k in range(precision.shape[2])]


@pytest.mark.parametrize("seed", range(8))
def test_equals_pycocotools(seed):
    rng = np.random.default_rng(seed)
    photos = [random_photo(rng) for _ in range(4)]
    ap = mask_ap(photos, TOY_SPACE)
    expected, expected_per_category = official_stats(photos)
    ours = [ap.ap, ap.ap50, ap.ap75, ap.ap_small, ap.ap_medium, ap.ap_large]
    np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), expected, atol=1e-12)
    per_category = [ap.per_category[c] for c in TOY_SPACE.thing_ids]
    np.testing.assert_allclose(np.nan_to_num(per_category, nan=-1), expected_per_category)


def test_the_size_of_a_detection_is_its_masks():
    truth, detections = random_photo(np.random.default_rng(0))
    boxed = [{**detection, "bbox": [0, 0, 1, 1]} for detection in detections]
    assert repr(mask_ap([(truth, boxed)], TOY_SPACE)) == repr(
        mask_ap([(truth, detections)], TOY_SPACE)
    )


def test_perfect_detections():
    truth = panoptic(np.kron([[1, 2], [3, 0]], np.ones((40, 40))), {1: 1, 2: 1, 3: 7})
    detections = [
        {
            "category_id": 1,
            "score": 1.0,
            "segmentation": coco_mask.encode(np.asfortranarray(truth.panoptic_map == i).view("u1")),
        }
        for i in (1, 2)
    ]
    ap = mask_ap([(truth, detections)], SPACE)
    assert (ap.ap, ap.ap_medium, ap.per_category[1]) == pytest.approx((1, 1, 1))
    assert np.isnan([ap.ap_small, ap.ap_large, ap.per_category[2]]).all()
    assert 7 not in ap.per_category
    assert ap.to_json()["ap_small"] is None


@pytest.mark.parametrize("truth", [panoptic([1, 1], {1: 1}), panoptic([0, 0], {})])
def test_no_detections(truth):
    ap = mask_ap([(truth, [])], SPACE)
    assert ap.ap == 0 if truth.segments_info else np.isnan(ap.ap)


def test_no_photos():
    assert np.isnan(mask_ap([], SPACE).ap)
