"""Differences between two variants, with intervals over test images and over runs.

Every metric is a sum over strata of means of the parts that the test images contribute
(`parts.py`). So the variance due to the choice of test images has a closed form, and nothing is
resampled. The classes are fixed: another set of classes is another data set.

Runs are few, usually three, so their part needs Student's t. A bootstrap would underestimate the
variance over three runs by a third. The two parts are combined through their intervals (MOVER; Zou
and Donner 2008, Statistics in Medicine 27:1693): half-widths add in quadrature. Variation between
runs on single images is in both variances and is subtracted from that of R runs, but only the
fraction (R - 2) / (R - 1) of it: subtracting all of it gave 90 % coverage with two runs, not 95 %.
Verdicts that hold together ask for levels far below 5 %; there, less is subtracted
(`Interval.own_variance`). Where no image turns, one is counted (`Strata.variance`).

In simulations, with the variance between runs from a tenth to a hundred times that between images,
95 % intervals covered the true value in 95 to 100 % of the worlds with two runs, 94 to 99 % with
three and 94 to 97 % with five; those of mean average precision in 96 to 100 % with 2 to 30
positives a class. docs/statistics.md has the tables and the command that prints them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtrit

from reports.compare.strata import Array, Strata

LEVEL = 0.05
"""Probability that an interval misses the truth."""
CONFIDENCE = 1 - LEVEL


@dataclass(frozen=True)
class Component:
    """The variance that one source of variation adds to a mean."""

    variance: float
    """Variance of the mean, in squared points of percent."""
    freedom: float
    """Degrees of freedom of the estimate, 1 or more."""


@dataclass(frozen=True)
class Interval:
    """The difference A - B of one metric, in points of percent."""

    a: float
    b: float
    """Means over runs, in percent."""
    difference: float
    images: Component
    """Variation due to the choice of test images."""
    runs: Component | None
    """Variation between runs, with what the images explain of it; None for a single run."""
    noise: float
    """Variance due to runs that differ on single images, which is a part of either component."""

    @property
    def se_images(self) -> float:
        """Standard error due to the test images."""
        return float(np.sqrt(self.images.variance))

    @property
    def se_runs(self) -> float | None:
        """Standard error over runs; None for a single run, whose interval omits it."""
        return None if self.runs is None else math.sqrt(self.runs.variance)

    @property
    def low(self) -> float:
        """Lower end of the interval at the level CONFIDENCE."""
        return self.ends()[0]

    @property
    def high(self) -> float:
        """Upper end of the interval at the level CONFIDENCE."""
        return self.ends()[1]

    def ends(self, level: float = LEVEL) -> tuple[float, float]:
        """Ends of the interval that misses the truth with probability `level`."""
        half = self.half_width(level)
        return self.difference - half, self.difference + half

    def half_width(self, level: float) -> float:
        """Half the width of the interval that misses the truth with probability `level`."""
        half = t_quantile(self.images.freedom, level) * self.se_images
        if self.runs is None:
            return half
        own = math.sqrt(self.own_variance(level))
        return math.hypot(half, t_quantile(self.runs.freedom, level) * own)

    def own_variance(self, level: float = LEVEL) -> float:
        """Variance that runs add to that of the images, 0 for a single run.

        No more is subtracted than there is, and less below the usual level. Runs that are alike by
        chance would else leave the images alone, once in a hundred comparisons with three runs; a
        family of 36 comparisons asks for one in 720.
        """
        if self.runs is None:
            return 0.0
        freedom = self.runs.freedom
        explained = min(self.noise, self.runs.variance) * (freedom - 1) / freedom
        if level < LEVEL:
            explained *= t_quantile(freedom) / t_quantile(freedom, level)
        return self.runs.variance - explained

    def p_value(self, at: float = 0.0) -> float:
        """Two-sided p-value of the hypothesis that the true difference is `at`.

        This is the level at which the interval touches `at`. So it is below LEVEL if and only if
        `at` is outside of `low` and `high`. Without any variance it is 1 if the difference is `at`
        and 0 if it is not.
        """
        distance = abs(self.difference - at)
        if distance == 0.0:
            return 1.0
        widest = self.half_width(_SMALLEST)
        if widest <= distance:
            return _SMALLEST if widest else 0.0
        log = brentq(lambda x: self.half_width(math.exp(x)) - distance, math.log(_SMALLEST), 0.0)
        # Within the tolerance of the root the ends decide.
        if self.low <= at <= self.high:
            return max(math.exp(log), LEVEL)
        return min(math.exp(log), math.nextafter(LEVEL, 0.0))

    def p_greater(self, at: float = 0.0) -> float:
        """One-sided p-value; a small one shows that the true difference is above `at`."""
        both = self.p_value(at) / 2
        return both if self.difference > at else 1 - both

    def p_less(self, at: float = 0.0) -> float:
        """One-sided p-value; a small one shows that the true difference is below `at`."""
        both = self.p_value(at) / 2
        return both if self.difference < at else 1 - both


_SMALLEST = 1e-100
"""The smallest p-value of two variants that vary; quantiles overflow beyond."""


def t_quantile(freedom: float, level: float = LEVEL) -> float:
    """Half-width, in standard errors, of a two-sided interval by Student's t distribution.

    Args:
        freedom: degrees of freedom, 1 or more, not necessarily an integer.
        level: probability outside of the interval.
    """
    # By the lower tail, because 1 - level / 2 has no digits left for tiny levels.
    return -float(stdtrit(freedom, level / 2))


def paired_interval(
    a: Array, b: Array, strata: NDArray[np.int64], steps: Array | None = None
) -> Interval:
    """The difference of two variants on the same test images.

    Args:
        a: (R, N) parts that N images contribute to the metric in R runs of A, in percent.
        b: (R, N) parts in the runs of B; row r is paired with row r of `a`. A deterministic variant
            has R equal rows.
        strata: (N,) stratum of each image: its class, or zeros for a single stratum.
        steps: (N,) change of a part when its image turns (`part_steps`). Without them, an interval
            has no width where nothing varies.
    """
    sample = Strata(strata)
    difference = a - b
    runs = len(difference)
    mean = difference.mean(0)
    between, noise = None, 0.0
    if runs > 1:
        between = Component(float(sample.total(difference).var(ddof=1)) / runs, runs - 1.0)
        noise = float(sample.variances(difference - mean).sum()) / (runs * (runs - 1))
    return Interval(
        a=float(sample.total(a).mean()),
        b=float(sample.total(b).mean()),
        difference=float(sample.total(mean)),
        images=Component(*sample.variance(mean, steps)),
        runs=between,
        noise=noise,
    )


@dataclass(frozen=True)
class RowInterval:
    """One metric of one variant, in percent."""

    mean: float
    """Mean over runs."""
    low: float
    high: float
    """Ends of the interval at the level CONFIDENCE, between 0 and 100."""
    se_images: float
    """Standard error due to the test images."""
    se_runs: float | None
    """Standard error over runs; None for a single run, whose interval omits it."""


def row_interval(
    parts: Array, strata: NDArray[np.int64], steps: Array | None = None
) -> RowInterval:
    """The value of one variant for other test images and other runs.

    Args:
        parts: (R, N) parts that N images contribute to the metric in R runs, in percent. A
            deterministic variant has one row.
        strata: (N,) stratum of each image: its class, or zeros for a single stratum.
        steps: (N,) change of a part when its image turns (`part_steps`); without them the interval
            of a value of 0 or 100 has no width.
    """
    found = paired_interval(parts, np.zeros_like(parts), strata, steps)
    low, high = (min(max(end, 0.0), 100.0) for end in (found.low, found.high))
    return RowInterval(found.difference, low, high, found.se_images, found.se_runs)
