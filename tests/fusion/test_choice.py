import numpy as np
import pytest
from factories import TOY_SPACE, box_instances, full_masks, rle_masks, semantic_prediction
from hypothesis import given
from hypothesis import strategies as st

from fuse.fusion.choice import (
    CENTER_X,
    FOOT_Y,
    HEAD_Y,
    choose_by_evidence,
    choose_by_overlap,
    sits_over,
)
from fuse.ops.masks import paste_mask
from fuse.types import BoxMasks, Instances, SemanticPrediction

CHOICES = {3: (8, 5), 8: (21,)}


def instances_of(masks, category_ids):
    count, height, width = masks.shape
    return Instances(
        boxes=np.zeros((count, 4), np.float32),
        scores=np.ones(count),
        category_ids=np.array(category_ids, np.int32),
        masks=rle_masks(masks),
        size=(height, width),
    )


def semantic(*rows):
    return SemanticPrediction(np.array(rows, np.int32))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([3, 3, 8], 3),  # its own has most
        ([8, 8, 3], 8),
        ([8, 5, 5], 5),
        ([8, 3, 0], 3),  # a tie leaves it
        ([5, 8, 8], 8),
        ([21, 21, 8], 8),  # 21 is no choice of a 3
        ([0, 200, 21], 3),  # no evidence
    ],
)
def test_most_pixels_win(labels, expected):
    found = instances_of(np.array([[[True, True, True, False]]]), [3])
    chosen = choose_by_evidence(found, semantic([*labels, 21]), CHOICES)
    assert chosen.category_ids.tolist() == [expected]


def test_only_unclear_categories_change():
    found = instances_of(np.ones((3, 1, 2), dtype=bool), [3, 21, 8])
    chosen = choose_by_evidence(found, semantic([21, 21]), CHOICES)
    assert chosen.category_ids.tolist() == [3, 21, 21]
    assert found.category_ids.tolist() == [3, 21, 8]


def test_an_instance_without_pixels_stays():
    found = instances_of(np.zeros((1, 1, 2), dtype=bool), [3])
    assert choose_by_evidence(found, semantic([8, 8]), CHOICES).category_ids.tolist() == [3]


def test_nothing_unclear_is_nothing_done():
    found = instances_of(np.ones((1, 1, 2), dtype=bool), [200])
    assert choose_by_evidence(found, semantic([8, 8]), CHOICES) is found
    none = instances_of(np.zeros((0, 1, 2), dtype=bool), [])
    assert choose_by_evidence(none, semantic([8, 8]), CHOICES) is none


def test_sizes_must_agree():
    found = instances_of(np.ones((1, 1, 2), dtype=bool), [3])
    with pytest.raises(
        ValueError, match=r"semantic map is 3 wide, 1 high; that of the .* is 2 wide, 1"
    ):
        choose_by_evidence(found, semantic([8, 8, 8]), CHOICES)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 5),
    st.booleans(),
)
def test_equals_counting_in_full_masks(seed, size, count, soft):
    rng = np.random.default_rng(seed)
    seen = semantic_prediction(rng, size)
    if soft:
        found = box_instances(rng, size, count)
    else:
        found = instances_of(full_masks(rng, size, count), rng.choice(TOY_SPACE.thing_ids, count))
    expected = []
    for index, own in enumerate(found.category_ids.tolist()):
        crop, (top, left) = paste_mask(found, index)
        below = seen.label_map[top : top + crop.shape[0], left : left + crop.shape[1]][crop]
        votes = [(below == category_id).sum() for category_id in (own, *CHOICES[own])]
        expected.append((own, *CHOICES[own])[int(np.argmax(votes))])
    chosen = choose_by_evidence(found, seen, CHOICES)
    assert chosen.category_ids.tolist() == expected
    assert (chosen.scores == found.scores).all()
    assert (chosen.boxes == found.boxes).all()


# By overlap: 3 may be 8 or 5; 8 goes with 21, 5 goes with 200.
OVER = {3: (8, 5)}
PARTNERS = {8: (21,), 5: (200, 21)}
BELOW = (0, 100, 100, 200)
RIDES = (30, 20, 70, 180)


def boxed(*rows):
    """Instances of (category_id, score, box)."""
    return Instances(
        boxes=np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
        scores=np.array([score for _, score, _ in rows], np.float64),
        category_ids=np.array([category_id for category_id, _, _ in rows], np.int32),
        masks=BoxMasks(np.ones((len(rows), 2, 2), np.float32)),
        size=(300, 300),
    )


def by_overlap(*rows, threshold=0.5):
    chosen = choose_by_overlap(boxed(*rows), OVER, PARTNERS, score_threshold=threshold)
    return chosen.category_ids.tolist()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (RIDES, True),
        ((30, 20, 70, 205), True),  # one foot on the ground
        ((85, 20, 125, 180), False),  # beside it
        ((-25, 20, 15, 180), False),  # on the other side
        ((30, 20, 70, 240), False),  # in front of it: stands lower
        ((30, 20, 70, 120), False),  # far behind it: ends where it begins
        ((30, 95, 70, 180), False),  # no higher than it
        ((30, 120, 70, 180), False),  # within it
        ((230, 20, 270, 180), False),  # elsewhere
    ],
)
def test_how_a_rider_sits(box, expected):
    assert sits_over(np.float32(box), np.float32([BELOW])).tolist() == [expected]
    # The same at another place and size.
    moved = np.float32([box, BELOW]) * 3 + np.float32([7, 50, 7, 50])
    assert sits_over(moved[0], moved[1:]).tolist() == [expected]


def test_over_nothing_nobody_sits():
    flat = np.float32([[0, 100, 100, 100], [50, 100, 50, 200], [50, 50, 50, 50]])
    assert not sits_over(np.float32(RIDES), flat).any()
    assert not sits_over(np.float32([50, 50, 50, 50]), flat).any()
    assert sits_over(np.float32(RIDES), flat[:0]).tolist() == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(3, 0.9, RIDES), (21, 0.9, BELOW)], [8, 21]),
        ([(21, 0.9, BELOW), (3, 0.1, RIDES)], [21, 8]),  # its own score does not matter
        ([(3, 0.9, RIDES), (200, 0.9, BELOW)], [5, 200]),
        ([(3, 0.9, RIDES), (21, 0.4, BELOW)], [3, 21]),  # below the threshold
        ([(3, 0.9, RIDES), (8, 0.9, BELOW)], [3, 8]),  # nobody's partner
        ([(21, 0.9, RIDES), (200, 0.9, BELOW)], [21, 200]),  # cannot be anything else
        ([(3, 0.9, RIDES), (21, 0.6, BELOW), (200, 0.8, BELOW)], [5, 21, 200]),  # the surer one
        ([(3, 0.9, RIDES), (200, 0.8, BELOW), (21, 0.8, BELOW)], [5, 200, 21]),  # the first
        ([(3, 0.9, RIDES), (3, 0.8, RIDES), (21, 0.6, BELOW)], [8, 8, 21]),  # two on one
        ([(3, 0.9, RIDES)], [3]),
        ([(21, 0.9, BELOW)], [21]),
        ([], []),
    ],
)
def test_what_is_ridden_decides(rows, expected):
    assert by_overlap(*rows) == expected


def test_nobody_rides_itself():
    found = boxed((3, 0.9, RIDES))
    chosen = choose_by_overlap(found, {3: (8,)}, {8: (3,)}, score_threshold=0.5)
    assert chosen.category_ids.tolist() == [3]


@given(st.integers(0, 2**32 - 1), st.integers(0, 8), st.floats(0, 1))
def test_equals_asking_pair_by_pair(seed, count, threshold):
    rng = np.random.default_rng(seed)
    found = box_instances(rng, (40, 30), count)
    choices, partners = {3: (5, 21)}, {5: (8,), 21: (8, 3)}
    before = found.category_ids.tolist()
    expected = list(before)
    order = sorted(range(count), key=lambda i: -found.scores[i])
    for i, own in enumerate(before):
        reached = [
            other
            for j in order
            if j != i and found.scores[j] >= threshold and rides(found.boxes[i], found.boxes[j])
            for other in choices.get(own, ())
            if before[j] in partners[other]
        ]
        expected[i] = reached[0] if reached else own
    chosen = choose_by_overlap(found, choices, partners, score_threshold=threshold)
    assert chosen.category_ids.tolist() == expected
    assert found.category_ids.tolist() == before
    assert (chosen.scores == found.scores).all()


def rides(box, other):
    x1, y1, x2, y2 = (float(edge) for edge in other)
    if x2 <= x1 or y2 <= y1:
        return False
    center = ((float(box[0]) + float(box[2])) / 2 - x1) / (x2 - x1)
    head, foot = ((float(edge) - y1) / (y2 - y1) for edge in (box[1], box[3]))
    return (
        CENTER_X[0] <= center <= CENTER_X[1] and head <= HEAD_Y and FOOT_Y[0] <= foot <= FOOT_Y[1]
    )
