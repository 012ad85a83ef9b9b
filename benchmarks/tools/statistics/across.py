"""Simulations of the statistics over data sets: intervals over runs, and tests of ranks."""

from __future__ import annotations

import numpy as np

from benchmarks.tools.statistics.coverage import Draw
from reports.across.matrix import Cell
from reports.across.ranks import rank_tests
from reports.across.runs import Estimate, improvement, interquartile_mean, middle
from reports.compare.intervals import LEVEL

_MANY = 4000
"""Runs whose interquartile mean counts as the true one."""
_GAP = 0.5
"""Difference of two variants in standard deviations of their runs."""


def of_middle(sets: int, runs: int, spread: float, seed: int = 0) -> Draw:
    """Draws of the interval of an interquartile mean.

    Args:
        sets: data sets.
        runs: runs on each, normal with standard deviation 1.
        spread: from the mean of the lowest data set to that of the highest.
        seed: of the runs that define the truth.
    """
    weights = np.full(sets, 1 / sets)
    large = _cells(np.random.default_rng(seed), sets, _MANY, spread)
    truth = middle(large, weights)

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        cells = _cells(rng, sets, runs, spread)
        found = interquartile_mean(cells, weights, int(rng.integers(2**32)))
        return *_ends(found), truth

    return draw


def of_improvement(sets: int, runs: int) -> Draw:
    """Draws of the interval of a probability of improvement, of variants _GAP apart."""
    from scipy.stats import norm

    weights = np.full(sets, 1 / sets)
    truth = float(norm.cdf(_GAP / np.sqrt(2)))

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        a, b = (_cells(rng, sets, runs, 40.0, shift) for shift in (_GAP, 0.0))
        seed = int(rng.integers(2**32))
        found = improvement(a, b, weights, higher_is_better=True, seed=seed)
        return *_ends(found), truth

    return draw


def false_ranks(variants: int, sets: int, worlds: int, seed: int) -> float:
    """Share of worlds of equal variants in which some pair is said to differ over data sets."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(worlds):
        values = rng.normal(0, 10, sets) + rng.normal(0, 1, (variants, sets))
        wrong += any(pair.holm <= LEVEL for pair in rank_tests(values).pairs)
    return wrong / worlds


def _cells(
    rng: np.random.Generator, sets: int, runs: int, spread: float, shift: float = 0.0
) -> list[Cell]:
    means = shift + np.linspace(60 - spread / 2, 60 + spread / 2, sets)
    return [Cell(tuple(rng.normal(mean, 1.0, runs).tolist())) for mean in means]


def _ends(found: Estimate) -> tuple[float, float]:
    """Both ends; where there is no interval, the value twice."""
    if found.low is None or found.high is None:
        return found.value, found.value
    return found.low, found.high
