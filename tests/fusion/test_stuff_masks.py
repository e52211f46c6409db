"""Stuff that comes as masks, against the official combine script's loop and by hand."""

import numpy as np
import pytest
from factories import TOY_SPACE, full_masks, rle_instances, rle_masks
from hypothesis import given
from hypothesis import strategies as st
from reference.combine import combine_slowly

from fuse.fusion import fuse_stuff_masks
from fuse.fusion.overlap import BLOCK
from fuse.types import Instances

CAT, SKY, DOG, GRASS, ROAD = (category.category_id for category in TOY_SPACE.categories)


def fuse_rows(stuff, *, cat=None, stuff_area=1):
    """Map and segments of masks over one row of ten pixels: (category_id, first, stop) each."""
    x = np.arange(10)
    masks = np.array([(first <= x) & (x < stop) for _, first, stop in stuff], bool)
    spans = [] if cat is None else [(cat[0] <= x) & (x < cat[1])]
    instances = Instances(
        np.zeros((len(spans), 4), np.float32),
        np.full(len(spans), 0.9),
        np.full(len(spans), CAT, np.int32),
        rle_masks(np.array(spans, bool).reshape(-1, 1, 10)),
        (1, 10),
    )
    stuff_ids = [category_id for category_id, _, _ in stuff]
    fused = fuse_stuff_masks(
        stuff_ids, rle_masks(masks.reshape(-1, 1, 10)), instances, stuff_area=stuff_area
    )
    segments = [(s.segment_id, s.category_id, s.area, s.bbox) for s in fused.segments_info]
    return "".join(map(str, fused.panoptic_map[0].tolist())), segments


def test_masks_are_painted_in_their_order_below_instances():
    row, segments = fuse_rows([(SKY, 0, 6), (GRASS, 4, 10)], cat=(2, 4))
    assert row == "2211223333"
    assert segments == [
        (1, CAT, 2, (2, 0, 2, 1)),
        (2, SKY, 4, (0, 0, 6, 1)),
        (3, GRASS, 4, (6, 0, 4, 1)),
    ]


def test_masks_of_one_category_are_one_segment():
    row, segments = fuse_rows([(SKY, 0, 2), (GRASS, 2, 4), (SKY, 3, 7)], cat=(8, 10))
    assert row == "2233222011"
    assert segments == [
        (1, CAT, 2, (8, 0, 2, 1)),
        (2, SKY, 5, (0, 0, 7, 1)),
        (3, GRASS, 2, (2, 0, 2, 1)),
    ]


@pytest.mark.parametrize(
    ("stuff_area", "row"),
    [
        (3, "111222" + "0000"),
        (4, "111111" + "0000"),  # the first is dropped and leaves its pixels
        (0.3, "111222" + "0000"),
        (0.31, "111111" + "0000"),
        (7, "0" * 10),
    ],
)
def test_a_mask_too_small_leaves_its_pixels(stuff_area, row):
    assert fuse_rows([(SKY, 0, 3), (GRASS, 0, 6)], stuff_area=stuff_area)[0] == row


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    things=st.integers(0, 5),
    count=st.integers(0, 6),
    stuff_area=st.sampled_from([0, 1, 4, 9]),
)
def test_equals_the_script(seed, size, things, count, stuff_area):
    rng = np.random.default_rng(seed)
    check_against_the_script(rng, size, things, count, stuff_area)


def test_many_masks_are_read_block_by_block():
    check_against_the_script(np.random.default_rng(4), (40, 50), BLOCK + 9, BLOCK + 9, 1)


def check_against_the_script(rng, size, things, count, stuff_area):
    instances = rle_instances(rng, size, things)
    stuff = rle_masks(full_masks(rng, size, count))
    stuff_ids = rng.choice(TOY_SPACE.stuff_ids, count).tolist()
    fused = fuse_stuff_masks(stuff_ids, stuff, instances, stuff_area=stuff_area)

    def results(rles, category_ids, scores):
        rows = zip(rles, category_ids, scores, strict=True)
        return [
            {"image_id": 1, "segmentation": rle, "category_id": category_id, "score": score}
            for rle, category_id, score in rows
        ]

    ((panoptic_map, segments),) = combine_slowly(
        [{"id": 1, "height": size[0], "width": size[1]}],
        results(instances.masks.rles, instances.category_ids.tolist(), instances.scores.tolist()),
        results(stuff.rles, stuff_ids, [1.0] * count),
        set(TOY_SPACE.thing_ids),
        stuff_area=stuff_area,
    ).values()
    assert (fused.panoptic_map == panoptic_map).all()
    assert [(s.segment_id, s.category_id) for s in fused.segments_info] == segments
    for segment in fused.segments_info:
        y, x = np.nonzero(panoptic_map == segment.segment_id)
        assert segment.area == len(y)
        assert segment.bbox == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)


def test_masks_of_another_size_are_refused():
    instances = rle_instances(np.random.default_rng(0), (4, 5), 1)
    stuff = rle_masks(np.ones((1, 5, 4), bool))
    with pytest.raises(ValueError, match="not of the image, 5 wide, 4 high"):
        fuse_stuff_masks([SKY], stuff, instances)
