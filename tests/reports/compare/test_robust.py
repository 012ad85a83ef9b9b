"""The robust interval, against SciPy's trimmed means and Yuen's standard error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.errors import UserError
from reports.compare.intervals import paired_interval
from reports.compare.robust import robust_interval


def over_runs(values: np.ndarray, images: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs whose images are all alike, the zeros to compare with, and a single stratum."""
    parts = np.repeat(values[:, None], images, axis=1)
    return parts, np.zeros_like(parts), np.zeros(images, dtype=np.int64)


@pytest.mark.parametrize(("runs", "cut"), [(5, 1), (9, 1), (10, 2), (15, 3)])
def test_where_only_runs_vary_it_is_the_interval_of_yuen(runs: int, cut: int) -> None:
    values = np.random.default_rng(runs).normal(2, 3, runs)
    interval = robust_interval(*over_runs(values))
    assert interval.difference == pytest.approx(stats.trim_mean(values, cut / runs))
    kept = runs - 2 * cut
    winsorized = np.asarray(stats.mstats.winsorize(values, (cut / runs, cut / runs)))
    error = winsorized.std(ddof=1) / (1 - 2 * cut / runs) / np.sqrt(runs)
    error *= np.sqrt((runs - 1) / runs / ((kept - 1) / kept))  # Yuen's h - 1 in place of h
    assert interval.se_runs == pytest.approx(error)
    half = stats.t.ppf(0.975, kept - 1) * error
    assert (interval.low, interval.high) == pytest.approx(
        (interval.difference - half, interval.difference + half)
    )


def test_how_far_a_run_falls_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(60, 20, (2, 6, 80))
    strata = rng.integers(0, 4, 80)
    steps = np.full(80, 25.0)
    fallen = [a - np.array([[0, 0, depth, 0, 0, 0]]).T for depth in (50, 5000)]
    one, other = (robust_interval(x, b, strata, steps) for x in fallen)
    assert one == other
    assert one.difference == pytest.approx(one.a - one.b)
    mirrored = robust_interval(b, fallen[0], strata, steps)
    assert (mirrored.low, mirrored.high) == pytest.approx((-one.high, -one.low))


def test_images_count_as_in_the_usual_interval() -> None:
    """Little changes if the runs left out are like the others."""
    rng = np.random.default_rng(2)
    image = rng.normal(3, 20, 200)
    a = image + 1e-3 * rng.normal(size=(10, 1))
    zero, strata, steps = np.zeros_like(a), np.zeros(200, dtype=np.int64), np.full(200, 100.0)
    robust, usual = (f(a, zero, strata, steps) for f in (robust_interval, paired_interval))
    assert (robust.low, robust.high) == pytest.approx((usual.low, usual.high), abs=0.01)
    assert robust.images.freedom == pytest.approx(usual.images.freedom)


def test_four_runs_are_too_few() -> None:
    with pytest.raises(UserError, match="needs 5 runs or more; there are 4"):
        robust_interval(*over_runs(np.arange(4.0)))


def test_coverage_of_typical_runs_where_one_in_ten_collapses() -> None:
    """Typical runs differ by 0; 4 standard errors of the simulation are 0.05."""
    rng = np.random.default_rng(3)
    strata = np.zeros(100, dtype=np.int64)
    held, worlds = {"robust": 0, "usual": 0}, 300
    for _ in range(worlds):
        fallen = 40.0 * (rng.random((10, 1)) < 0.1)
        a = rng.normal(0, 20, 100) + rng.normal(0, 1, (10, 1)) - fallen
        a = a + rng.normal(0, 20, (10, 100))
        zero = np.zeros_like(a)
        typical, usual = robust_interval(a, zero, strata), paired_interval(a, zero, strata)
        held["robust"] += typical.low <= 0 <= typical.high
        held["usual"] += usual.low <= -4 <= usual.high  # the mean over all runs
    assert held["robust"] >= 0.9 * worlds
    assert held["usual"] < 0.9 * worlds  # which is why there is another one
