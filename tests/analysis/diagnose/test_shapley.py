"""The attribution: shares add up, are Shapley's, and what changes nothing has none."""

from itertools import combinations

import numpy as np
import pytest
from reference.shapley import shapley_values

from fuse.analysis.diagnose.shapley import attribute_gap, draw_orders, evaluate_swaps

PARTS = ("a", "b", "c", "d", "e")
ONE_THING = np.array([True])


def random_game(rng, largest):
    """Worth of each set of parts in 0..1: a sum over its subsets of up to `largest` parts."""
    terms = {
        frozenset(chosen): rng.uniform(-0.02, 0.05)
        for size in range(1, largest + 1)
        for chosen in combinations(PARTS, size)
    }
    return lambda parts: 0.2 + sum(value for chosen, value in terms.items() if chosen <= parts)


def attribute(worth, *, pairs, present=frozenset(PARTS), seed=0):
    """Attribute a game; one category with one match has its IoU as PQ."""
    plan = draw_orders(PARTS, {"a": frozenset("a"), "ab": frozenset("ab")}, pairs=pairs, seed=seed)
    counts = evaluate_swaps(plan, present, lambda parts: np.array([[worth(parts)], [1.0], [0.0]]))
    return attribute_gap(counts, plan, ONE_THING)


@pytest.mark.parametrize("seed", range(5))
def test_one_order_and_its_reverse_are_exact_where_two_errors_interact(seed):
    worth = random_game(np.random.default_rng(seed), largest=2)
    expected = shapley_values(PARTS, worth)
    shares = attribute(worth, pairs=1, seed=seed).shares
    np.testing.assert_allclose(shares[:, 0], [expected[part] for part in PARTS], atol=1e-12)
    np.testing.assert_array_equal(shares[:, 0], shares[:, 1])  # all is things
    np.testing.assert_array_equal(shares[:, 2], 0)


@pytest.mark.parametrize("seed", range(5))
def test_more_orders_come_near_where_more_errors_interact(seed):
    worth = random_game(np.random.default_rng(seed), largest=5)
    expected = shapley_values(PARTS, worth)
    found = attribute(worth, pairs=200, seed=seed)
    for place, part in enumerate(PARTS):
        error = found.standard_error([place])
        assert 0 < error < 0.01
        assert abs(found.shares[place, 0] - expected[part]) < 5 * error


@pytest.mark.parametrize("pairs", [1, 3])
def test_the_shares_add_up_to_the_gap(pairs):
    worth = random_game(np.random.default_rng(7), largest=5)
    found = attribute(worth, pairs=pairs)
    assert found.before[0] == pytest.approx(worth(frozenset()))
    assert found.rest[0] == pytest.approx(1 - worth(frozenset(PARTS)))
    missing = found.shares.sum(axis=0) + found.rest
    np.testing.assert_allclose(missing, 1 - found.before, atol=1e-12)
    assert found.alone[:, 0] == pytest.approx([worth({"a"}) - 0.2, worth({"a", "b"}) - 0.2])


def test_a_part_that_changes_nothing_has_no_share_and_costs_no_time():
    worth = random_game(np.random.default_rng(3), largest=5)
    asked = []

    def count(parts):
        asked.append(parts)
        return np.array([[worth(parts)], [1.0], [0.0]])

    plan = draw_orders(PARTS, {"e": frozenset("e")}, pairs=20, seed=0)
    counts = evaluate_swaps(plan, frozenset("ab"), count)
    assert attribute_gap(counts, plan, ONE_THING).shares[2:].tolist() == [[0.0] * 4] * 3
    assert len(asked) == len(set(asked)) == 4


def test_where_nothing_occurs_nothing_is_missing():
    plan = draw_orders(PARTS, {"a": frozenset("a")}, pairs=1, seed=0)
    counts = evaluate_swaps(plan, frozenset("ab"), lambda _: np.zeros((3, 1)))
    found = attribute_gap(counts, plan, ONE_THING)
    assert (found.before == 1).all()
    assert not found.shares.any()
    assert not found.rest.any()


def test_counts_of_images_add_up():
    plan = draw_orders(PARTS, {"a": frozenset("a")}, pairs=2, seed=1)
    counts = [np.array([[0.5 * n], [n], [1.0]]) for n in (1, 2)]
    first, second = (evaluate_swaps(plan, frozenset(), lambda _, c=c: c) for c in counts)
    together = attribute_gap(first + second, plan, ONE_THING)
    assert together.before[0] == pytest.approx(1.5 / 5)
