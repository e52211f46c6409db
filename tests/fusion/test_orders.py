"""Rules that are an order: cases worked out by hand, and every pair of masks by itself."""

import numpy as np
import pytest
from factories import TOY_SPACE, box_instances, rle_instances, rle_masks, semantic_prediction
from hypothesis import given
from hypothesis import strategies as st
from reference.orders import order_slowly
from reference.overlap import fuse_slowly

from fuse.fusion import METHODS, fuse_by_overlap
from fuse.fusion.orders import sort_by_precedence
from fuse.types import Instances, SemanticPrediction

CAT, SKY, DOG, GRASS, ROAD = (category.category_id for category in TOY_SPACE.categories)
PAIRS = frozenset({(DOG, CAT)})
ORDERS = {
    "area-first": {},
    "spatial-rank": {},
    "pairs": {"pairs": PAIRS},
}


def row_of(text):
    """A label map of one row: a letter per pixel."""
    letters = {".": 0, "c": CAT, "d": DOG, "s": SKY}
    return SemanticPrediction(np.array([[letters[letter] for letter in text]], np.int32))


def spans(*instances):
    """Instances of one row: (category_id, first, stop, score)."""
    masks = np.zeros((len(instances), 1, 20), dtype=bool)
    for mask, (_, first, stop, _) in zip(masks, instances, strict=True):
        mask[0, first:stop] = True
    category_ids, _, _, scores = zip(*instances, strict=True)
    return Instances(
        np.zeros((len(masks), 4), np.float32),
        np.array(scores, np.float64),
        np.array(category_ids, np.int32),
        rle_masks(masks),
        (1, 20),
    )


def fuse_row(rule, semantic, instances, **settings):
    fused = METHODS[rule].fuse(semantic, instances, TOY_SPACE, **settings)
    return "".join(str(i) for i in fused.panoptic_map[0].tolist())


VOID = row_of("." * 20)


@pytest.mark.parametrize(
    ("rule", "semantic", "instances", "expected"),
    [
        # A small dog on a large cat that scores more: the paper's rule drops it.
        (
            "area-first",
            VOID,
            spans((CAT, 0, 16, 0.9), (DOG, 4, 8, 0.6)),
            "2222" + "1111" + "22222222" + "0000",
        ),
        ("pairs", VOID, spans((CAT, 0, 16, 0.9), (DOG, 4, 8, 0.6)), "2222111122222222" + "0000"),
        # The table does not care for sizes: the dog is on top where it is the larger one, too.
        ("pairs", VOID, spans((DOG, 0, 16, 0.6), (CAT, 12, 20, 0.9)), "1" * 16 + "2222"),
        # No pair: by score.
        ("pairs", VOID, spans((DOG, 0, 12, 0.9), (DOG, 8, 20, 0.95)), "2" * 8 + "1" * 12),
        # The semantic net sees the dog in what both claim, or the cat.
        (
            "spatial-rank",
            row_of("ccccddddcccccccc...."),
            spans((CAT, 0, 16, 0.9), (DOG, 4, 8, 0.6)),
            "2222111122222222" + "0000",
        ),
        (
            "spatial-rank",
            row_of("cccccccccccccccc...."),
            spans((CAT, 0, 16, 0.9), (DOG, 4, 8, 0.6)),
            "1" * 16 + "0000",
        ),
        # Within a class score decides, so a part of a dog does not oust the dog.
        ("area-first", VOID, spans((DOG, 0, 16, 0.9), (DOG, 4, 8, 0.6)), "1" * 16 + "0000"),
        # Two answers about one object: score decides although the other is smaller.
        ("area-first", VOID, spans((DOG, 0, 16, 0.9), (CAT, 0, 12, 0.6)), "1" * 16 + "0000"),
        # Equal areas: score decides.
        (
            "area-first",
            VOID,
            spans((CAT, 0, 9, 0.6), (DOG, 6, 15, 0.8)),
            "2" * 6 + "1" * 9 + "00000",
        ),
    ],
)
def test_who_lies_on_top(rule, semantic, instances, expected):
    assert fuse_row(rule, semantic, instances, **ORDERS[rule]) == expected


def test_a_circle_goes_by_score():
    # cat on dog by the table, the dog before a second cat and that before the first by score.
    instances = spans((CAT, 0, 8, 0.5), (CAT, 6, 14, 0.9), (DOG, 4, 12, 0.7))
    row = fuse_row("pairs", VOID, instances, pairs={(CAT, DOG)})
    assert row == "2" * 6 + "1" * 8 + "0" * 6  # the dog is covered by both


def test_what_lies_under_a_circle_waits_for_it():
    # The first lies under the second, which runs in a circle with the third and fourth.
    above = np.zeros((4, 4), dtype=bool)
    above[[1, 1, 2, 3], [0, 2, 3, 1]] = True
    assert sort_by_precedence(above) == [1, 0, 2, 3]


@pytest.mark.parametrize("size", [0, 1, 5])
def test_without_relations_the_order_stays(size):
    assert sort_by_precedence(np.zeros((size, size), dtype=bool)) == list(range(size))


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_whatever_lies_above_comes_first_unless_in_a_circle(seed, count):
    rng = np.random.default_rng(seed)
    height = rng.permutation(count)  # a true order, partly known
    above = (height[:, None] > height) & (rng.random((count, count)) < 0.5)
    order = sort_by_precedence(above)
    assert sorted(order) == list(range(count))
    places = np.argsort(order)
    assert all(places[i] < places[j] for i, j in np.argwhere(above))


def is_above(rule, instances, semantic):
    """The relation of a rule between two full-frame masks."""

    def by_area(_i, _j, mask, other):
        return mask.sum() < other.sum()

    def by_pairs(i, j, _mask, _other):
        return (instances.category_ids[i], instances.category_ids[j]) in PAIRS

    def by_rank(i, j, mask, other):
        labels = semantic.label_map[mask & other]
        mine, theirs = (labels == instances.category_ids[k] for k in (i, j))
        return mine.sum() > theirs.sum()

    return {"area-first": by_area, "pairs": by_pairs, "spatial-rank": by_rank}[rule]


@given(
    rule=st.sampled_from(list(ORDERS)),
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    count=st.integers(0, 7),
    make=st.sampled_from([rle_instances, box_instances]),
    score_threshold=st.sampled_from([0.0, 0.5, 0.7]),
    overlap_threshold=st.sampled_from([0.3, 0.5, 1.0]),
)
def test_equals_every_pair_of_masks_by_itself(
    rule, seed, size, count, make, score_threshold, overlap_threshold
):
    rng = np.random.default_rng(seed)
    semantic, instances = semantic_prediction(rng, size), make(rng, size, count)
    thresholds = {"score_threshold": score_threshold, "overlap_threshold": overlap_threshold}
    fused = METHODS[rule].fuse(
        semantic, instances, TOY_SPACE, **thresholds, stuff_area=4, **ORDERS[rule]
    )
    order = order_slowly(instances, score_threshold, is_above(rule, instances, semantic))
    panoptic_map, segments = fuse_slowly(
        semantic, instances, TOY_SPACE, **thresholds, stuff_area=4, order=order
    )
    assert (fused.panoptic_map == panoptic_map).all()
    assert fused.segments_info == tuple(segments)


@given(seed=st.integers(0, 2**32 - 1))
def test_without_pairs_the_rule_is_the_paper_s(seed):
    rng = np.random.default_rng(seed)
    semantic, instances = semantic_prediction(rng, (12, 12)), rle_instances(rng, (12, 12), 6)
    fused = METHODS["pairs"].fuse(semantic, instances, TOY_SPACE, stuff_area=4)
    expected = fuse_by_overlap(semantic, instances, TOY_SPACE, stuff_area=4)
    assert (fused.panoptic_map == expected.panoptic_map).all()
    assert fused.segments_info == expected.segments_info
