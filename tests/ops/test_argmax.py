"""Upsampling and argmax in one pass, against torch and a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.argmax import interpolate_at, upsample

from fuse.ops.argmax import find_possible_winners, merge_classes, upsample_argmax

# Interpolated logits that differ by less may be ranked either way.
ROUNDING = 2e-5


def random_logits(
    rng: np.random.Generator, shape: tuple[int, int, int], noise: float
) -> np.ndarray:
    """float32 (C, h, w): a few regions, each with a best class, plus noise."""
    classes, height, width = shape
    region = rng.integers(0, classes, (height // 3 + 1, width // 3 + 1))
    region = region.repeat(3, axis=0).repeat(3, axis=1)[:height, :width]
    logits = rng.normal(size=shape) * noise
    logits += 4 * (np.arange(classes)[:, None, None] == region)
    return logits.astype(np.float32)


def corners_at(
    logits: np.ndarray, size: tuple[int, int], align_corners: bool
) -> dict[str, tuple[float, float]]:
    """Where the logits lie by one of torch's conventions; the other one is the default."""
    if not align_corners:
        return {}
    scale = tuple((g - 1) / max(n - 1, 1) for g, n in zip(logits.shape[1:], size, strict=True))
    return {"scale": scale, "offset": (0.0, 0.0)}


def assert_best(label_map: np.ndarray, upsampled: np.ndarray, category_ids: np.ndarray) -> None:
    """Each pixel's class has, up to rounding, the highest of the upsampled logits."""
    class_of = {category_id: index for index, category_id in enumerate(category_ids.tolist())}
    chosen = np.vectorize(class_of.__getitem__)(label_map)
    reached = np.take_along_axis(upsampled, chosen[None], axis=0)[0]
    assert (reached >= upsampled.max(axis=0) - ROUNDING).all()


@given(
    seed=st.integers(0, 2**32),
    grid=st.tuples(st.integers(1, 12), st.integers(1, 20)),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    classes=st.integers(1, 9),
    noise=st.sampled_from([0.0, 0.3, 2.0]),
    align_corners=st.booleans(),
)
def test_labels_equal_torch(
    seed: int,
    grid: tuple[int, int],
    size: tuple[int, int],
    classes: int,
    noise: float,
    align_corners: bool,
) -> None:
    rng = np.random.default_rng(seed)
    logits = random_logits(rng, (classes, *grid), noise)
    ids = (rng.permutation(classes) * 7 + 3).astype(np.int32)
    before = logits.copy()
    label_map = upsample_argmax(logits, size, ids, **corners_at(logits, size, align_corners))
    assert label_map.dtype == np.int32
    assert label_map.shape == size
    assert_best(label_map, upsample(logits, size, align_corners=align_corners), ids)
    assert (logits == before).all()


@pytest.mark.parametrize("align_corners", [False, True], ids=["half-pixel", "align-corners"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((150, 30, 40), (120, 160)), ((19, 64, 128), (250, 500)), ((27, 20, 27), (480, 640))],
)
def test_few_pixels_differ_from_torch_at_real_sizes(
    shape: tuple[int, int, int], size: tuple[int, int], align_corners: bool
) -> None:
    logits = random_logits(np.random.default_rng(1), shape, noise=0.5)
    ids = np.arange(1, shape[0] + 1, dtype=np.int32)
    upsampled = upsample(logits, size, align_corners=align_corners)
    label_map = upsample_argmax(logits, size, ids, **corners_at(logits, size, align_corners))
    assert_best(label_map, upsampled, ids)
    assert (label_map != ids[upsampled.argmax(axis=0)]).mean() < 1e-5


@given(
    seed=st.integers(0, 2**32),
    grid=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    scale=st.tuples(st.floats(0.01, 3), st.floats(0.01, 3)),
    align_corners=st.booleans(),
)
def test_a_given_scale_places_pixels_on_the_padded_grid(
    seed: int,
    grid: tuple[int, int],
    size: tuple[int, int],
    scale: tuple[float, float],
    align_corners: bool,
) -> None:
    logits = random_logits(np.random.default_rng(seed), (4, *grid), noise=1.0)
    ids = np.arange(4, dtype=np.int32)
    offset = (0.0, 0.0) if align_corners else None
    label_map = upsample_argmax(logits, size, ids, scale=scale, offset=offset)
    assert_best(label_map, interpolate_at(logits, size, scale, align_corners=align_corners), ids)


def test_padding_cut_off_by_scale_equals_the_crop_of_the_padded_image() -> None:
    logits = random_logits(np.random.default_rng(2), (5, 16, 24), noise=1.0)
    ids = np.arange(5, dtype=np.int32)
    padded = upsample_argmax(logits, (64, 96), ids)
    cut = upsample_argmax(logits, (50, 77), ids, scale=(0.25, 0.25))
    assert (cut == padded[:50, :77]).all()


def test_ties_go_to_the_lowest_class_index() -> None:
    logits = np.zeros((3, 2, 2), dtype=np.float32)
    logits[1:, 0, 0] = 1  # classes 1 and 2 tie in one corner, all three in the others
    ids = np.array([30, 10, 20], dtype=np.int32)
    label_map = upsample_argmax(logits, (4, 4), ids, **corners_at(logits, (4, 4), True))
    assert label_map.tolist() == [[10, 10, 10, 30], [10, 10, 10, 30], [10, 10, 10, 30], [30] * 4]


def test_float16_logits_give_what_their_float32_values_give() -> None:
    half = random_logits(np.random.default_rng(4), (6, 9, 11), noise=0.5).astype(np.float16)
    ids = np.arange(6, dtype=np.int32)
    from_half = upsample_argmax(half, (36, 44), ids)
    from_float = upsample_argmax(half.astype(np.float32), (36, 44), ids)
    assert (from_half == from_float).all()


def test_classes_may_share_a_category_and_be_void() -> None:
    logits = np.eye(3, dtype=np.float32)[:, None, :]
    label_map = upsample_argmax(logits, (1, 3), np.array([5, 0, 5], np.int32))
    assert label_map.tolist() == [[5, 0, 5]]


@pytest.mark.parametrize(
    ("shape", "ids", "message"),
    [
        ((2, 3), 2, r"must be \(C, h, w\)"),
        ((2, 0, 3), 2, r"must be \(C, h, w\)"),
        ((2, 3, 3), 3, "2 classes need as many ids"),
    ],
)
def test_wrong_shapes_are_refused(shape: tuple[int, ...], ids: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        upsample_argmax(np.zeros(shape, np.float32), (4, 4), np.zeros(ids, np.int32))


# -- merging classes ---------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32), classes=st.integers(1, 9), targets=st.integers(1, 5))
def test_merged_scores_are_sums_of_softmax_scores(seed: int, classes: int, targets: int) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(classes, 3, 4)) * 20).astype(np.float32)
    target_index = rng.integers(0, targets, classes).astype(np.int32)
    probs = np.exp(logits.astype(np.float64))
    probs /= probs.sum(axis=0)
    expected = np.zeros((target_index.max() + 1, 3, 4))
    for index, target in enumerate(target_index):
        expected[target] += probs[index]
    merged = np.exp(merge_classes(logits, target_index).astype(np.float64))
    np.testing.assert_allclose(merged / merged.sum(axis=0), expected, rtol=1e-4, atol=1e-9)


def test_merging_decides_at_a_logit_cell() -> None:
    # One class is the best single one, two others together are more likely.
    logits = np.log(np.array([0.4, 0.3, 0.3], np.float32))[:, None, None]
    target_index = np.array([0, 1, 1], np.int32)
    ids = np.array([7, 9], np.int32)
    merged = merge_classes(logits, target_index)
    assert upsample_argmax(merged, (2, 2), ids).tolist() == [[9, 9], [9, 9]]


def test_huge_logits_and_targets_without_members() -> None:
    logits = np.array([500.0, 500.0, -500.0], dtype=np.float32)[:, None, None]
    merged = merge_classes(logits, np.array([2, 2, 0], np.int32))
    np.testing.assert_allclose(merged[:, 0, 0], [-500, -np.inf, 500 + np.log(2)], rtol=1e-6)
    assert merged.dtype == np.float32


@pytest.mark.parametrize("target_index", [[0], [0, -1], []])
def test_bad_targets_are_refused(target_index: list[int]) -> None:
    with pytest.raises(ValueError, match="must hold 2 indices >= 0"):
        merge_classes(np.zeros((2, 1, 1), np.float32), np.array(target_index, np.int32))


# -- what decides ------------------------------------------------------------------------------


def winners_slowly(logits: np.ndarray) -> np.ndarray:
    """Cell by cell: a class can win where its best corner reaches what a corner's best class
    has at its own worst corner; where one class is best at all corners no other can."""
    _, height, width = logits.shape
    possible = np.zeros(logits.shape, dtype=bool)
    for top in range(max(height - 1, 1)):
        for left in range(max(width - 1, 1)):
            cell = np.s_[:, top : top + 2, left : left + 2]
            corners = logits[cell].reshape(len(logits), -1)
            best = corners.argmax(axis=0)
            bound = corners[best].min(axis=1).max()
            if (best != best[0]).any():
                possible[cell] |= (corners.max(axis=1) >= bound)[:, None, None]
            else:
                possible[cell][best[0]] = True
    return possible


@given(seed=st.integers(0, 2**32), classes=st.integers(1, 6))
def test_what_can_win_is_all_that_decides(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    grid = tuple(rng.integers(1, 6, 2).tolist())
    logits = random_logits(rng, (classes, *grid), noise=1.0)
    possible = find_possible_winners(logits)
    assert (possible == winners_slowly(logits)).all()
    ids = np.arange(classes, dtype=np.int32)
    weakened = np.where(possible, logits, np.float32(-1e4))
    for size in ((7, 9), (16, 5)):
        expected = upsample_argmax(logits, size, ids)
        assert (upsample_argmax(weakened, size, ids) == expected).all()
