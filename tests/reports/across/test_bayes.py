"""The Bayesian signed-rank test, against baycomp 1.0.3 and symmetries."""

from __future__ import annotations

import numpy as np
import pytest

from reports.across.bayes import signed_rank

# Differences B - A, half-width of the region, and SignedRankTest.probs(A, B, rope) of baycomp with
# 20,000 draws: A better, equivalent, B better.
CASES = [
    ([-1.02, 0.77, 0.13, 4.32, 1.23, 0.65], 0.5, (0.009, 0.2895, 0.7015)),
    ([0.22, 1.75, 0.75, -0.31, 0.02, 0.74, 2.14, -0.07], 0.5, (0.0, 0.56345, 0.43655)),
    ([0.28, 0.7, -0.44, -1.08, 0.03, -0.05, 1.41, 0.75, 0.19, 1.11, -0.21, -0.93], 1.0,
     (0.0, 0.99985, 0.00015)),
    ([-0.49, 2.69, 2.49, 0.36, 2.06], 0.3, (0.0113, 0.0266, 0.9621)),
]  # fmt: skip


@pytest.mark.parametrize(("differences", "rope", "expected"), CASES)
def test_probabilities_are_those_of_baycomp(
    differences: list[float], rope: float, expected: tuple[float, float, float]
) -> None:
    a = np.linspace(60, 80, len(differences))
    found = signed_rank(a, a + differences, rope, higher_is_better=True)
    probabilities = (found.a_better, found.equivalent, found.b_better)
    np.testing.assert_allclose(probabilities, expected, atol=0.015)  # four Monte Carlo errors
    assert sum(probabilities) == pytest.approx(1.0)


def test_the_direction_of_the_metric_counts() -> None:
    a, b = np.full(6, 50.0), np.arange(6) + 51.0
    assert signed_rank(a, b, 0.5, higher_is_better=True).b_better > 0.95
    assert signed_rank(a, b, 0.5, higher_is_better=False).a_better > 0.95


def test_a_wider_region_makes_more_equivalent() -> None:
    a, b = np.full(6, 50.0), np.array([50.5, 51, 49.5, 51.5, 50, 52])
    found = [signed_rank(a, b, rope, higher_is_better=True).equivalent for rope in (0.1, 1.0, 5.0)]
    assert found == sorted(found)
    assert found[0] < 0.5 and found[2] == 1.0
