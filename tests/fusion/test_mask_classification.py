"""Panoptic maps of masks that compete, stuff among them."""

import numpy as np
import pytest

from fuse.errors import ModelOutputError
from fuse.fusion import FusionConfig, change_fusion
from fuse.fusion.fuse_image import fuse_image
from fuse.fusion.mask_classification import fuse_by_mask_classification
from fuse.labels import find_label_map, load_space, map_instances
from fuse.models.output_checks import predict_instances
from fuse.types import BoxMasks, Instances, NamedImage, SemanticPrediction

SPACE = load_space("coco_super")
SKY, GROUND = SPACE.by_name["sky"].category_id, SPACE.by_name["ground"].category_id
PERSON = SPACE.by_name["person"].category_id
SIZE = (40, 60)
NOTHING = SemanticPrediction(np.zeros(SIZE, dtype=np.int32))


def masks(*rows):
    """Instances over the whole image; each (category_id, score, 4x4 probabilities)."""
    probs = np.array([probs for _, _, probs in rows], dtype=np.float32).reshape(-1, 4, 4)
    return Instances(
        boxes=np.array([[0, 0, SIZE[1], SIZE[0]]] * len(rows), dtype=np.float32).reshape(-1, 4),
        scores=np.array([score for _, score, _ in rows], dtype=np.float64),
        category_ids=np.array([category for category, _, _ in rows], dtype=np.int32),
        masks=BoxMasks(probs),
        size=SIZE,
    )


def top(value, rest=0.01):
    return [[value] * 4] * 2 + [[rest] * 4] * 2


def fuse(instances, **options):
    options = {"score_threshold": 0.8, "overlap_threshold": 0.2, "stuff_area": 0} | options
    return fuse_by_mask_classification(NOTHING, instances, SPACE, **options)


def test_stuff_of_a_class_is_one_segment_and_things_stay_apart():
    left = [[0.9, 0.9, 0.01, 0.01]] * 4
    right = [[0.01, 0.01, 0.9, 0.9]] * 4
    for category, count in ((SKY, 1), (PERSON, 2)):
        fused = fuse(masks((category, 0.9, left), (category, 0.95, right)))
        assert [s.category_id for s in fused.segments_info] == [category] * count
        assert (fused.panoptic_map > 0).mean() > 0.8  # void where neither is sure
        scores = [s.score for s in fused.segments_info]
        assert scores == ([None] if category == SKY else [0.95, 0.9])


def test_a_thing_between_two_masks_of_one_stuff_class_is_none_of_it():
    columns = np.full((3, 4, 4), 0.01)
    columns[0, :, 0] = columns[1, :, 1:3] = columns[2, :, 3] = 0.9
    fused = fuse(masks((SKY, 0.95, columns[0]), (PERSON, 0.9, columns[1]), (SKY, 0.85, columns[2])))
    assert [s.category_id for s in fused.segments_info] == [SKY, PERSON]
    assert fused.panoptic_map[20, [2, 30, 57]].tolist() == [1, 2, 1]


def test_a_pixel_goes_to_the_largest_score_times_probability():
    # Over the upper half 0.9 * 0.8 is less than 0.85 * 0.95, so the first mask loses all it claims.
    fused = fuse(masks((PERSON, 0.9, top(0.8)), (SKY, 0.85, top(0.95))))
    assert [s.category_id for s in fused.segments_info] == [SKY]
    assert fused.segments_info[0].bbox == (0, 0, 60, 19)  # logit 0 lies at row 18.9
    assert fused.panoptic_map[30, 30] == 0  # nobody is sure of it, and the rest is void


def test_a_mask_that_lost_most_of_what_it_claims_is_dropped():
    whole = [[0.9] * 4] * 4
    rows = masks((PERSON, 0.99, top(0.95)), (SKY, 0.9, whole))
    assert [s.category_id for s in fuse(rows).segments_info] == [PERSON]
    both = fuse(rows, overlap_threshold=0.6)
    assert [s.category_id for s in both.segments_info] == [PERSON, SKY]
    # 0.99 p is above 0.9 * 0.9 down to row 16.9.
    assert [s.area for s in both.segments_info] == [17 * 60, 23 * 60]


def test_low_scores_take_no_part_and_small_stuff_may_be_dropped():
    rows = masks((SKY, 0.79, top(0.9)), (GROUND, 0.9, top(0.01, 0.9)))
    assert [s.category_id for s in fuse(rows).segments_info] == [GROUND]
    assert fuse(rows, stuff_area=1201).segments_info == ()
    assert fuse(masks()).panoptic_map.max() == 0


def test_naming_the_rule_brings_eomts_thresholds():
    fusion = change_fusion(FusionConfig(), {"rule": "mask-classification"})
    assert (fusion.score_threshold, fusion.overlap_threshold, fusion.stuff_area) == (0.8, 0.2, 0)


def test_other_rules_leave_stuff_among_the_instances_out():
    semantic = SemanticPrediction(np.full(SIZE, GROUND, dtype=np.int32))
    rows = masks((SKY, 0.95, top(0.9)), (PERSON, 0.9, top(0.01, 0.9)))
    fusion = FusionConfig(stuff_area=1)
    fused = fuse_image(semantic, rows, SPACE, fusion, {})
    assert [s.category_id for s in fused.segments_info] == [PERSON, GROUND]
    fusion = change_fusion(fusion, {"rule": "mask-classification"})
    fused = fuse_image(semantic, rows, SPACE, fusion, {})
    assert [s.category_id for s in fused.segments_info] == [SKY, PERSON]


def test_a_label_map_carries_stuff_along():
    coco, super_ = load_space("coco_panoptic"), SPACE
    sky = coco.by_name["sky-other-merged"].category_id
    rows = masks((sky, 0.9, top(0.9)), (1, 0.9, top(0.01, 0.9)))
    assert map_instances(rows, find_label_map(coco, super_)).category_ids.tolist() == [SKY, PERSON]


@pytest.mark.parametrize("finds_stuff", [True, False])
def test_only_a_net_that_says_so_may_answer_with_stuff(finds_stuff):
    class Net:
        label_space, weights_hash = SPACE, ""

        def predict(self, images, *, score_threshold):
            return [masks((SKY, 0.9, top(0.9)))]

    net = Net()
    net.finds_stuff = finds_stuff
    image = NamedImage(np.zeros((*SIZE, 3), dtype=np.uint8))
    if finds_stuff:
        assert len(predict_instances("net", net, [image], 0.1)[0]) == 1
    else:
        with pytest.raises(ModelOutputError, match="'sky' is stuff in coco_super"):
            predict_instances("net", net, [image], 0.1)


def test_each_mask_lies_in_its_own_box():
    rows = masks((PERSON, 0.9, np.full(16, 0.9)), (SKY, 0.95, np.full(16, 0.9)))
    boxes = np.array([[5, 3, 20, 30], [30, 10, 50, 25]], dtype=np.float32)
    fused = fuse(Instances(boxes, rows.scores, rows.category_ids, rows.masks, SIZE))
    assert {(s.category_id, s.bbox, s.area) for s in fused.segments_info} == {
        (PERSON, (5, 3, 15, 27), 15 * 27),
        (SKY, (30, 10, 20, 15), 20 * 15),
    }
