import numpy as np
import pytest
from factories import TOY_SPACE, box_instances, full_masks, rle_masks, semantic_prediction
from hypothesis import given
from hypothesis import strategies as st

from fuse.fusion import choose_by_evidence
from fuse.ops.masks import paste_mask
from fuse.types import Instances, SemanticPrediction

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
    with pytest.raises(ValueError, match=r"the semantic map is \(1, 3\), the instances \(1, 2\)"):
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
