"""Differences that a design shows, and the runs that a difference needs.

The variances are those of a comparison that exists. Other numbers of runs change the parts that
runs contribute; the test images stay the same.
"""

from __future__ import annotations

from dataclasses import replace

from reports.compare.intervals import LEVEL, Component, Interval

POWER = 0.8
"""Usual probability with which a design shows the difference that it was made for."""
MOST_RUNS = 1000


def smallest_difference(
    interval: Interval, power: float = POWER, runs: int | None = None, level: float = LEVEL
) -> float:
    """The true difference that an interval like this one excludes 0 for with probability `power`.

    The difference is the half-width of the interval plus that of a one-sided bound at the level
    1 - power: with one source of variation (t(0.975) + t(power)) standard errors, which is the
    textbook's approximation of the noncentral t distribution.

    Args:
        interval: a comparison, whose variances are taken for the true ones.
        power: probability above 0.5 and below 1.
        runs: number of runs, 2 or more; None for that of the comparison.
        level: level of the test; LEVEL divided by the number of tests in a family.

    Returns:
        Points of percent.

    Raises:
        ValueError: other runs of a comparison whose runs show no variance, because it has one.
    """
    design = interval if runs is None else _with_runs(interval, runs)
    return design.half_width(level) + design.half_width(2 * (1 - power))


def runs_needed(
    interval: Interval, difference: float, power: float = POWER, level: float = LEVEL
) -> int | None:
    """The smallest number of runs that shows a true difference with probability `power`.

    Args:
        interval: a comparison of 2 runs or more, whose variances are taken for the true ones.
        difference: points of percent, above 0.
        power: probability above 0.5 and below 1.
        level: level of the test; LEVEL divided by the number of tests in a family.

    Returns:
        2 or more; None if no number up to MOST_RUNS is enough, because the test images are too few.

    Raises:
        ValueError: the comparison has one run, which does not show how much runs vary.
    """
    low, high = 2, MOST_RUNS
    if smallest_difference(interval, power, high, level) > difference:
        return None
    while low < high:  # more runs never show less
        middle = (low + high) // 2
        if smallest_difference(interval, power, middle, level) <= difference:
            high = middle
        else:
            low = middle + 1
    return low


def _with_runs(interval: Interval, runs: int) -> Interval:
    """The interval as it would be with another number of runs."""
    between = interval.runs
    if between is None:
        raise ValueError("One run does not show how much runs vary.")
    factor = (between.freedom + 1) / runs
    noise = interval.noise * factor
    images = max(interval.images.variance - interval.noise, 0.0) + noise
    return replace(
        interval,
        images=replace(interval.images, variance=images),
        runs=Component(interval.own_variance() * factor, runs - 1.0),
        noise=0.0,  # it is taken off the runs already
    )
