import numpy as np
import pytest
from factories import TOY_SPACE
from instance_images import detect, official_stats, random_image
from panoptic_maps import SPACE, panoptic
from pycocotools import mask as coco_mask

from fuse.metrics.instances import describe_detections, mask_ap


@pytest.mark.parametrize("seed", range(8))
def test_equals_pycocotools(seed):
    rng = np.random.default_rng(seed)
    images = [random_image(rng) for _ in range(4)]
    ap = mask_ap(images, TOY_SPACE)
    expected, expected_per_category = official_stats(images)
    ours = [ap.ap, ap.ap50, ap.ap75, ap.ap_small, ap.ap_medium, ap.ap_large]
    np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), expected, atol=1e-12)
    per_category = [ap.per_category[c] for c in TOY_SPACE.thing_ids]
    np.testing.assert_allclose(np.nan_to_num(per_category, nan=-1), expected_per_category)


def test_perfect_detections():
    truth = panoptic(np.kron([[1, 2], [3, 0]], np.ones((40, 40))), {1: 1, 2: 1, 3: 7})
    masks = [truth.panoptic_map == segment_id for segment_id in (1, 2)]
    detections = detect(masks, [1, 1], [1, 1], truth.size)
    ap = mask_ap([(truth, detections)], SPACE)
    assert (ap.ap, ap.ap_medium, ap.per_category[1]) == pytest.approx((1, 1, 1))
    assert np.isnan([ap.ap_small, ap.ap_large, ap.per_category[2]]).all()
    assert 7 not in ap.per_category
    assert ap.to_json()["ap_small"] is None


@pytest.mark.parametrize("truth", [panoptic([1, 1], {1: 1}), panoptic([0, 0], {})])
def test_no_detections(truth):
    ap = mask_ap([(truth, detect([], [], [], truth.size))], SPACE)
    assert ap.ap == 0 if truth.segments_info else np.isnan(ap.ap)


def test_no_images():
    assert np.isnan(mask_ap([], SPACE).ap)


def test_only_things_are_described_and_numbered_through():
    truth = panoptic([[1, 1, 2, 3]], {1: 1, 2: 7, 3: 2}, crowds={3})
    found = detect([np.array([[True, True, False, False]])], [1], [0.5], truth.size)
    described = describe_detections([(truth, found), (truth, found)], SPACE)
    kept = [
        (a["id"], a["image_id"], a["category_id"], a["area"], a["iscrowd"])
        for a in described.truth["annotations"]
    ]
    assert kept == [(1, 1, 1, 2, 0), (2, 1, 2, 1, 1), (3, 2, 1, 2, 0), (4, 2, 2, 1, 1)]
    masks = [coco_mask.decode(a["segmentation"]) for a in described.truth["annotations"][:2]]
    assert [mask.tolist() for mask in masks] == [[[1, 1, 0, 0]], [[0, 0, 0, 1]]]
    assert described.truth["images"] == [{"id": i, "height": 1, "width": 4} for i in (1, 2)]
    assert [c["id"] for c in described.truth["categories"]] == [1, 2]
    assert [(d["image_id"], d["category_id"]) for d in described.detections] == [(1, 1), (2, 1)]
