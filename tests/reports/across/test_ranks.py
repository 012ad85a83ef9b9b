"""Ranks and tests over data sets, against SciPy, definitions and counted cases."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, rankdata, wilcoxon

from reports.across.ranks import (
    FEWEST,
    groups_alike,
    mean_ranks,
    rank_tests,
    sets_needed,
)
from reports.compare.intervals import LEVEL


def test_ranks_share_ties_and_follow_the_direction_of_the_metric() -> None:
    values = np.array([[50.0, 70.0], [50.0 + 1e-12, 60.0], [40.0, 80.0]])
    assert mean_ranks(values, higher_is_better=True).tolist() == [1.75, 2.25, 2.0]
    assert mean_ranks(values, higher_is_better=False).tolist() == [2.25, 1.75, 2.0]
    drawn = np.random.default_rng(0).integers(0, 4, (6, 9)).astype(float)
    expected = rankdata(-drawn, axis=0).mean(1)
    np.testing.assert_allclose(mean_ranks(drawn, higher_is_better=True), expected)


def test_pairs_without_ties_have_the_exact_p_value_of_scipy() -> None:
    values = np.random.default_rng(0).normal(0, 1, (4, 8)) + np.arange(4)[:, None]
    found = rank_tests(values)
    assert found.friedman == pytest.approx(friedmanchisquare(*values).pvalue)
    assert len(found.pairs) == 6
    for pair in found.pairs:
        expected = wilcoxon(values[pair.a], values[pair.b], method="exact").pvalue
        assert pair.p == pytest.approx(expected)


def test_ties_and_zeros_are_enumerated() -> None:
    """By hand: ranks 1.5, 1.5, 3.5, 3.5, 5 with a zero among the first two, and all signs."""
    differences = np.array([0.0, 0.0, 2.0, -2.0, 3.0])
    sums = [
        abs(s + t + u) for s, t, u in product((3.5, -3.5), (3.5, -3.5), (5.0, -5.0))
    ]  # fmt: skip
    expected = np.mean([total >= 5.0 for total in sums])
    (pair,) = rank_tests(np.stack([differences, np.zeros(5)])).pairs
    assert pair.p == pytest.approx(expected)
    (same,) = rank_tests(np.full((2, 5), 50.0)).pairs
    assert same.p == same.holm == 1.0


def test_many_data_sets_use_the_approximation_of_scipy() -> None:
    values = np.random.default_rng(0).normal(0, 1, (2, 30)) + np.array([[0.3], [0.0]])
    values[:, :4] = 0.0
    (pair,) = rank_tests(values).pairs
    assert pair.p == pytest.approx(wilcoxon(*values, zero_method="zsplit").pvalue)
    assert pair.p != pytest.approx(wilcoxon(*values, zero_method="wilcox").pvalue)


def test_holm_multiplies_and_never_falls() -> None:
    """The smallest of three p values is tripled, the next doubled."""
    values = np.random.default_rng(5).normal(0, 1, (3, 9)) + np.array([[0.0], [0.9], [2.0]])
    pairs = sorted(rank_tests(values).pairs, key=lambda pair: pair.p)
    assert len({pair.p for pair in pairs}) == 3
    products = [pair.p * times for pair, times in zip(pairs, (3, 2, 1), strict=True)]
    expected = np.maximum.accumulate(products)
    np.testing.assert_allclose([pair.holm for pair in pairs], np.minimum(expected, 1.0))


@pytest.mark.parametrize(("variants", "sets"), [(2, 5), (2, 6), (3, 6), (3, 7), (10, 10), (10, 11)])
def test_the_smallest_p_value_is_that_of_variants_which_never_change_places(
    variants: int, sets: int
) -> None:
    values = np.arange(variants)[:, None] + 10.0 * np.arange(sets)[None] ** 2 * np.ones((1, 1))
    values = values + np.linspace(0, 0.1, variants * sets).reshape(variants, sets)
    found = rank_tests(values)
    assert min(pair.holm for pair in found.pairs) == pytest.approx(found.smallest)
    assert (found.smallest <= LEVEL) == (sets >= sets_needed(variants))
    assert found.differ(0, 1) == (found.smallest <= LEVEL)
    assert found.differ(1, 0) == found.differ(0, 1)


def test_four_data_sets_could_show_nothing_at_all() -> None:
    assert sets_needed(2) > FEWEST - 1


def test_all_equal_variants_have_no_friedman_test_and_no_difference() -> None:
    found = rank_tests(np.full((3, 6), 50.0))
    assert np.isnan(found.friedman)
    assert not any(found.differ(pair.a, pair.b) for pair in found.pairs)


@pytest.mark.parametrize("sets", [5, 9])
def test_the_null_is_rejected_no_more_often_than_the_level(sets: int) -> None:
    """Any false difference among three equal variants: at most 5 % plus two Monte Carlo errors."""
    rng, worlds = np.random.default_rng(0), 400
    wrong = 0
    for _ in range(worlds):
        pairs = rank_tests(rng.normal(50, 2, (3, sets)) + rng.normal(0, 9, sets)).pairs
        wrong += any(pair.holm <= LEVEL for pair in pairs)
    assert wrong / worlds <= LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / worlds)


def test_groups_are_the_largest_runs_of_neighbours_without_a_difference() -> None:
    """Three close variants, then one far off: it is in no group."""
    rng = np.random.default_rng(0)
    base = np.array([0.0, 0.1, 0.2, 9.0])[:, None] + 3.0 * np.arange(12)
    values = base + rng.normal(0, 0.5, base.shape)
    ranks = mean_ranks(values, higher_is_better=True)
    tests = rank_tests(values)
    (group,) = groups_alike(ranks, tests)
    assert set(group) == {0, 1, 2}
    assert ranks[list(group)].tolist() == sorted(ranks[:3])
