"""The paper's rule here and in detectron2 and mmdetection: the same segments, and where not.

The three agree on an image's segments for every threshold and every order of distinct scores.
Where they differ, a test below shows it:

- a mask that is wholly covered is a segment without pixels in detectron2 (at an overlap
  threshold of 1), stuff that is wholly covered too (at a stuff area of 0); here it is none;
- a stuff area below 1 is a share of the image here, pixels in the others;
- mmdetection lets a mask pass whose taken share exceeds the threshold by less than 1e-5 pixels;
- mmdetection's fusion has no score threshold, its detector has: scores *above* it, where
  detectron2, COCO's script and this rule take those *at* it as well;
- equal scores keep their order here; the others' sort leaves it open.
"""

import numpy as np
import pytest
from factories import TOY_SPACE, full_masks, rle_masks, semantic_prediction
from hypothesis import given
from hypothesis import strategies as st
from reference.detectron2_combine import combine_as_detectron2
from reference.mmdet_head import OFFSET, fuse_as_mmdet

from fuse.fusion import fuse_by_overlap
from fuse.types import Instances, PanopticPrediction, SemanticPrediction

THINGS, STUFF = TOY_SPACE.thing_ids, sorted(TOY_SPACE.stuff_ids)
CAT, SKY = THINGS[0], STUFF[0]
COUNTS = (len(THINGS), len(STUFF))
VOID = sum(COUNTS)
THRESHOLDS = st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0])


def fuse_all(
    masks: np.ndarray,
    scores: list[float],
    category_ids: list[int],
    labels: np.ndarray,
    score_threshold: float = 0.5,
    **thresholds: float,
) -> tuple[PanopticPrediction, tuple[np.ndarray, list[tuple[int, int]]], np.ndarray]:
    """What this rule, detectron2 and mmdetection make of an image."""
    ours = fuse_by_overlap(
        SemanticPrediction(labels),
        Instances(
            np.zeros((len(masks), 4), dtype=np.float32),
            np.array(scores, dtype=np.float64),
            np.array(category_ids, dtype=np.int32),
            rle_masks(masks),
            labels.shape,
        ),
        TOY_SPACE,
        score_threshold=score_threshold,
        **thresholds,
    )
    stuff = np.where(np.isin(labels, STUFF), labels, 0)
    detectron2 = combine_as_detectron2(
        masks, scores, category_ids, stuff, score_threshold, **thresholds
    )
    kept = [index for index, score in enumerate(scores) if score >= score_threshold]
    mmdet = fuse_as_mmdet(
        masks[kept],
        [scores[index] for index in kept],
        [THINGS.index(category_ids[index]) for index in kept],
        np.where(stuff > 0, np.searchsorted(STUFF, stuff), len(STUFF)),
        COUNTS,
        **thresholds,
    )
    return ours, detectron2, mmdet


def as_regions(regions: dict[int, tuple[int, np.ndarray]]) -> set[tuple[int, bytes]]:
    """(category_id, pixels) of segments with pixels, whatever their ids."""
    return {(category_id, mask.tobytes()) for category_id, mask in regions.values() if mask.any()}


def regions_of(panoptic_map: np.ndarray, segments: list[tuple[int, int]]) -> set[tuple[int, bytes]]:
    return as_regions({i: (category_id, panoptic_map == i) for i, category_id in segments})


def regions_of_mmdet(result: np.ndarray) -> set[tuple[int, bytes]]:
    categories = [*THINGS, *STUFF]
    numbers = set(result.ravel().tolist()) - {VOID}
    return as_regions({n: (categories[n % OFFSET], result == n) for n in numbers})


@given(
    seed=st.integers(0, 2**32),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    count=st.integers(0, 9),
    score_threshold=THRESHOLDS,
    overlap_threshold=THRESHOLDS,
    stuff_area=st.sampled_from([0, 1, 4, 9, 4096]),
)
def test_all_three_make_the_same_segments(
    seed: int,
    size: tuple[int, int],
    count: int,
    score_threshold: float,
    overlap_threshold: float,
    stuff_area: float,
) -> None:
    rng = np.random.default_rng(seed)
    labels = semantic_prediction(rng, size).label_map
    scores = (rng.integers(3, 11, count) / 10).tolist()
    category_ids = rng.choice(THINGS, count).tolist()
    ours, detectron2, mmdet = fuse_all(
        full_masks(rng, size, count),
        scores,
        category_ids,
        labels,
        score_threshold,
        overlap_threshold=overlap_threshold,
        stuff_area=stuff_area,
    )
    segments = [(s.segment_id, s.category_id) for s in ours.segments_info]
    expected = regions_of(ours.panoptic_map, segments)
    assert regions_of(*detectron2) == expected
    assert regions_of_mmdet(mmdet) == expected
    with_pixels = [s for s in detectron2[1] if (detectron2[0] == s[0]).any()]
    if len(with_pixels) == len(detectron2[1]):  # then the ids are the same as well
        assert (detectron2[0] == ours.panoptic_map).all()
        assert detectron2[1] == segments


def stripes(*spans: tuple[int, int]) -> np.ndarray:
    """bool (N, 1, 20), True from first to stop."""
    x = np.arange(20)
    return np.array([[(first <= x) & (x < stop)] for first, stop in spans])


def fuse_stripes(*spans: tuple[int, int], scores: list[float], label: int = 0, **thresholds: float):
    labels = np.full((1, 20), label, dtype=np.int32)
    return fuse_all(stripes(*spans), scores, [CAT] * len(spans), labels, **thresholds)


# -- where they differ -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spans", "thresholds", "theirs"),
    [
        ([(0, 10), (2, 8)], {"overlap_threshold": 1.0}, [(1, CAT), (2, CAT)]),
        ([(0, 20)], {"stuff_area": 0}, [(1, CAT), (2, SKY)]),
    ],
    ids=["covered thing", "covered stuff"],
)
def test_segments_without_pixels_are_left_out(
    spans: list[tuple[int, int]], thresholds: dict, theirs: list[tuple[int, int]]
) -> None:
    scores = [0.9, 0.8][: len(spans)]
    label = SKY if "stuff_area" in thresholds else 0
    ours, detectron2, _ = fuse_stripes(*spans, scores=scores, label=label, **thresholds)
    assert [(s.segment_id, s.category_id) for s in ours.segments_info] == [(1, CAT)]
    assert detectron2[1] == theirs
    assert (detectron2[0] == ours.panoptic_map).all()


def test_a_stuff_area_below_one_is_a_share_of_the_image() -> None:
    ours, detectron2, mmdet = fuse_stripes((0, 12), scores=[0.9], label=SKY, stuff_area=0.5)
    assert [s.category_id for s in ours.segments_info] == [CAT]
    assert [category_id for _, category_id in detectron2[1]] == [CAT, SKY]
    assert set(mmdet.ravel().tolist()) == {OFFSET, THINGS.index(CAT) + len(THINGS)}


def test_a_share_a_hair_above_the_threshold_is_too_much() -> None:
    threshold = np.nextafter(0.5, 0)
    ours, detectron2, mmdet = fuse_stripes(
        (0, 10), (5, 15), scores=[0.9, 0.8], overlap_threshold=threshold
    )
    assert len(ours.segments_info) == len(detectron2[1]) == 1
    assert set(mmdet.ravel().tolist()) == {VOID, OFFSET, 2 * OFFSET}
