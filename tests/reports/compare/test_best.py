"""Rows that are shown to be worse than the best: the rule, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.compare.best import not_shown_worse
from reports.compare.intervals import paired_interval

STRATA = np.repeat(np.arange(10), 20)


def test_the_level_is_shared_by_the_tests() -> None:
    scores = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0, "f": 6.0}
    p = {"a": 0.0, "b": 0.0099, "c": 0.0101, "d": 0.04, "e": 0.5}

    def p_worse(one: str, best: str) -> float:
        assert best == "f"
        return p[one]

    # Five tests at .05 / 5 = .01.
    assert not_shown_worse(scores, p_worse) == {"c", "d", "e", "f"}
    # The single test of two rows has all of the level.
    assert not_shown_worse({"d": 1.0, "f": 2.0}, p_worse) == {"f"}
    assert not_shown_worse({"e": 1.0, "f": 2.0}, p_worse) == {"e", "f"}
    assert not_shown_worse({"a": 1.0}, p_worse) == {"a"}


def tables(
    rows: int, runs: int, worlds: int, shift: float = 0.0, seed: int = 0
) -> list[NDArray[np.bool_]]:
    """For each simulated table whether each row is marked; the first is worse by `shift`.

    A run is right on an image if image + method x image + run x image + run > 0, so the images are
    common to all rows, and what rows have of their own is drawn alike for all.

    Returns:
        (rows,) for each world.
    """
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(worlds):
        image = draw.normal(0, 1, len(STRATA))
        own = draw.normal(0, 0.5, (rows, 1, len(STRATA)))
        noise = draw.normal(0, 0.5, (rows, runs, len(STRATA)))
        run = draw.normal(0, 0.1, (rows, runs, 1))
        offset = np.zeros((rows, 1, 1))
        offset[0] = -shift
        right = image + own + noise + run + offset > -0.7
        parts = 100.0 * right / 10  # ten strata of equal weight
        means = {row: float(parts[row].mean()) for row in range(rows)}

        def p_worse(one: int, best: int, parts: NDArray[np.float64] = parts) -> float:
            return paired_interval(parts[one], parts[best], STRATA).p_less()

        marked = not_shown_worse(means, p_worse)
        found.append(np.array([row in marked for row in range(rows)]))
    return found


@pytest.mark.parametrize(("rows", "runs", "worlds"), [(2, 5, 1000), (8, 3, 500), (8, 10, 300)])
def test_any_of_equal_rows_keeps_its_mark_in_95_percent(rows: int, runs: int, worlds: int) -> None:
    # Each row may be called the truly best one, so its loss in a table is their mean.
    lost = 1 - np.mean(tables(rows, runs, worlds))
    assert lost <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / worlds)


def test_a_row_that_is_clearly_worse_loses_its_mark() -> None:
    marked = np.array(tables(5, 3, 60, shift=1.5))
    assert marked[:, 0].mean() <= 0.05
    assert marked[:, 1:].mean() >= 0.95
