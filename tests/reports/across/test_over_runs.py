"""Interquartile mean and probability of improvement, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, t

from reports.across import runs
from reports.across.matrix import Cell
from reports.across.runs import improvement, interquartile_mean, middle

# Runs on five data sets, for which rliable 1.2.0 has the two values below.
X = [[50.4, 51.1, 48.1, 47.8], [49.6, 53.9, 50.1, 48.4], [51.9, 52.8, 43.0, 49.1],
     [50.3, 47.9, 49.3, 51.2], [48.4, 46.2, 46.3, 53.1]]  # fmt: skip
Y = [[50.6, 51.3, 48.0, 52.1], [55.1, 48.8, 50.4, 49.0], [49.0, 48.2, 50.5, 50.6],
     [52.1, 49.6, 52.6, 53.4], [53.7, 51.7, 51.6, 55.5]]  # fmt: skip
MIDDLE, BETTER = 49.48, 0.3125


def cells(values: list[list[float]], **changes: bool) -> list[Cell]:
    return [Cell(tuple(own), **changes) for own in values]


def equal(number: int) -> np.ndarray:
    return np.full(number, 1 / number)


def test_values_are_those_of_rliable() -> None:
    found = interquartile_mean(cells(X), equal(5))
    assert found.value == pytest.approx(MIDDLE)
    assert found.low is not None and found.high is not None
    assert found.low < found.value < found.high
    other = improvement(cells(X), cells(Y), equal(5), higher_is_better=True)
    assert other.value == pytest.approx(BETTER)


def test_a_run_across_a_quartile_counts_in_part() -> None:
    """The middle one of three runs has a third of the weight, its neighbours a twelfth inside."""
    found = interquartile_mean(cells([[1.0, 2.0, 6.0]]), equal(1))
    assert found.value == pytest.approx((1.0 + 4 * 2.0 + 6.0) / 6)


def test_data_sets_weigh_the_same_however_many_runs_they_have() -> None:
    four = interquartile_mean(cells([[50.0] * 4, [60.0] * 4]), equal(2))
    two = interquartile_mean(cells([[50.0] * 4, [60.0] * 12]), equal(2))
    assert four.value == pytest.approx(55.0) == two.value


def test_improvement_counts_pairs_of_runs_and_ties_by_halves() -> None:
    a, b = cells([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]), cells([[2.0, 2.0, 0.0], [9.0, 9.0, 9.0]])
    pairs = (1 + 0.5 * 2 + 1 + 3) / 9  # 1 beats 0; 2 ties twice and beats 0; 3 beats all
    found = improvement(a, b, equal(2), higher_is_better=True)
    assert found.value == pytest.approx(pairs / 2)
    assert improvement(b, a, equal(2), higher_is_better=True).value == pytest.approx(1 - pairs / 2)
    assert improvement(a, b, equal(2), higher_is_better=False).value == pytest.approx(1 - pairs / 2)


def test_weights_count() -> None:
    a, b = cells([[1.0], [0.0]]), cells([[0.0], [1.0]])
    assert improvement(a, b, np.array([0.9, 0.1]), higher_is_better=True).value == 0.9


@pytest.mark.parametrize("values", [[[50.0, 51.0]] * 2, [[50.0]] * 2, [[50.0, 50.0, 50.0]] * 2])
def test_no_interval_from_two_runs_or_from_equal_ones(values: list[list[float]]) -> None:
    assert interquartile_mean(cells(values), equal(2)).low is None
    assert improvement(cells(values), cells(values), equal(2), higher_is_better=True).low is None


def test_a_deterministic_method_takes_part_in_intervals() -> None:
    fixed = cells([[50.0]] * 5, fixed=True)
    assert improvement(cells(X), fixed, equal(5), higher_is_better=True).low is not None
    random = cells([[50.0]] * 5)
    assert improvement(cells(X), random, equal(5), higher_is_better=True).low is None


def test_equal_runs_give_equal_intervals() -> None:
    assert interquartile_mean(cells(Y), equal(5)) == interquartile_mean(cells(Y), equal(5))


def test_few_runs_have_the_quantile_of_student(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five data sets of four runs: half of 15 degrees of freedom."""
    found = interquartile_mean(cells(X), equal(5))
    monkeypatch.setattr(runs, "_wider", lambda cells: 1.0)
    plain = interquartile_mean(cells(X), equal(5))
    assert None not in (found.low, found.high, plain.low, plain.high)
    ratio = t.ppf(0.975, 7.5) / norm.ppf(0.975)
    assert found.high - found.value == pytest.approx(ratio * (plain.high - plain.value))
    assert found.value - found.low == pytest.approx(ratio * (plain.value - plain.low))


@pytest.mark.parametrize("worlds", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_intervals_cover_the_true_value(worlds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five data sets, three runs, normal; the bounds leave three Monte Carlo errors.

    Without Student's t and with as many draws as runs 85 % would cover.
    """
    monkeypatch.setattr(runs, "DRAWS", 300)
    rng, base = np.random.default_rng(0), np.linspace(58, 62, 5)

    def drawn(shift: float = 0.0, number: int = 3) -> list[Cell]:
        return [Cell(tuple(own + shift + rng.normal(0, 1, number))) for own in base]

    truth = middle(drawn(number=4000), equal(5))
    better = norm.cdf(0.5 / np.sqrt(2))
    hits = np.zeros(2)
    for seed in range(worlds):
        a, b = drawn(), drawn(-0.5)
        found = interquartile_mean(a, equal(5), seed)
        other = improvement(a, b, equal(5), higher_is_better=True, seed=seed)
        for i, (one, true) in enumerate(((found, truth), (other, better))):
            hits[i] += one.low is not None and one.high is not None and one.low <= true <= one.high
    error = 3 * np.sqrt(0.95 * 0.05 / worlds)
    assert (hits / worlds >= 0.95 - error).all()
