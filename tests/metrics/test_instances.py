"""Mask AP against pycocotools: of all images, and of any choice of them one by one."""

import numpy as np
import pytest
from factories import TOY_SPACE, rle_masks
from instance_images import SIZE, detect, official_stats, random_image
from panoptic_maps import SPACE, panoptic

from fuse.metrics.bootstrap import bootstrap_ap, draw_weights
from fuse.metrics.instances import mask_ap, match_detections, mean_ap, weighted_ap
from fuse.types import Instances


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


def test_equals_faster_coco_eval():
    library = pytest.importorskip("faster_coco_eval")
    rng = np.random.default_rng(9)
    images = [random_image(rng) for _ in range(4)]
    ap = mask_ap(images, TOY_SPACE)
    expected, _ = official_stats(images, library.COCO, library.COCOeval_faster)
    ours = [ap.ap, ap.ap50, ap.ap75, ap.ap_small, ap.ap_medium, ap.ap_large]
    np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), expected, atol=1e-12)


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


# -- any choice of images ------------------------------------------------------------------


def without_ties(rng, images):
    """The same detections with other scores, all different."""
    return [
        (truth, Instances(f.boxes, rng.random(len(f)), f.category_ids, f.masks, f.size))
        for truth, f in images
    ]


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(8)
    return without_ties(rng, [random_image(rng) for _ in range(8)])


def official_ap(images):
    """AP per category, NaN where pycocotools has none."""
    _, per_category = official_stats(images)
    return np.where(np.array(per_category) < 0, np.nan, per_category)


def test_all_images_once(images):
    detections = match_detections(images, TOY_SPACE)
    (ap,) = weighted_ap(detections, np.ones((1, len(images)), np.float32))
    np.testing.assert_allclose(ap, official_ap(images), atol=1e-12)
    assert 0.05 < np.nanmean(ap) < 0.95
    assert mean_ap(detections, TOY_SPACE.thing_ids) == pytest.approx(np.nanmean(ap))


def test_images_that_stand_several_times_or_not_at_all(images):
    (weights,) = draw_weights(len(images), resamples=12, seed=3)
    assert weights.min() == 0
    assert weights.max() > 1
    found = weighted_ap(match_detections(images, TOY_SPACE), weights)
    for ap, of_image in zip(found, weights.astype(int), strict=True):
        drawn = [image for image, n in zip(images, of_image, strict=True) for _ in range(n)]
        np.testing.assert_allclose(ap, official_ap(drawn), atol=1e-12)


def test_without_detections_or_things(images):
    nothing = Instances(
        np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.int32), rle_masks([]), SIZE
    )
    detections = match_detections([(truth, nothing) for truth, _ in images], TOY_SPACE)
    assert mean_ap(detections, TOY_SPACE.thing_ids) == 0
    assert np.isnan(mean_ap(detections, []))


def test_draws_are_those_of_pq(images):
    detections = match_detections(images, TOY_SPACE)
    things = TOY_SPACE.thing_ids
    drawn = bootstrap_ap(detections, things, resamples=300, seed=5)
    weights = np.concatenate(list(draw_weights(len(images), resamples=300, seed=5)))
    expected = np.nanmean(weighted_ap(detections, weights), axis=1)
    np.testing.assert_allclose(drawn, expected)
    assert drawn.min() < mean_ap(detections, things) < drawn.max()


def test_a_detection_that_covers_two_alike_takes_the_one_that_counts():
    """Half of it lies on a true instance, half on a crowd, which comes later: both at IoU 0.5."""
    truth = panoptic(np.kron([[1, 2, 0, 0]], np.ones((40, 40))), {1: 1, 2: 1}, crowds={2})
    both = detect([np.isin(truth.panoptic_map, (1, 2))], [1], [1], truth.size)
    detections = match_detections([(truth, both)], SPACE)
    assert detections.outcome[0, 0].tolist() == [1] + [0] * 9
