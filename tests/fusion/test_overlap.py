"""The paper's fusion rule, against full-frame loops and cases worked out by hand."""

import numpy as np
import pytest
from factories import TOY_SPACE, box_instances, rle_instances, rle_masks, semantic_prediction
from hypothesis import given
from hypothesis import strategies as st
from reference.overlap import fuse_slowly

from fuse.fusion import fuse_by_overlap
from fuse.fusion.overlap import BLOCK
from fuse.ops.masks import paste_mask
from fuse.ops.rle import encode_crop
from fuse.types import (
    BoxMasks,
    Category,
    Instances,
    LabelSpace,
    PanopticPrediction,
    RleMasks,
    SemanticPrediction,
)

CAT, SKY, DOG, GRASS, ROAD = (category.category_id for category in TOY_SPACE.categories)
THRESHOLDS = st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0])


def instances_of(
    masks: np.ndarray, scores: list[float], category_ids: list[int] | None = None
) -> Instances:
    return Instances(
        boxes=np.zeros((len(masks), 4), dtype=np.float32),
        scores=np.array(scores, dtype=np.float64),
        category_ids=np.array(category_ids or [CAT] * len(masks), dtype=np.int32),
        masks=rle_masks(masks),
        size=masks.shape[1:],
    )


def stripes(*spans: tuple[int, int], width: int = 20) -> np.ndarray:
    """bool (N, 1, width): masks of one row, each from column first to column stop."""
    masks = np.zeros((len(spans), 1, width), dtype=bool)
    for mask, (first, stop) in zip(masks, spans, strict=True):
        mask[0, first:stop] = True
    return masks


def void(size: tuple[int, int] = (1, 20)) -> SemanticPrediction:
    return SemanticPrediction(np.zeros(size, dtype=np.int32))


def fuse_stripes(*spans: tuple[int, int], scores: list[float], **thresholds: float) -> str:
    """The fused row as text, a digit per pixel."""
    fused = fuse_by_overlap(void(), instances_of(stripes(*spans), scores), TOY_SPACE, **thresholds)
    return "".join(map(str, fused.panoptic_map[0].tolist()))


def check_consistency(fused: PanopticPrediction) -> None:
    """Segments are 1..S, and say of the map what the map shows."""
    segments = fused.segments_info
    assert [s.segment_id for s in segments] == list(range(1, len(segments) + 1))
    ids, areas = np.unique(fused.panoptic_map, return_counts=True)
    counted = dict(zip(ids.tolist(), areas.tolist(), strict=True))
    counted.pop(0, None)
    assert {s.segment_id: s.area for s in segments} == counted
    for segment in segments:
        y, x = np.nonzero(fused.panoptic_map == segment.segment_id)
        assert segment.bbox == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
        assert (segment.score is None) == (not TOY_SPACE.by_id[segment.category_id].isthing)


# -- against the loop ------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    count=st.integers(0, 9),
    make=st.sampled_from([rle_instances, box_instances]),
    score_threshold=THRESHOLDS,
    overlap_threshold=THRESHOLDS,
    stuff_area=st.sampled_from([0, 1, 4, 9, 0.1, 0.5, 4096]),
)
def test_fusion_equals_the_loop(
    seed: int,
    size: tuple[int, int],
    count: int,
    make,
    score_threshold: float,
    overlap_threshold: float,
    stuff_area: float,
) -> None:
    rng = np.random.default_rng(seed)
    semantic, instances = semantic_prediction(rng, size), make(rng, size, count)
    before = semantic.label_map.copy()
    fused = fuse_by_overlap(
        semantic,
        instances,
        TOY_SPACE,
        score_threshold=score_threshold,
        overlap_threshold=overlap_threshold,
        stuff_area=stuff_area,
    )
    panoptic_map, segments = fuse_slowly(
        semantic, instances, TOY_SPACE, score_threshold, overlap_threshold, stuff_area
    )
    assert (fused.panoptic_map == panoptic_map).all()
    assert fused.segments_info == tuple(segments)
    check_consistency(fused)
    assert (semantic.label_map == before).all()


@pytest.mark.parametrize("make", [rle_instances, box_instances])
def test_200_overlapping_instances_equal_the_loop(make) -> None:
    rng = np.random.default_rng(7)
    semantic, instances = semantic_prediction(rng, (120, 161)), make(rng, (120, 161), 200)
    fused = fuse_by_overlap(semantic, instances, TOY_SPACE, overlap_threshold=0.9, stuff_area=30)
    panoptic_map, segments = fuse_slowly(semantic, instances, TOY_SPACE, 0.5, 0.9, 30)
    assert (instances.scores >= 0.5).sum() > BLOCK
    assert (fused.panoptic_map == panoptic_map).all()
    assert fused.segments_info == tuple(segments)


@given(seed=st.integers(0, 2**32), low=THRESHOLDS, high=THRESHOLDS)
def test_a_higher_score_threshold_never_adds_a_thing(seed: int, low: float, high: float) -> None:
    low, high = sorted((low, high))
    rng = np.random.default_rng(seed)
    semantic, instances = semantic_prediction(rng, (12, 12)), rle_instances(rng, (12, 12), 8)

    def things(threshold: float) -> list[tuple]:
        fused = fuse_by_overlap(semantic, instances, TOY_SPACE, score_threshold=threshold)
        segments = [s for s in fused.segments_info if s.score is not None]
        return [(s.segment_id, s.category_id, s.area, s.bbox, s.score) for s in segments]

    # The order is by score, so those that remain are painted first and just as before.
    fewer = things(high)
    assert things(low)[: len(fewer)] == fewer


# -- order, thresholds and ties ----------------------------------------------------------------


def test_higher_scores_are_painted_first() -> None:
    assert fuse_stripes((0, 10), (5, 15), scores=[0.6, 0.9]) == "22222" + "1" * 10 + "00000"


def test_equal_scores_keep_their_order() -> None:
    spans = [(0, 6), (3, 9), (6, 12), (9, 15)]
    assert fuse_stripes(*spans, scores=[0.5, 0.9, 0.5, 0.9]) == "333111111222222" + "00000"


@pytest.mark.parametrize(("score", "row"), [(0.5, "1" * 20), (np.nextafter(0.5, 0), "0" * 20)])
def test_a_score_at_the_threshold_counts(score: float, row: str) -> None:
    assert fuse_stripes((0, 20), scores=[score]) == row


@pytest.mark.parametrize(
    ("threshold", "row"),
    [
        (0.5, "1" * 10 + "2" * 5 + "00000"),
        (np.nextafter(0.5, 0), "1" * 10 + "0" * 10),
        (0.0, "1" * 10 + "0" * 10),
        (1.0, "1" * 10 + "2" * 5 + "00000"),
    ],
)
def test_an_overlap_at_the_threshold_is_allowed(threshold: float, row: str) -> None:
    assert fuse_stripes((0, 10), (5, 15), scores=[0.9, 0.8], overlap_threshold=threshold) == row


def test_no_overlap_passes_a_threshold_of_zero() -> None:
    row = fuse_stripes((0, 10), (10, 20), scores=[0.9, 0.8], overlap_threshold=0.0)
    assert row == "1" * 10 + "2" * 10


def test_a_mask_wholly_covered_is_no_segment_even_at_threshold_one() -> None:
    row = fuse_stripes((0, 10), (2, 8), (10, 12), scores=[0.9, 0.8, 0.7], overlap_threshold=1.0)
    assert row == "1" * 10 + "22" + "0" * 8


def test_overlap_counts_painted_pixels_of_all_classes_but_not_of_dropped_masks() -> None:
    masks = stripes((0, 10), (2, 10), (6, 14), (9, 12))
    fused = fuse_by_overlap(
        void(), instances_of(masks, [0.9, 0.8, 0.7, 0.6], [CAT, DOG, CAT, DOG]), TOY_SPACE
    )
    # The second is covered and leaves no trace; the fourth is covered by the first and third.
    assert [s.category_id for s in fused.segments_info] == [CAT, CAT]
    assert fused.panoptic_map[0].tolist() == [1] * 10 + [2] * 4 + [0] * 6


def test_masks_without_pixels_are_skipped() -> None:
    assert fuse_stripes((4, 4), (0, 3), scores=[0.9, 0.8]) == "111" + "0" * 17


def test_things_carry_score_and_box_of_what_was_painted() -> None:
    fused = fuse_by_overlap(void(), instances_of(stripes((0, 10), (5, 15)), [0.9, 0.7]), TOY_SPACE)
    second = fused.segments_info[1]
    assert (second.area, second.bbox, second.score) == (5, (10, 0, 5, 1), 0.7)


# -- stuff -------------------------------------------------------------------------------------


def test_stuff_comes_by_category_id_and_semantic_things_stay_void() -> None:
    labels = np.array([[ROAD, ROAD, CAT, SKY, GRASS, GRASS, 0, SKY]], dtype=np.int32)
    none = instances_of(np.zeros((0, 1, 8), dtype=bool), [])
    fused = fuse_by_overlap(SemanticPrediction(labels), none, TOY_SPACE, stuff_area=1)
    assert [s.category_id for s in fused.segments_info] == [SKY, GRASS, ROAD]
    assert fused.panoptic_map.tolist() == [[3, 3, 0, 1, 2, 2, 0, 1]]
    assert fused.segments_info[0].bbox == (3, 0, 5, 1)


@pytest.mark.parametrize(
    ("stuff_area", "areas"),
    [
        (0, [6, 4]),
        (4, [6, 4]),
        (4.5, [6]),
        (6, [6]),
        (7, []),
        (0.2, [6, 4]),
        (np.nextafter(0.2, 1), [6]),
        (0.3, [6]),
        (1, [6, 4]),
    ],
)
def test_stuff_area_is_pixels_or_below_one_a_share(stuff_area: float, areas: list[int]) -> None:
    # 20 pixels: 10 of a cat, then 6 free ones of sky and 4 of grass.
    labels = np.array([[SKY] * 16 + [GRASS] * 4], dtype=np.int32)
    fused = fuse_by_overlap(
        SemanticPrediction(labels),
        instances_of(stripes((0, 10)), [1.0]),
        TOY_SPACE,
        stuff_area=stuff_area,
    )
    assert [s.area for s in fused.segments_info if s.score is None] == areas


def test_everything_void_gives_no_segments() -> None:
    nothing = instances_of(np.zeros((0, 1, 20), dtype=bool), [])
    fused = fuse_by_overlap(void(), nothing, TOY_SPACE, stuff_area=0)
    assert fused.segments_info == ()
    assert not fused.panoptic_map.any()


def test_a_image_of_one_pixel() -> None:
    sky = SemanticPrediction(np.array([[SKY]], dtype=np.int32))
    cat = instances_of(np.ones((1, 1, 1), dtype=bool), [0.8])
    fused = fuse_by_overlap(sky, cat, TOY_SPACE, stuff_area=1)
    assert [s.category_id for s in fused.segments_info] == [CAT]
    fused = fuse_by_overlap(sky, cat, TOY_SPACE, stuff_area=1, score_threshold=0.9)
    assert [s.category_id for s in fused.segments_info] == [SKY]


def test_many_categories_with_large_ids() -> None:
    # More labels than the kernel remembers, and ids that fall onto the same place in it.
    ids = [1 + 256 * k for k in range(300)] + [2**24 - 2]
    space = LabelSpace("many", tuple(Category(i, f"stuff {i}", False) for i in ids))
    labels = np.array(ids * 2, dtype=np.int32).reshape(2, -1)
    nothing = instances_of(np.zeros((0, *labels.shape), dtype=bool), [])
    fused = fuse_by_overlap(SemanticPrediction(labels), nothing, space, stuff_area=0)
    assert [s.category_id for s in fused.segments_info] == ids
    assert (fused.panoptic_map == np.arange(1, 302)).all()


# -- wrong input -------------------------------------------------------------------------------


def test_sizes_must_agree() -> None:
    with pytest.raises(
        ValueError, match=r"semantic map is 20 wide, 2 high; that of the .* is 20 wide, 1"
    ):
        fuse_by_overlap(void((2, 20)), instances_of(stripes((0, 3)), [0.9]), TOY_SPACE)


def test_instance_categories_must_be_known_even_below_the_threshold() -> None:
    instances = instances_of(stripes((0, 3), (4, 6)), [0.1, 0.9], [77, CAT])
    with pytest.raises(ValueError, match=r"category ids \[77\], not in toy"):
        fuse_by_overlap(void(), instances, TOY_SPACE)


@pytest.mark.parametrize("label", [4, 201, -1, 2**31 - 1, 256 + SKY])
def test_labels_must_be_known_even_below_an_instance(label: int) -> None:
    labels = np.full((1, 20), SKY, dtype=np.int32)
    labels[0, 2] = label
    for spans in ([(0, 10)], [(10, 20)]):
        with pytest.raises(ValueError, match=f"category id {label}, not in toy"):
            fuse_by_overlap(
                SemanticPrediction(labels), instances_of(stripes(*spans), [0.9]), TOY_SPACE
            )


def test_soft_masks_and_their_rles_fuse_alike() -> None:
    rng = np.random.default_rng(11)
    soft = box_instances(rng, (90, 110), 25)
    assert isinstance(soft.masks, BoxMasks)
    rles = [encode_crop(*paste_mask(soft, index), soft.size) for index in range(len(soft))]
    hard = Instances(soft.boxes, soft.scores, soft.category_ids, RleMasks(tuple(rles)), soft.size)
    semantic = semantic_prediction(rng, (90, 110))
    first = fuse_by_overlap(semantic, soft, TOY_SPACE, stuff_area=50)
    second = fuse_by_overlap(semantic, hard, TOY_SPACE, stuff_area=50)
    assert (first.panoptic_map == second.panoptic_map).all()
    assert first.segments_info == second.segments_info


def test_stuff_of_the_lowest_id_leaves_what_is_taken():
    space = LabelSpace("sky first", (Category(1, "sky", False), Category(2, "cat", True)))
    masks = np.zeros((1, 4, 6), dtype=bool)
    masks[0, 1:3, 2:4] = True
    seen = SemanticPrediction(np.full((4, 6), 1, dtype=np.int32))
    fused = fuse_by_overlap(seen, instances_of(masks, [0.9], [2]), space, stuff_area=1)
    np.testing.assert_array_equal(fused.panoptic_map, np.where(masks[0], 1, 2))
    seen = SemanticPrediction(np.where(masks[0], 0, 1).astype(np.int32))
    fused = fuse_by_overlap(seen, instances_of(masks, [0.9], [2]), space, stuff_area=1)
    np.testing.assert_array_equal(fused.panoptic_map, np.where(masks[0], 1, 2))
