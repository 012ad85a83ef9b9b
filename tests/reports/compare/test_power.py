"""Power of a design, against statsmodels where only runs or only images vary."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from reports.compare.intervals import Component, Interval, paired_interval
from reports.compare.power import MOST_RUNS, runs_needed, smallest_difference


def design(images: float, runs: float | None, number: int = 5, noise: float = 0.0) -> Interval:
    """An interval with these variances of its mean, to which runs add `runs`."""
    between = None
    if runs is not None:
        # No more than the variance between runs is taken off it.
        variance = min(runs + noise * (number - 2) / (number - 1), runs * (number - 1))
        between = Component(max(runs, variance), number - 1.0)
    return Interval(60.0, 58.0, 2.0, Component(images, 500.0), between, noise)


@pytest.mark.parametrize("power", [0.8, 0.95])
@pytest.mark.parametrize("runs", [3, 5, 20])
def test_where_only_runs_vary_it_is_the_power_of_the_t_test(runs: int, power: float) -> None:
    """The approximation of the noncentral t differs by up to 12 % with three runs."""
    found = smallest_difference(design(0.0, 4.0 / 5), power, runs)
    expected = 2 * TTestPower().solve_power(nobs=runs, alpha=0.05, power=power)
    assert found == pytest.approx(expected, rel=0.12 if runs == 3 else 0.03)


def test_where_only_images_vary_it_is_the_power_of_a_large_t_test() -> None:
    expected = TTestPower().solve_power(nobs=501, alpha=0.05, power=0.8) * np.sqrt(501)
    assert smallest_difference(design(1.0, None)) == pytest.approx(expected, rel=1e-3)
    assert smallest_difference(design(1.0, 0.0), runs=50) == pytest.approx(expected, rel=1e-3)


def test_more_runs_average_what_runs_contribute_and_no_more() -> None:
    """Runs on single images make 4 of 5 squared points; ten times the runs leave a tenth of it."""
    many = smallest_difference(design(5.0, 0.0, number=5, noise=4.0), runs=50)
    assert many == pytest.approx(smallest_difference(design(1.4, None)))


def test_the_runs_needed_are_the_fewest() -> None:
    interval = design(1.0, 3.0, noise=0.5)
    for delta in (3.0, 4.0, 8.0):
        number = runs_needed(interval, delta)
        assert number is not None and number > 2
        assert smallest_difference(interval, runs=number) <= delta
        assert smallest_difference(interval, runs=number - 1) > delta
    assert runs_needed(interval, 1e3) == 2
    assert runs_needed(interval, 1.0) is None  # the images alone have a standard error of 0.7
    assert smallest_difference(interval, runs=MOST_RUNS) > 1.0


def test_one_run_tells_nothing_of_others() -> None:
    with pytest.raises(ValueError, match="One run"):
        runs_needed(design(1.0, None), 2.0)


def test_the_projection_from_three_runs_is_what_ten_runs_have() -> None:
    """Means of variances over 200 experiments; 4 standard errors are 15 %."""
    rng = np.random.default_rng(0)
    zeros = np.zeros(80, dtype=np.int64)

    def experiment(runs: int) -> Interval:
        image = rng.normal(0, 10, 80)
        x = image + rng.normal(0, 15, (runs, 80)) + rng.normal(0, 2, (runs, 1))
        return paired_interval(x, np.zeros_like(x), zeros)

    def mean(found: list[Interval]) -> Interval:
        own = [i.runs.variance for i in found if i.runs is not None]
        assert found[0].runs is not None
        return Interval(
            0, 0, 0, Component(float(np.mean([i.images.variance for i in found])), 79.0),
            Component(float(np.mean(own)), found[0].runs.freedom),
            float(np.mean([i.noise for i in found])),
        )  # fmt: skip

    three, ten = (mean([experiment(runs) for _ in range(200)]) for runs in (3, 10))
    assert smallest_difference(three, runs=10) == pytest.approx(smallest_difference(ten), rel=0.15)
